"""Damaged trace text: repaired where it can be, taken event by event where it cannot."""

import re
from dataclasses import dataclass, field

import msgspec

from maskprof.traces.account import Tally
from maskprof.traces.events import DECODE_ERRORS, ExactEvent, exact_events, loose_event, loose_items

# Between two events; also between two objects of a list inside one event, hence the joining below.
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
# A whole escape (both halves of a character beyond the first 65536 together), or a lone backslash.
_BACKSLASH = re.compile(
    rb'\\(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})|\\'
)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]..\Z", re.DOTALL)
_NOT_A_NUMBER = re.compile(rb"(?<=[:,\[])(\s*)-?(?:NaN|nan|Infinity|inf)(?=\s*[,}\]])")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_CONTROL_TO_BLANK = bytes(max(b, ord(" ")) for b in range(256))
# Behind a bracket: what cannot follow a list of events, so that the bracket is a damaged byte.
_GOES_ON = re.compile(rb'\s*(?:[":]|\{\s*"ph")')
_GROUP = 128
_MOST_JOINED = 8


@dataclass(slots=True)
class Recovered:
    """What a damaged piece of the event array gave.

    Attributes:
        events: those that could be read.
        lost: how many could not; they are in the tally already.
        after_array: the text after the array's closing bracket; None where the array goes on.
        waiting: text at the end of the piece that may be an event's first half.
    """

    events: list[ExactEvent | None] = field(default_factory=list)
    lost: int = 0
    after_array: bytes | None = None
    waiting: bytes = b""


def repaired(text: bytes, tally: Tally, *, start: int = 0) -> bytes:
    """`text` with everything mended that can be without knowing what it means, with a note of each kind.

    `start` is the place of `text` in the file, for the notes.
    """

    def note(sentence: str, at: int) -> None:
        tally.note(sentence, f"first at byte {start + at}")

    mended = text.translate(_CONTROL_TO_BLANK)
    if control := _CONTROL.search(text):
        note("control characters were replaced by blanks", control.start())
    try:
        mended.decode()
    except UnicodeDecodeError as error:
        mended = mended.decode("utf-8", "replace").encode()
        note("bytes that are not UTF-8 were replaced", error.start)
    if b"\\" in mended:
        escaped = _BACKSLASH.sub(_sound_escape, mended)
        if escaped != mended:
            mended = escaped
            bad = (m.start() for m in _BACKSLASH.finditer(text) if _sound_escape(m) != m[0])
            note("lone backslashes were taken literally, halves of characters replaced", next(bad, 0))
    numbers, count = _NOT_A_NUMBER.subn(rb"\1null", mended)
    if count:
        found = _NOT_A_NUMBER.search(text.translate(_CONTROL_TO_BLANK))
        note("NaN and Infinity were read as null", found.end(1) if found else 0)
    return numbers


def _sound_escape(match: re.Match[bytes]) -> bytes:
    if len(match[0]) == 1:
        return rb"\\"
    return rb"\ufffd" if _HALF.match(match[0]) else match[0]


def array_end(text: bytes, error: Exception) -> int | None:
    """Where in `text`, a piece of the event array, the array's closing bracket stands.

    `error` is what decoding `[` + text + `]` raised: only text after the array is told as trailing.
    """
    place = re.search(r"trailing characters \(byte (\d+)\)", str(error))
    if place is None:
        return None
    stop = int(place[1])
    for _ in range(3):
        # The place is that of the first character after the blanks that follow the bracket, give or take one.
        stop = text.rfind(b"]", 0, stop)
        if stop < 0:
            return None
        try:
            items = loose_items.decode(b"[" + text[:stop] + b"]")
        except DECODE_ERRORS:
            continue
        if _GOES_ON.match(text, stop + 1):
            return None
        # What a damaged event leaves may end a list too, but one of its own. Nulls may stand behind the last event.
        last = next((item for item in reversed(items) if bytes(item) != b"null"), None)
        return stop if not items or (last is not None and _is_event(last)) else None
    return None


