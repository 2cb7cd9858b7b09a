"""JSON text in chunks -> columns. The only code that knows how a trace file is laid out.

The event array is decoded in pieces of about 4 MB, cut where one event ends and the next begins, so that
memory does not grow with the file beyond the columns themselves.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from maskprof.errors import TraceError
from maskprof.traces.account import Account, Tally
from maskprof.traces.categories import DEVICE_EVENTS
from maskprof.traces.events import DECODE_ERRORS, exact_events, raw_events
from maskprof.traces.folding import ColumnFold, FoldedColumns
from maskprof.traces.recovery import array_end, recover, repaired

_PIECE_BYTES = 4 * 1024 * 1024
# Text before the events, after them, or without the end of an event: more of it is no trace.
_LONGEST_TEXT_BYTES = 64 * 1024 * 1024
_WINDOW_BYTES = 64 * 1024
_BLANKS = b" \t\r\n"
_ARRAY_START = re.compile(rb'"traceEvents"\s*:\s*\[')
# The exporters of torch begin an event with its phase; others are cut at any two neighbouring objects.
_BOUNDARIES = (re.compile(rb'\}\s*,\s*(?=\{\s*"ph")'), re.compile(rb"\}\s*,\s*(?=\{)"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """A whole file: its events, the other top-level keys, and the account."""

    columns: FoldedColumns
    metadata: dict[str, Any]
    account: Account


def decode(chunks: Iterable[bytes], tally: Tally) -> Decoded:
    """Decode the text of a trace, in the object form or as a bare array of events.

    Raises:
        TraceError: if the text is no trace. Its sentence has no subject: the reader puts the path before it.
    """
    decoder = _Decoder(tally)
    for chunk in chunks:
        decoder.feed(chunk)
    return decoder.finish()


class _Decoder:
    """Text comes in, events go to the fold. Three stages: before the array, inside it, after it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._fold = ColumnFold(tally)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._head: bytes | None = None
        self._tail: list[bytes] | None = None
        self._tail_bytes = 0
        self._exact = False

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk of the text."""
        if self._tail is not None:
            self._add_to_tail(chunk)
            return
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        if self._head is None:
            text = b"".join(self._pending)
            rest = self._find_array(text)
            if rest is None:
                self._keep_pending(text)
                if len(text) > _LONGEST_TEXT_BYTES:
                    raise TraceError(
                        f"is no profiler trace: no traceEvents in its first {_LONGEST_TEXT_BYTES} bytes"
                    )
                return
            self._keep_pending(rest)
        if self._pending_bytes >= _PIECE_BYTES:
            self._decode_pending()

    def finish(self) -> Decoded:
        """Decode what is left and close the account."""
        text = b"".join(self._pending)
        if self._head is None:
            raise _no_trace(text, truncated=self._tally.truncated)
        if self._tail is None:
            self._decode_last(text)
        metadata = self._metadata()
        columns = self._fold.finish()
        if self._tally.truncated and not set(DEVICE_EVENTS).intersection(columns.categories):
            self._tally.note("the file is cut off and has no device events: profilers write those last")
        account = self._tally.close(events=len(columns.events))
        if account.lost and not account.events + account.other:
            raise TraceError("is no profiler trace: its list holds no trace events that could be read")
        if not self._head and not account.events + account.other + account.lost:
            raise TraceError("is no profiler trace: it is an empty list")
        return Decoded(columns=columns, metadata=metadata, account=account)

    def _keep_pending(self, text: bytes) -> None:
        self._pending = [text]
        self._pending_bytes = len(text)

    def _find_array(self, text: bytes) -> bytes | None:
        """The text behind the opening bracket of the event array; None while that has not come."""
        start = text.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS)
        if start.startswith(b"["):
            self._head = b""
            return start[1:]
        if start and not start.startswith(b"{"):
            raise _no_trace(text, truncated=False)
        match = _ARRAY_START.search(start)
        if match is None:
            return None
        self._head = start[: match.end()]
        return start[match.end() :]

    def _decode_pending(self) -> None:
        text = b"".join(self._pending)
        boundary = _last_boundary(text)
        if boundary is None:
            self._keep_pending(text)
            if len(text) > _LONGEST_TEXT_BYTES:
                self._keep_pending(b"")
                self._tally.lost += 1
                self._tally.note(f"a stretch of {len(text)} bytes without the end of an event was left out")
            return
        end, start = boundary
        waiting = self._decode_piece(text[:end], final=False)
        if self._tail is not None:
            self._add_to_tail(text[end:])
        elif waiting:
            self._keep_pending(waiting + b"," + text[start:])
        else:
            self._keep_pending(text[start:])

    def _decode_last(self, text: bytes) -> None:
        end = _likely_array_end(text, bare=not self._head)
        if end is not None:
            if not self._decode_whole(text[:end]):
                self._recover(text[:end], final=True)
            # The likely end may be that of a later list: the decoding has then found the true one before it.
            self._add_to_tail(text[end + 1 :] if self._tail is None else text[end:])
            return
        self._decode_piece(text.rstrip(_BLANKS).removesuffix(b","), final=True)
        if self._tail is None:
            self._tally.truncated = True

    def _decode_piece(self, text: bytes, *, final: bool) -> bytes:
        """Decode a piece of the array; what comes back is the beginning of an event that needs more text."""
        if not text.strip(_BLANKS) or self._decode_whole(text):
            return b""
        return self._recover(text, final=final)

    def _recover(self, text: bytes, *, final: bool) -> bytes:
        found = recover(text, self._tally, final=final)
        self._fold.add_exact(found.events)
        if found.after_array is not None:
            self._add_to_tail(found.after_array)
        return found.waiting

    def _decode_whole(self, text: bytes) -> bool:
        """Decode a piece that is sound, the end of the array in it or not; False where it is not sound."""
        if not self._exact:
            try:
                if self._fold.add_raw(raw_events.decode(b"[" + text + b"]")):
                    return True
                # Files are of one kind throughout: the pieces that follow need not be tried the fast way.
                self._exact = True
            except DECODE_ERRORS as error:
                end = array_end(text, error)
                if end is not None:
                    sound = self._decode_whole(text[:end])
                    if sound:
                        self._add_to_tail(text[end + 1 :])
                    return sound
        try:
            self._fold.add_exact(exact_events.decode(b"[" + text + b"]"))
        except DECODE_ERRORS:
            return False
        return True

    def _add_to_tail(self, text: bytes) -> None:
        if self._tail is None:
            self._tail = []
        room = _LONGEST_TEXT_BYTES - self._tail_bytes
        self._tail.append(text[:room])
        self._tail_bytes += len(self._tail[-1])
        self._tally.ignored_bytes += len(text) - len(self._tail[-1])

    def _metadata(self) -> dict[str, Any]:
        assert self._head is not None
        tail = b"".join(self._tail) if self._tail is not None else b"}"
        if not self._head:
            self._note_ignored(tail if self._tail is not None else b"")
            return {}
        text = repaired(self._head + b"]" + tail, Tally()).decode()
        try:
            value, stop = json.JSONDecoder(strict=False).raw_decode(text)
        except (ValueError, RecursionError):
            self._tally.truncated |= not tail.rstrip(_BLANKS).endswith(b"}")
            self._tally.note("the keys beside the events could not all be read")
            return self._head_metadata()
        self._note_ignored(text[stop:].encode())
        value.pop("traceEvents", None)
        return dict(value)

    def _head_metadata(self) -> dict[str, Any]:
        assert self._head is not None
        try:
            value = json.loads(repaired(self._head + b"]}", Tally()), strict=False)
        except (ValueError, RecursionError):
            return {}
        value.pop("traceEvents", None)
        return dict(value)

    def _note_ignored(self, text: bytes) -> None:
        self._tally.ignored_bytes += len(text.strip(_BLANKS))
        if self._tally.ignored_bytes:
            self._tally.note("the file goes on after the end of the trace; that part was ignored")


def _last_boundary(text: bytes) -> tuple[int, int] | None:
    """Where the last whole event ends and the one after it starts; None where there is no such place."""
    for pattern in _BOUNDARIES:
        window = _WINDOW_BYTES
        while True:
            offset = max(0, len(text) - window)
            last = None
            for last in pattern.finditer(text, offset):  # noqa: B007  (the last one is wanted)
                pass
            if last is not None:
                return last.start() + 1, last.end()
            if offset == 0:
                break
            window *= 8
    return None


def _likely_array_end(text: bytes, *, bare: bool) -> int | None:
    """The closing bracket of the event array, if the text after it reads as the rest of a trace file."""
    if bare:
        end = len(text.rstrip(_BLANKS)) - 1
        return end if end >= 0 and text[end] == ord("]") else None
    end = len(text)
    for _ in range(64):
        end = text.rfind(b"]", 0, end)
        if end < 0:
            return None
        before = text[max(0, end - 256) : end].rstrip(_BLANKS)
        if before and not before.endswith(b"}"):
            continue
        try:
            json.loads(b'{"":0' + text[end + 1 :])
        except ValueError:
            continue
        return end
    return None


def _no_trace(text: bytes, *, truncated: bool) -> TraceError:
    start = text[:64].lstrip(_BLANKS)
    if not start:
        what = "its compressed data is corrupt or cut off from the start" if truncated else "it is empty"
    elif start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        what = "it is not UTF-8 text (UTF-16, or a binary file); traces are JSON in UTF-8, plain or gzip"
    elif not start.startswith((b"{", b"[", b"\xef\xbb\xbf")):
        what = "it does not begin like JSON; traces are JSON in UTF-8, plain or gzip"
    elif truncated or not text.rstrip(_BLANKS).endswith(b"}"):
        what = "it is cut off before its first event"
    else:
        what = "it is a JSON object without a traceEvents list"
    return TraceError(f"is no profiler trace: {what}")
