"""Decoded events folded into columns, piece by piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskprof.errors import TraceError
from maskprof.traces.account import Tally
from maskprof.traces.categories import MEMCPY, MEMSET, PYTHON, canonical
from maskprof.traces.code_tables import CodeTable
from maskprof.traces.columns import Events, Inputs, Int64s
from maskprof.traces.events import (
    BEGIN,
    COMPLETE,
    EXACT_FLOAT_US,
    KEPT_PHASES,
    NOTHING,
    Args,
    Complete,
    ExactEvent,
    exact_ns,
    plain_identity,
)
from maskprof.traces.growing import GrowingColumn
from maskprof.traces.pairing import pair_begins_with_ends
from maskprof.traces.pieces import Ints

# At least so wide, whatever the values are.
_WIDTHS = {
    "name": np.int16,
    "category": np.int8,
    "pid": np.int8,
    "tid": np.int8,
    "ts_ns": np.int64,
    "dur_ns": np.int32,
    "correlation": np.int32,
    "external_id": np.int32,
    "stream": np.int8,
    "device": np.int8,
    "bytes": np.int32,
    "inputs": np.int16,
}
# So many fill some 3 GB; a trace that has more is no trace that anyone recorded.
_MOST_EVENTS = 100_000_000
_INT64_MAX = 2**63 - 1
_MODULE = "nn.Module: "
# Stands in no sound JSON text.
_BETWEEN_TEXTS = b"\0"
_NO_INPUTS = _BETWEEN_TEXTS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldedColumns:
    """The columns and their tables; fields as in `Trace`."""

    events: Events
    names: tuple[str, ...]
    categories: tuple[str, ...]
    pids: tuple[int | str, ...]
    tids: tuple[int | str, ...]
    inputs: tuple[Inputs, ...]


class ColumnFold:
    """Takes decoded events and ends as columns with their tables. Holds arrays only, never the events.

    `python`: whether to keep Python frames that are no module's.
    """

    def __init__(self, tally: Tally, *, python: bool) -> None:
        self._tally = tally
        self._python = python
        self._columns = {column: GrowingColumn(at_least=width) for column, width in _WIDTHS.items()}
        self._kind = GrowingColumn()
        self._names = CodeTable("names", tally, _has_values)
        self._categories = CodeTable("categories", tally, lambda c: canonical(c) in (MEMCPY, MEMSET))
        self._pids = CodeTable("process ids", tally, plain=plain_identity)
        self._tids = CodeTable("thread ids", tally, plain=plain_identity)
        self._inputs = CodeTable("shapes", tally)
        self._inputs[_NO_INPUTS] = 0

    def add_complete(self, events: Sequence[Any]) -> bool:
        """Fold in what `complete_events` gave; False, with nothing taken, where a float does not hold the times."""
        kept: Sequence[Complete] = [e for e in events if type(e) is Complete]
        timed, frames = len(kept), []
        if not self._python:
            is_frame = [e.cat == PYTHON and not e.name.startswith(_MODULE) for e in kept]
            if True in is_frame:
                frames = list(compress(kept, is_frame))
                kept = list(compress(kept, map(not_, is_frame)))
        starts = _to_ns([e.ts for e in kept])
        durations = _to_ns([e.dur for e in kept])
        if starts is None or durations is None:
            return False
        if frames:
            spanned = _spanned(frames)
            if spanned is None:
                return False
            self._tally.pass_over(len(frames), *spanned.tolist())
        self._tally.seen += len(events)
        self._tally.other += len(events) - timed
        self._fold(kept, starts, durations, None)
        return True

    def add_exact(self, events: Sequence[ExactEvent | None]) -> None:
        """Fold `events` in; those that are null or whose times cannot be read are counted as lost."""
        kept: list[ExactEvent] = []
        starts: list[int] = []
        durations: list[int] = []
        for at, event in enumerate(events):
            # A dictionary without `ph` is no event of any kind.
            if event is None or not event.ph:
                self._tally.lose(1, after=at)
            elif event.ph not in KEPT_PHASES:
                self._tally.other += 1
            else:
                start, duration = exact_ns(event.ts), exact_ns(event.dur)
                if start is None or duration is None:
                    self._tally.lose(1, after=at)
                elif self._is_frame(event):
                    self._tally.pass_over(1, start, start + duration)
                else:
                    kept.append(event)
                    starts.append(start)
                    durations.append(duration)
        self._tally.seen += len(events)
        self._fold(
            kept,
            np.array(starts, dtype=np.int64),
            np.array(durations, dtype=np.int64),
            np.array([ord(e.ph) for e in kept], dtype=np.int64),
        )

    def finish(self) -> FoldedColumns:
        """All that was folded in, begin and end events joined into whole ones. To be called once, at the end."""
        # Let go of one by one: where a column is copied, no more than that one is there twice.
        columns: dict[str, Any] = {name: self._columns.pop(name).finish() for name in _WIDTHS}
        kind = self._kind.finish()
        if np.any(kind != ord(COMPLETE)):
            keep, columns["dur_ns"] = pair_begins_with_ends(kind, columns)
            self._tally.unpaired += int(np.count_nonzero(kind != ord(COMPLETE))) - 2 * int(
                np.count_nonzero(keep & (kind == ord(BEGIN)))
            )
            columns = {column: values[keep] for column, values in columns.items()}
        categories, columns["category"] = _canonical_categories(self._categories, columns["category"])
        del self._inputs[_NO_INPUTS]
        return FoldedColumns(
            events=Events(**columns),
            names=tuple(self._names),
            categories=categories,
            pids=self._pids.by_code(),
            tids=self._tids.by_code(),
            inputs=tuple(_as_inputs(text) for text in self._inputs),
        )

    def _is_frame(self, event: ExactEvent) -> bool:
        # An end event has no name, so a begin event of a frame has to stay as its partner.
        return (
            not self._python
            and event.cat == PYTHON
            and event.ph == COMPLETE
            and not event.name.startswith(_MODULE)
        )

    def _fold(
        self,
        events: Sequence[Complete] | Sequence[ExactEvent],
        starts: Int64s,
        durations: Int64s,
        kinds: Int64s | None,
    ) -> None:
        count = len(events)
        durations = self._without_negative(durations, kinds)
        if len(self._kind) + count > _MOST_EVENTS:
            raise TraceError(
                f"holds more than {_MOST_EVENTS} events with a duration, which is more than fit in memory; "
                f"the limit is reached at event {self._tally.seen}"
            )
        args = [e.args for e in events]
        external_ids = _ids([a.external_id for a in args])
        if not np.any(external_ids != -1):
            external_ids = _ids([a.external_id_older for a in args])
        names = self._names.codes([e.name for e in events])
        categories = self._categories.codes([e.cat for e in events])
        part = {
            "name": names,
            "category": categories,
            "pid": self._pids.codes([e.pid for e in events]),
            "tid": self._tids.codes([e.tid for e in events]),
            "ts_ns": starts,
            "dur_ns": durations,
            "correlation": _ids([a.correlation for a in args]),
            "external_id": external_ids,
            "stream": _ids([a.stream for a in args]),
            "device": _ids([a.device for a in args]),
            "bytes": _bytes_moved(self._categories.marked_rows(categories), args),
            "inputs": self._input_codes(self._names.marked_rows(names), args),
        }
        for column, values in part.items():
            self._columns[column].extend(values)
        self._kind.extend(_constant(ord(COMPLETE), count) if kinds is None else kinds)

    def _without_negative(self, durations: Int64s, kinds: Int64s | None) -> Int64s:
        """Nothing ends before it begins: such durations become 0, and are counted."""
        negative = durations < 0
        if not negative.any():
            return durations
        # A begin event's duration is its end's matter.
        counted = negative if kinds is None else negative & (kinds == ord(COMPLETE))
        self._tally.negative_durations += int(np.count_nonzero(counted))
        return np.maximum(durations, 0)

    def _input_codes(self, with_values: list[int], args: list[Args]) -> Int64s:
        dims = [a.input_dims for a in args]
        if dims.count(NOTHING) == len(dims):
            dims = [a.input_dims_older for a in args]
            if dims.count(NOTHING) == len(dims):
                return _constant(-1, len(args))
        texts = list(map(_BETWEEN_TEXTS.join, zip(dims, [a.input_types for a in args], strict=True)))
        for row in with_values:
            if texts[row] != _NO_INPUTS:
                texts[row] += _BETWEEN_TEXTS + bytes(args[row].concrete_inputs)
        return self._inputs.codes(texts) - 1


def _has_values(name: str) -> bool:
    """Whether an operator is one of those of which the inputs that are no tensors are kept too."""
    return "attention" in name or "attn" in name or "conv" in name


def _bytes_moved(rows: list[int], args: list[Args]) -> Int64s:
    if not rows:
        return _constant(-1, len(args))
    moved = np.full(len(args), -1, dtype=np.int64)
    moved[rows] = _ids([args[row].bytes for row in rows])
    return moved


def _as_inputs(text: bytes) -> Inputs:
    dims, types, concrete = [*text.decode("utf-8", "replace").split("\0"), "", ""][:3]
    return Inputs(dims, types, concrete)


def _constant(value: int, count: int) -> Int64s:
    return np.broadcast_to(np.int64(value), (count,))


def _ids(values: list[Any]) -> Int64s:
    if values and values.count(values[0]) == len(values):
        return _constant(_id(values[0]), len(values))
    try:
        return np.fromiter(values, dtype=np.int64, count=len(values))
    except (TypeError, ValueError, OverflowError):
        # Some exporters write a stream as text or null; such an id joins nothing.
        return np.fromiter(map(_id, values), dtype=np.int64, count=len(values))


def _id(value: Any) -> int:
    # A text of digits is a number here, because it is one to numpy where nothing else is unusual.
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal()):
        try:
            number = int(value)
        except (ValueError, OverflowError):
            return -1
        return number if abs(number) <= _INT64_MAX else -1
    return -1


def _to_ns(microseconds: list[Any]) -> Int64s | None:
    """Nanoseconds, or None where these values do not say them exactly."""
    if not microseconds:
        return np.empty(0, dtype=np.int64)
    values = np.array(microseconds)
    if values.dtype.kind == "i":
        exact = np.abs(values.astype(np.int64)).max() < _INT64_MAX // 4000
        return values.astype(np.int64) * 1000 if exact else None
    if values.dtype.kind == "f" and np.abs(values).max() < EXACT_FLOAT_US:
        return np.rint(values * 1000.0).astype(np.int64)
    return None


def _spanned(events: list[Any]) -> Int64s | None:
    """The earliest start and the latest end, or None where their values do not say them exactly."""
    starts = [e.ts for e in events]
    return None if None in starts else _to_ns([min(starts), max([e.ts + e.dur for e in events])])


def _canonical_categories(table: CodeTable, codes: Ints) -> tuple[tuple[str, ...], NDArray[Any]]:
    merged: dict[str, int] = {}
    to_merged = np.array([merged.setdefault(canonical(c), len(merged)) for c in table], dtype=np.int64)
    if len(merged) == len(table) or not len(codes):
        return tuple(merged), codes
    return tuple(merged), to_merged.astype(codes.dtype)[codes]