def _is_event(item: msgspec.Raw) -> bool:
    event = loose_event(item)
    return event is not None and bool(event.ph)


def recover(text: bytes, tally: Tally, *, start: int, final: bool) -> Recovered:
    """Everything that can be read from a piece of the event array that does not decode as a whole.

    `start` is the place of `text` in the file; `final` tells that no more text comes.
    """
    return _Recovery(repaired(text, tally, start=start), tally, start).run(final=final)


class _Recovery:
    """Goes through the candidates for events in a damaged text: what stands between two places of cutting."""

    def __init__(self, text: bytes, tally: Tally, start: int) -> None:
        self._text = text
        self._tally = tally
        self._start = start
        self._found = Recovered()
        self._damaged_until = 0
        self._before_failed = 0
        cuts = [(m.start() + 1, m.end()) for m in _BETWEEN.finditer(text)]
        self._starts = [0, *(start for _, start in cuts)]
        self._ends = [*(end for end, _ in cuts), len(text)]

    def run(self, *, final: bool) -> Recovered:
        at = 0
        failed_from: int | None = None
        while at < len(self._starts) and self._found.after_array is None:
            taken = self._take_group(at) if failed_from is None else 0
            taken = taken or self._take_one(at)
            if not taken:
                if failed_from is None:
                    failed_from, self._before_failed = at, len(self._found.events) + self._found.lost
                at += 1
                continue
            if failed_from is not None:
                self._count_lost(failed_from, self._starts[at])
                failed_from = None
            at += taken
        if failed_from is not None:
            if final or len(self._starts) - failed_from > _MOST_JOINED:
                self._count_lost(failed_from, len(self._text))
            else:
                self._found.waiting = self._text[self._starts[failed_from] :]
        return self._found

    def _take_group(self, at: int) -> int:
        """Read many sound events at once; how many, 0 where there is damage among them."""
        if self._damaged_until > at:
            return 0
        stop = min(at + _GROUP, len(self._starts))
        try:
            events = exact_events.decode(b"[" + self._span(at, stop - at) + b"]")
        except DECODE_ERRORS:
            self._damaged_until = stop
            return 0
        self._found.events += events
        return stop - at

    def _take_one(self, at: int) -> int:
        """Read the event that starts at candidate `at`; how many candidates it took, 0 if unreadable."""
        for count in range(1, min(_MOST_JOINED, len(self._starts) - at) + 1):
            text = self._span(at, count)
            try:
                items = loose_items.decode(b"[" + text + b"]")
            except DECODE_ERRORS as error:
                end = array_end(text, error)
                if end is not None:
                    self._keep(at, loose_items.decode(b"[" + text[:end] + b"]"))
                    self._found.after_array = self._text[self._starts[at] + end + 1 :]
                    return count
                if count == 1 and self._is_sound(at + 1):
                    # The next candidate is an event of its own, so this one is no half of a longer event.
                    return 0
                continue
            self._keep(at, items)
            return count
        return 0

    def _span(self, at: int, count: int) -> bytes:
        return self._text[self._starts[at] : self._ends[at + count - 1]]

    def _is_sound(self, at: int) -> bool:
        if at >= len(self._starts):
            return False
        try:
            exact_events.decode(b"[" + self._span(at, 1) + b"]")
        except DECODE_ERRORS:
            return False
        return True

    def _keep(self, at: int, items: list[msgspec.Raw]) -> None:
        for item in items:
            event = loose_event(item)
            if event is None:
                self._lose(1, at, len(self._found.events) + self._found.lost)
            else:
                self._found.events.append(event)

    def _count_lost(self, at: int, stop: int) -> None:
        # Every exporter writes the key, and an event has it once.
        count = max(1, self._text.count(b'"ph"', self._starts[at], stop))
        self._lose(count, at, self._before_failed)

    def _lose(self, count: int, at: int, before: int) -> None:
        self._tally.lose(count, after=before, byte=self._start + self._starts[at])
        self._found.lost += count
