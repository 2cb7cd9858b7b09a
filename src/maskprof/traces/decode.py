"""JSON text in chunks -> columns. The only code that knows how a trace file is laid out.

The event array is decoded in pieces of about 1 MB, cut where one event ends and the next begins, so that memory
does not grow with the file beyond the columns themselves. (Longer pieces are slower too: the decoded events of
one piece should stay in the processor's cache until they are folded.)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from maskprof.errors import TraceError
from maskprof.traces.account import Account, Tally
from maskprof.traces.boundaries import MARK, array_start, last_boundary, likely_array_end
from maskprof.traces.categories import DEVICE_EVENTS
from maskprof.traces.events import DECODE_ERRORS, complete_events, exact_events
from maskprof.traces.folding import ColumnFold, FoldedColumns
from maskprof.traces.metadata import LONGEST_KEYS_BYTES, Surroundings
from maskprof.traces.recovery import array_end, recover

_PIECE_BYTES = 1024 * 1024
# Without the end of an event, more text is no event.
_LONGEST_EVENT_BYTES = 32 * 1024 * 1024
# Longer than any boundary between two events, and than the key of the array.
_OVERLAP_BYTES = 1024
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """A whole file: its events, the other top-level keys, and the account."""

    columns: FoldedColumns
    metadata: dict[str, Any]
    account: Account


def decode(chunks: Iterable[bytes], tally: Tally, *, python: bool = False) -> Decoded:
    """Decode the text of a trace, in the object form or as a bare array of events.

    Raises:
        TraceError: if the text is no trace. Its sentence has no subject: the reader puts the path before it.
    """
    decoder = _Decoder(tally, python=python)
    for chunk in chunks:
        decoder.feed(chunk)
    return decoder.finish()


class _Decoder:
    """Text comes in, events go to the fold. Three stages: before the array, inside it, after it."""

    def __init__(self, tally: Tally, *, python: bool) -> None:
        self._tally = tally
        self._fold = ColumnFold(tally, python=python)
        self._around: Surroundings | None = None
        self._bare = False
        # Text that waits for more, and its place in the file's text.
        self._waiting: list[bytes | memoryview] = []
        self._waiting_bytes = 0
        self._start = 0
        self._searched = 0
        self._look_at = _PIECE_BYTES
        self._exact = False

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk of the text."""
        self._tally.text_bytes += len(chunk)
        if self._around is None:
            self._find_array(b"".join((*self._waiting, chunk)))
        elif self._around.array_ended:
            self._around.add(chunk)
        else:
            self._take(chunk, self._around)

    def finish(self) -> Decoded:
        """Decode what is left and close the account."""
        if self._around is None:
            raise _no_trace(b"".join(self._waiting), self._tally)
        if not self._around.array_ended:
            self._decode_last(b"".join((b"[", *self._waiting)), self._around)
        metadata = self._around.finish()
        columns = self._fold.finish()
        if self._tally.truncated and not set(DEVICE_EVENTS).intersection(columns.categories):
            self._tally.note("the file is cut off and has no device events: profilers write those last")
        account = self._tally.close(events=len(columns.events))
        sound = account.with_duration + account.other + account.unpaired
        if account.lost and not sound:
            ends = f"; it ends at byte {account.text_bytes}, inside the list" if account.truncated else ""
            raise TraceError(
                "is no profiler trace: its list holds no trace events that could be read, "
                f"beginning with {account.lost_at[0]}{ends}"
            )
        if self._bare and not sound and not account.lost:
            raise TraceError("is no profiler trace: it is an empty list")
        return Decoded(columns=columns, metadata=metadata, account=account)

    def _wait(self, text: bytes | memoryview, start: int) -> None:
        self._waiting = [text] if text else []
        self._waiting_bytes = len(text)
        self._start = start

    def _find_array(self, text: bytes) -> None:
        """Look for the opening bracket of the event array, and let go of the text before it."""
        self._wait(text, 0)
        begins = text.removeprefix(MARK).lstrip(_BLANKS)
        if begins.startswith(b"["):
            self._bare = True
            found: int | None = len(text) - len(begins) + 1
        elif begins and not begins.startswith((b"{", MARK[:1])):
            raise _no_trace(text, self._tally)
        else:
            found = array_start(text, self._searched)
            self._searched = max(0, len(text) - _OVERLAP_BYTES)
        if found is not None:
            self._around = Surroundings(b"" if self._bare else text[:found].removeprefix(MARK), self._tally)
            self._wait(b"", found)
            self._take(memoryview(text)[found:], self._around)
        elif len(text) > LONGEST_KEYS_BYTES:
            raise TraceError(f"is no profiler trace: no traceEvents in its first {LONGEST_KEYS_BYTES} bytes")

    def _take(self, chunk: bytes | memoryview, around: Surroundings) -> None:
        """Decode up to the last event that ends in `chunk`, as soon as there is enough."""
        before = self._waiting_bytes
        self._waiting.append(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes < _PIECE_BYTES:
            return
        boundary = last_boundary(chunk)
        if boundary is None:
            # Either it lies across the chunks, or the event is a very long one.
            if self._waiting_bytes < self._look_at:
                return
            self._look_at = 2 * self._waiting_bytes
            before, chunk = 0, b"".join(self._waiting)
            boundary = last_boundary(chunk)
            if boundary is None:
                self._wait(chunk, self._start)
                self._give_up_long()
                return
        end, after = boundary
        self._look_at = _PIECE_BYTES
        whole = [] if not before else self._waiting[:-1]
        piece = b"".join((b"[", *whole, memoryview(chunk)[:end], b"]"))
        start = self._start
        self._wait(chunk[after:], start + before + after)
        waiting = self._decode_piece(piece, start, around, final=False)
        if around.array_ended:
            around.add(bytes(chunk[end:]))
            self._wait(b"", start)
        elif waiting:
            # The piece was cut inside an event: its first half goes before the text that follows.
            self._wait(b"".join((waiting, b",", *self._waiting)), self._start - len(waiting) - 1)
            self._look_at = 2 * self._waiting_bytes

    def _give_up_long(self) -> None:
        if self._waiting_bytes > _LONGEST_EVENT_BYTES:
            self._tally.lose(1, byte=self._start)
            self._tally.seen += 1
            self._tally.note(
                f"a stretch of more than {_LONGEST_EVENT_BYTES} bytes without the end of an event was left out"
            )
            self._wait(b"", self._start + self._waiting_bytes)

    def _decode_last(self, text: bytes, around: Surroundings) -> None:
        """Decode what is left of the file, with an opening bracket before it."""
        end = likely_array_end(text, bare=self._bare)
        if end is not None:
            if not self._decode_whole(memoryview(text)[: end + 1], around):
                self._recover(text[: end + 1], self._start, around, final=True)
            # The likely end may be that of a later list: the decoding has then found the true one before it.
            around.add(text[end:] if around.array_ended else text[end + 1 :])
            return
        piece = text.rstrip(_BLANKS).removesuffix(b",") + b"]"
        self._decode_piece(piece, self._start, around, final=True)
        if not around.array_ended:
            self._tally.truncated = True
            self._tally.note(
                f"the file is cut off at byte {self._tally.text_bytes}, inside the list of events"
            )

    def _decode_piece(self, piece: bytes, start: int, around: Surroundings, *, final: bool) -> bytes:
        """Decode a list of events; what comes back is the beginning of an event that needs more text.

        `start` is the place in the file of the text between the brackets that were put around it.
        """
        if self._decode_whole(piece, around):
            return b""
        return self._recover(piece, start, around, final=final)

    def _recover(self, piece: bytes, start: int, around: Surroundings, *, final: bool) -> bytes:
        found = recover(piece[1:-1], self._tally, start=start, final=final)
        self._fold.add_exact(found.events)
        self._tally.seen += found.lost
        if found.after_array is not None:
            around.add(found.after_array)
        return found.waiting

    def _decode_whole(self, piece: bytes | memoryview, around: Surroundings) -> bool:
        """Decode a list that is sound, the end of the array in it or not; False where it is not sound."""
        if not self._exact:
            try:
                if self._fold.add_complete(complete_events.decode(piece)):
                    return True
                # Files are of one kind throughout: the pieces that follow need not be tried the fast way.
                self._exact = True
            except DECODE_ERRORS:
                pass
        try:
            self._fold.add_exact(exact_events.decode(piece))
        except DECODE_ERRORS as error:
            end = array_end(bytes(piece[1:-1]), error)
            if end is None or not self._decode_whole(b"".join((piece[: end + 1], b"]")), around):
                return False
            around.add(bytes(piece[end + 2 : -1]))
        return True


def _no_trace(text: bytes, tally: Tally) -> TraceError:
    start = text[:64].lstrip(_BLANKS)
    if not start:
        what = (
            "its compressed data is corrupt or cut off from the start" if tally.truncated else "it is empty"
        )
    elif start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start:
        what = "it is not UTF-8 text but binary, or UTF-16 without a mark; traces are JSON, plain or gzip"
    elif not start.startswith((b"{", b"[", MARK)):
        what = "it does not begin like JSON; traces are JSON in UTF-8, plain or gzip"
    elif tally.truncated or not text.rstrip(_BLANKS).endswith(b"}"):
        what = f"it is cut off before its first event, at byte {tally.text_bytes}"
    else:
        what = "it is a JSON object without a traceEvents list"
    return TraceError(f"is no profiler trace: {what}")
