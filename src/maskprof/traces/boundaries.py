"""Where the text of a trace can be cut: at its event array's start and end, and between two events."""

import json
import re

# What some editors put before UTF-8.
MARK = b"\xef\xbb\xbf"
_WINDOW_BYTES = 8 * 1024
_BLANKS = b" \t\r\n"
_ARRAY_START = re.compile(rb'"traceEvents"\s*:\s*\[')
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
# The exporters of torch begin an event with its phase; others are cut at any two neighbouring objects.
_BETWEEN_EVENTS = (re.compile(rb'\}\s*,\s*(?=\{\s*"ph")'), re.compile(rb"\}\s*,\s*(?=\{)"))
_MOST_TRIES = 64


def array_start(text: bytes, searched: int) -> int | None:
    """Where the first event would stand, in the text of an object; None where the array has not begun yet.

    The first `searched` bytes are known not to hold the beginning of its key.
    """
    for match in _ARRAY_START.finditer(text, searched):
        if not _is_nested(text[: match.start()]):
            return match.end()
    return None


def _is_nested(before: bytes) -> bool:
    """Whether what follows `before` is a key of an inner object, told by closing all that was opened."""
    if before.count(b"{") - before.count(b"}") == 1 and before.count(b"[") == before.count(b"]"):
        return False
    closers = []
    for mark in re.findall(rb"[][{}]", _STRING.sub(b"", before)):
        if mark in b"{[":
            closers.append(b"}" if mark == b"{" else b"]")
        elif closers:
            closers.pop()
    if len(closers) == 1:
        return False
    try:
        json.loads(before.removeprefix(MARK) + b'"":0' + b"".join(reversed(closers)))
    except (ValueError, RecursionError):
        # It is damaged, so that nothing can be told: better the events of an inner object than none.
        return False
    return True


def last_boundary(text: bytes | memoryview) -> tuple[int, int] | None:
    """Where in `text` the last whole event ends and the one after it starts; None where there is no such place."""
    for between in _BETWEEN_EVENTS:
        window = _WINDOW_BYTES
        while True:
            offset = max(0, len(text) - window)
            last = None
            for last in between.finditer(text, offset):  # noqa: B007  (the last one is wanted)
                pass
            if last is not None:
                return last.start() + 1, last.end()
            if offset == 0:
                break
            window *= 16
    return None


def likely_array_end(text: bytes, *, bare: bool) -> int | None:
    """The closing bracket of the event array, if the text after it reads as the rest of a trace file.

    `text` begins with the opening one.
    """
    if bare:
        end = len(text.rstrip(_BLANKS)) - 1
        return end if text[end] == ord("]") else None
    end = len(text)
    for _ in range(_MOST_TRIES):
        end = text.rfind(b"]", 0, end)
        if end < 0:
            return None
        before = text[max(1, end - 256) : end].rstrip(_BLANKS)
        if before and not before.endswith((b"}", b"null")):
            continue
        try:
            json.loads(b'{"":0' + text[end + 1 :])
        except (ValueError, RecursionError):
            continue
        return end
    return None
