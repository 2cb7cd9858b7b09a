"""A trace's text as a browser reads it: strict JSON, where the reader of traces takes much more."""

import gzip
import json
import math
import zlib
from io import BytesIO
from typing import Any

import msgspec

from maskprof.errors import TraceError
from maskprof.traces.account import Account, Tally
from maskprof.traces.boundaries import MARK
from maskprof.traces.inflate import text_chunks
from maskprof.traces.recovery import repaired

_GZIP_MAGIC = b"\x1f\x8b"
_METADATA = "M"
_GZIP_FORMAT = zlib.MAX_WBITS | 16


class _Event(msgspec.Struct, gc=False):
    """What the viewer takes for granted in an event."""

    ph: str
    name: str = ""


class _Document(msgspec.Struct, gc=False):
    traceEvents: list[_Event]  # noqa: N815 - the key's name


_strict = msgspec.json.Decoder(_Document | list[_Event])


def packed_json(content: bytes, account: Account, name: str) -> bytes:
    """The trace in `content`, a file's bytes, as gzip that a browser unpacks and parses.

    What is strict JSON stays as it is, byte for byte. Anything else that the reader mended (`account`) is written anew
    without what it dropped: `NaN`, UTF-16, text after the end, events that are null or have no time.

    Raises:
        TraceError: it is damaged where that changes what belongs to which event, or there is nothing to show in it.
    """
    text = b"".join(text_chunks(BytesIO(content), Tally())).removeprefix(MARK)
    phases = None if account.notes or account.lost else _strict_phases(text)
    packed = content if phases is not None and _is_one_gzip(content) else None
    if phases is None:
        text, phases = _rewritten(text, name)
    if not any(phase != _METADATA for phase in phases):
        raise TraceError(f"{name} holds no event, so there is nothing to show")
    return packed if packed is not None else gzip.compress(text)


def _strict_phases(text: bytes) -> list[str] | None:
    """The phase of each event; None where this is not the strict JSON that a browser and the viewer read."""
    try:
        document = _strict.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return [event.ph for event in (document.traceEvents if isinstance(document, _Document) else document)]


def _is_one_gzip(content: bytes) -> bool:
    """Whether this is a single gzip stream and nothing else: browsers refuse what follows it."""
    if not content.startswith(_GZIP_MAGIC):
        return False
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        stream.decompress(content)
    except zlib.error:
        return False
    return stream.eof and not stream.unused_data


def _rewritten(text: bytes, name: str) -> tuple[bytes, list[str]]:
    """Strict JSON with all that can be shown, and the phase of each event in it."""
    decoder = json.JSONDecoder(parse_constant=lambda _name: None, parse_float=_finite)
    try:
        document, _ = decoder.raw_decode(repaired(text, Tally()).decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError):
        raise TraceError(
            f"{name} is damaged, and the viewer shows sound traces only; maskprof analyze and --speedscope read what "
            "is left of it"
        ) from None
    events = document["traceEvents"] if isinstance(document, dict) else document
    shown = [_shown(event) for event in events if _is_showable(event)]
    whole = document | {"traceEvents": shown} if isinstance(document, dict) else shown
    return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode(), [
        event["ph"] for event in shown
    ]


def _is_showable(event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("ph"), str):
        return False
    times = {_METADATA: (), "X": ("ts", "dur")}.get(event["ph"], ("ts",))
    return all(_number(event.get(time)) is not None for time in times)


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    shown = event | {"name": str(event.get("name") or "")}
    for key in ("ts", "dur"):
        if key in event:
            shown[key] = _number(event[key])
    for key in ("pid", "tid"):
        if event.get(key, 0) is None:
            shown[key] = 0
    if not isinstance(event.get("args", {}), dict):
        del shown["args"]
    return shown


def _number(value: Any) -> float | int | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None
