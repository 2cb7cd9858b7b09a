"""Single trace events as the JSON decoder sees them, in two strengths.

`Complete` is the fast one: an event with a start and a duration, both JSON numbers; events of kinds without a
duration are told apart by their `ph` and not read any further. `ExactEvent` is an event of any kind that keeps
the digits of the times, for files whose timestamps have more of them than a float64 holds, for times written
as strings, for begin and end events, and for whatever else is unusual.
"""

import functools
import operator
from decimal import Decimal
from typing import Any, Final

import msgspec

COMPLETE, BEGIN, END = "X", "B", "E"
# Events with a duration; all other kinds are passed over.
KEPT_PHASES = (COMPLETE, BEGIN, END)
# The format's other kinds: flows, instants, metadata, counters, asynchronous ranges, samples, objects, marks.
_OTHER_PHASES = tuple("stfiIMnbeCSTpFPNODVvRc()")

# Times of which a float64 in microseconds still tells every nanosecond apart lie below this.
EXACT_FLOAT_US = 2.0**43
# Beyond this a time in nanoseconds, or the sum of two, would not fit an int64.
_LONGEST_US = 2**61 // 1000

# Of a process or thread whose number is written as text.
_MOST_DIGITS = 20

NOTHING: Final = msgspec.Raw(b"")


class Args(msgspec.Struct, frozen=True, gc=False):
    """The arguments that the columns hold; any other is skipped over without being decoded.

    Of any type, since exporters put strings and nulls where others put integers.
    """

    correlation: Any = -1
    external_id: Any = msgspec.field(default=-1, name="External id")
    external_id_older: Any = msgspec.field(default=-1, name="external id")
    stream: Any = -1
    device: Any = -1
    bytes: Any = -1
    input_dims: msgspec.Raw = msgspec.field(default=NOTHING, name="Input Dims")
    input_dims_older: msgspec.Raw = msgspec.field(default=NOTHING, name="Input dims")
    input_types: msgspec.Raw = msgspec.field(default=NOTHING, name="Input type")
    concrete_inputs: msgspec.Raw = msgspec.field(default=NOTHING, name="Concrete Inputs")


_NO_ARGS = Args()


class Complete(msgspec.Struct, gc=False, tag_field="ph", tag=COMPLETE):
    """An event with a duration, its times as numbers, in microseconds."""

    name: str = ""
    cat: str = ""
    pid: int | str = -1
    tid: int | str = -1
    ts: int | float | None = None
    dur: int | float = 0
    args: Args = _NO_ARGS


class ExactEvent(msgspec.Struct, gc=False):
    """An event with its times as the text that the file has, without surrounding blanks."""

    ph: str = ""
    name: str = ""
    cat: str = ""
    pid: int | str = -1
    tid: int | str = -1
    ts: msgspec.Raw = NOTHING
    dur: msgspec.Raw = msgspec.Raw(b"0")
    args: Args = _NO_ARGS


def _event_types() -> Any:
    others = [msgspec.defstruct("Other", [], tag_field="ph", tag=tag, gc=False) for tag in _OTHER_PHASES]
    return functools.reduce(operator.or_, others, Complete)


# Fails on whatever is not in the table above: null events, unknown kinds, events without a kind.
complete_events: "msgspec.json.Decoder[list[Any]]" = msgspec.json.Decoder(list[_event_types()])  # type: ignore[misc]
exact_events = msgspec.json.Decoder(list[ExactEvent | None])
loose_items = msgspec.json.Decoder(list[msgspec.Raw])
_exact_event = msgspec.json.Decoder(ExactEvent)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_args = msgspec.json.Decoder(Args)

# The decoder raises the last one for text that is not UTF-8.
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def loose_event(text: msgspec.Raw | bytes) -> ExactEvent | None:
    """An event whose fields have unusual types, as far as they can be read; None where it is no event."""
    try:
        return _exact_event.decode(text)
    except DECODE_ERRORS:
        pass
    try:
        fields = _fields.decode(text)
        args = fields.get("args")
        return ExactEvent(
            ph=_text(fields.get("ph")),
            name=_text(fields.get("name")),
            cat=_text(fields.get("cat")),
            pid=_identity(fields.get("pid")),
            tid=_identity(fields.get("tid")),
            ts=fields.get("ts", NOTHING),
            dur=fields.get("dur", msgspec.Raw(b"0")),
            args=_args.decode(args) if args is not None and bytes(args).startswith(b"{") else _NO_ARGS,
        )
    except DECODE_ERRORS:
        return None


def _text(field: msgspec.Raw | None) -> str:
    if field is None:
        return ""
    value = msgspec.json.decode(field)
    return value if isinstance(value, str) else "" if value is None else str(value)


def _identity(field: msgspec.Raw | None) -> int | str:
    """A process or thread as the strict decoders have it, so that an odd event stays on its thread."""
    value = None if field is None else msgspec.json.decode(field)
    if field is None or value is None:
        return -1
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return bytes(field).decode("utf-8", "replace")


def plain_identity(identity: int | str) -> int | str:
    """A process or thread by its number where its text is that of one: to viewers, `"5"` and `5` are the same."""
    if isinstance(identity, int) or len(identity) > _MOST_DIGITS:
        return identity
    digits = identity.removeprefix("-")
    is_number = digits.isascii() and digits.isdecimal() and not (digits[0] == "0" and identity != "0")
    return int(identity) if is_number else identity


def exact_ns(text: msgspec.Raw | bytes) -> int | None:
    """Microseconds, a JSON number or a string of one, in whole nanoseconds; None where it is neither."""
    digits = bytes(text).strip(b'" \t\r\n')
    if not digits:
        return None
    whole, _, fraction = digits.partition(b".")
    try:
        if len(fraction) > 3:  # noqa: PLR2004  (nanoseconds are thousandths)
            return _decimal_ns(digits)
        nanoseconds = int(whole + (fraction + b"000")[:3])
    except ValueError:
        return _decimal_ns(digits)
    return nanoseconds if abs(nanoseconds) < _LONGEST_US * 1000 else None


def _decimal_ns(digits: bytes) -> int | None:
    try:
        microseconds = Decimal(digits.decode("ascii", "replace"))
        if not microseconds.is_finite() or microseconds.copy_abs() >= _LONGEST_US:
            return None
        return int((microseconds * 1000).to_integral_value())
    except ArithmeticError:
        # No number, or one with more digits in its exponent than any number has a use for.
        return None
