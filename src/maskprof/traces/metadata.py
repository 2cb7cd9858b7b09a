"""The keys beside the events, in front of the array and behind it, and where the trace ends."""

import json
import re
from typing import Any

import msgspec

from maskprof.traces.account import Tally
from maskprof.traces.events import DECODE_ERRORS
from maskprof.traces.recovery import repaired

# Longer than this, the keys of one side are not kept: the text of a trace is in its events.
LONGEST_KEYS_BYTES = 32 * 1024 * 1024
# What is longer than this is not worth what it takes as Python objects.
_LONGEST_VALUE_BYTES = 2 * 1024 * 1024
_FIRST_TRY_BYTES = 64 * 1024
_BLANKS = b" \t\r\n"
_MOST_CUTS = 64
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")

# Takes control characters inside texts, as they stand in traces.
_lenient = json.JSONDecoder(strict=False)
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Distributed(msgspec.Struct):
    """The part of `distributedInfo` that is wanted even where the list of process groups is very long."""

    backend: Any = None
    rank: Any = None
    world_size: Any = None


class Surroundings:
    """Takes the text before and after the event array; what follows the trace's end is counted and forgotten.

    `head` is the text up to the array's opening bracket, empty for a bare array.
    """

    def __init__(self, head: bytes, tally: Tally) -> None:
        self._head = head
        self._tally = tally
        self._tail: bytes | None = None
        self._next_try = _FIRST_TRY_BYTES
        self._found: dict[str, msgspec.Raw] | None = {} if not head else None
        self._too_long = False

    @property
    def array_ended(self) -> bool:
        return self._tail is not None

    def add(self, text: bytes) -> None:
        """Take the next text behind the array's closing bracket."""
        self._tail = self._tail or b""
        if self._found is not None:
            self._ignore(text)
            return
        if self._too_long:
            return
        self._tail += text
        if len(self._tail) >= self._next_try:
            self._next_try = 2 * len(self._tail)
            self._try(self._tail)
            if self._found is None and len(self._tail) > LONGEST_KEYS_BYTES:
                self._too_long = True
                self._tail = b""

    def finish(self) -> dict[str, Any]:
        """The keys and their values, `traceEvents` left out."""
        if self._found is None and not self._too_long:
            self._try(b"}" if self._tail is None else self._tail)
        if self._found is None:
            self._salvage()
        return self._values()

    def _try(self, tail: bytes) -> None:
        text = self._head + b"]" + tail
        try:
            self._found = _keys.decode(text)
        except DECODE_ERRORS:
            pass
        else:
            return
        text = repaired(text, Tally())
        try:
            self._found = _keys.decode(text)
        except DECODE_ERRORS as error:
            place = _TRAILING.search(str(error))
            end = len(text) if place is None else int(place[1]) + 1
            # The place is that of the first character after the blanks that follow the brace, give or take one.
            for _ in range(3 if place else 0):
                end = text.rfind(b"}", 0, end)
                if end < 0:
                    return
                try:
                    self._found = _keys.decode(text[: end + 1])
                except DECODE_ERRORS:
                    continue
                self._ignore(text[end + 1 :])
                return

    def _salvage(self) -> None:
        """The keys that are whole, of a text that ends too early or is damaged behind them."""
        tail = self._tail or b""
        self._tally.truncated |= not tail.rstrip(_BLANKS).endswith(b"}") and not self._too_long
        self._tally.note("the keys beside the events could not all be read")
        cut = len(tail)
        for _ in range(_MOST_CUTS):
            cut = tail.rfind(b",", 0, cut)
            if cut < 0:
                break
            self._try(tail[:cut] + b"}")
            if self._found is not None:
                return
        self._try(b"}")

    def _ignore(self, text: bytes) -> None:
        self._tally.ignored_bytes += len(text if self._tally.ignored_bytes else text.lstrip(_BLANKS))
        if self._tally.ignored_bytes:
            self._tally.note("the file goes on after the end of the trace; that part was ignored")

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, text in (self._found or {}).items():
            if key == "traceEvents":
                continue
            try:
                if len(text) > _LONGEST_VALUE_BYTES:
                    self._tally.note(f"metadata {key!r} has {len(text)} bytes and was not kept")
                    if key == "distributedInfo":
                        values[key] = msgspec.to_builtins(msgspec.json.decode(text, type=_Distributed))
                else:
                    values[key] = _lenient.decode(str(text, "utf-8"))
            except (ValueError, RecursionError, *DECODE_ERRORS):
                self._tally.note(f"metadata {key[:80]!r} could not be read")
        return values
