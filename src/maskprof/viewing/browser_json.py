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
_GZIP_FORMAT = zlib.MAX_WBITS | 16


def packed_json(content: bytes, account: Account, name: str) -> bytes:
    """The trace in `content`, a file's bytes, as gzip that a browser unpacks and parses.

    What is strict JSON stays as it is, byte for byte. Anything else that the reader mended (`account`) is written anew
    without what it dropped: `NaN`, UTF-16, text after the end, events that are null or have no time.

    Raises:
        TraceError: it is damaged where that changes what belongs to which event.
    """
    text = b"".join(text_chunks(BytesIO(content), Tally())).removeprefix(MARK)
    if not account.notes and not account.lost and _is_strict(text):
        return content if _is_one_gzip(content) else gzip.compress(text)
    return gzip.compress(_rewritten(text, name))


def _is_strict(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


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


def _rewritten(text: bytes, name: str) -> bytes:
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
    return json.dumps(whole, separators=(",", ":"), allow_nan=False).encode()


def _is_showable(event: Any) -> bool:
    if not isinstance(event, dict) or not isinstance(event.get("ph"), str):
        return False
    times = {"M": (), "X": ("ts", "dur")}.get(event["ph"], ("ts",))
    return all(_number(event.get(time)) is not None for time in times)


def _shown(event: dict[str, Any]) -> dict[str, Any]:
    shown = event | {"name": str(event.get("name") or "")}
    for key in ("ts", "dur"):
        if key in event:
            shown[key] = _number(event[key])
    for key in ("pid", "tid"):
        if event.get(key) is None:
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
