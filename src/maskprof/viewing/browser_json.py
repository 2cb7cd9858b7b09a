"""A trace's text as a browser reads it: strict JSON, where the reader of traces takes much more."""

import codecs
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
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
    unpacked = _of_one_gzip(content)
    text = unpacked if unpacked is not None else b"".join(text_chunks(BytesIO(content), Tally()))
    text = text.removeprefix(MARK)
    phases = None if account.notes or account.lost else _strict_phases(text)
    packed = content if phases is not None and unpacked is not None else None
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


def _of_one_gzip(content: bytes) -> bytes | None:
    """What is in a single gzip stream, in UTF-8; None where it is none or not alone: browsers refuse more."""
    if not content.startswith(_GZIP_MAGIC):
        return None
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        text = stream.decompress(content)
    except zlib.error:
        return None
    alone = stream.eof and not stream.unused_data
    return text if alone and not text.startswith(_UTF_16_MARKS) else None


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
