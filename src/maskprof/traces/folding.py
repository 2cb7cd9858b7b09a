"""Decoded events folded into columns, piece by piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.account import Tally
from maskprof.traces.categories import canonical
from maskprof.traces.columns import Bools, Events, Inputs, Int32s, Int64s
from maskprof.traces.events import EXACT_FLOAT_US, KEPT_PHASES, NOTHING, Args, ExactEvent, RawEvent, exact_ns

_COLUMNS = (
    "name",
    "category",
    "pid",
    "tid",
    "ts_ns",
    "dur_ns",
    "correlation",
    "external_id",
    "stream",
    "device",
    "bytes",
    "inputs",
)
_DTYPES = dict.fromkeys(("name", "category", "pid", "tid", "inputs"), np.int32)
_NO_TEXT = b""
_INT64_MAX = 2**63 - 1
_COMPLETE, _BEGIN = ord("X"), ord("B")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldedColumns:
    """The columns and their tables; fields as in `Trace`."""

    events: Events
    names: tuple[str, ...]
    categories: tuple[str, ...]
    pids: tuple[int | str, ...]
    tids: tuple[int | str, ...]
    inputs: tuple[Inputs, ...]


class _Table(dict[Any, int]):
    """Gives each new key the next code."""

    def __missing__(self, key: Any) -> int:
        code = self[key] = len(self)
        return code


class ColumnFold:
    """Takes decoded events and ends as columns with their tables. Holds arrays only, never the events."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._parts: dict[str, list[Any]] = {column: [] for column in (*_COLUMNS, "kind")}
        self._names, self._categories, self._pids, self._tids = _Table(), _Table(), _Table(), _Table()
        self._inputs = _Table()

    def add_raw(self, events: Sequence[RawEvent | None]) -> bool:
        """Fold `events` in; False, with nothing taken, where their times have more digits than a float."""
        kept = [e for e in events if e is not None and e.ph in KEPT_PHASES]
        starts = _to_ns([e.ts for e in kept])
        durations = _to_ns([e.dur for e in kept])
        if starts is None or durations is None:
            return False
        self._count_dropped(events, kept)
        self._fold(kept, starts, durations)
        return True

    def add_exact(self, events: Sequence[ExactEvent | None]) -> None:
        """Fold `events` in; those whose times cannot be read are counted as lost."""
        kept = [e for e in events if e is not None and e.ph in KEPT_PHASES]
        self._count_dropped(events, kept)
        times = [(exact_ns(e.ts), exact_ns(e.dur)) for e in kept]
        good = [i for i, (start, duration) in enumerate(times) if start is not None and duration is not None]
        self._tally.lost += len(kept) - len(good)
        self._fold(
            [kept[i] for i in good],
            np.array([times[i][0] for i in good], dtype=np.int64),
            np.array([times[i][1] for i in good], dtype=np.int64),
        )

    def finish(self) -> FoldedColumns:
        """All that was folded in, begin and end events joined into whole ones. To be called once, at the end."""
        columns: dict[str, Any] = {}
        for column in (*_COLUMNS, "kind"):
            # Let go of one by one, so that no more than one column is there twice.
            parts = self._parts.pop(column)
            columns[column] = (
                np.concatenate(parts) if parts else np.empty(0, dtype=_DTYPES.get(column, np.int64))
            )
        kind = columns.pop("kind")
        if np.any(kind != _COMPLETE):
            keep, columns["dur_ns"] = _pair_begins_with_ends(kind, columns)
            self._tally.unpaired += int(np.count_nonzero(kind != _COMPLETE)) - 2 * int(
                np.count_nonzero(keep & (kind == _BEGIN))
            )
            columns = {column: values[keep] for column, values in columns.items()}
        categories, columns["category"] = _canonical_categories(self._categories, columns["category"])
        return FoldedColumns(
            events=Events(**columns),
            names=tuple(self._names),
            categories=categories,
            pids=tuple(self._pids),
            tids=tuple(self._tids),
            inputs=tuple(Inputs(*(text.decode("utf-8", "replace") for text in key)) for key in self._inputs),
        )

    def _count_dropped(self, events: Sequence[Any], kept: Sequence[Any]) -> None:
        if len(kept) == len(events):
            return
        # A dictionary without `ph` is no event of any kind.
        lost = sum(1 for e in events if e is None or not e.ph)
        self._tally.lost += lost
        self._tally.other += len(events) - len(kept) - lost

    def _fold(
        self, events: Sequence[RawEvent] | Sequence[ExactEvent], starts: Int64s, durations: Int64s
    ) -> None:
        args = [e.args for e in events]
        external_ids = _ids([a.external_id for a in args])
        if not np.any(external_ids != -1):
            external_ids = _ids([a.external_id_older for a in args])
        part = {
            "name": _codes(self._names, [e.name for e in events]),
            "category": _codes(self._categories, [e.cat for e in events]),
            "pid": _codes(self._pids, [e.pid for e in events]),
            "tid": _codes(self._tids, [e.tid for e in events]),
            "ts_ns": starts,
            "dur_ns": durations,
            "correlation": _ids([a.correlation for a in args]),
            "external_id": external_ids,
            "stream": _ids([a.stream for a in args]),
            "device": _ids([a.device for a in args]),
            "bytes": _ids([a.bytes for a in args]),
            "inputs": self._input_codes(events, args),
            "kind": np.array([ord(e.ph) for e in events], dtype=np.uint8),
        }
        for column, values in part.items():
            self._parts[column].append(values)

    def _input_codes(self, events: Sequence[RawEvent] | Sequence[ExactEvent], args: list[Args]) -> Int32s:
        codes = np.full(len(args), -1, dtype=np.int32)
        dims = [a.input_dims for a in args]
        if dims.count(NOTHING) == len(dims):
            dims = [a.input_dims_older for a in args]
        for row, text in enumerate(dims):
            if text is not NOTHING:
                concrete = args[row].concrete_inputs if "attention" in events[row].name else _NO_TEXT
                codes[row] = self._inputs[bytes(text), bytes(args[row].input_types), bytes(concrete)]
        return codes


def _codes(table: _Table, values: list[Any]) -> Int32s:
    return np.array(list(map(table.__getitem__, values)), dtype=np.int32)


def _ids(values: list[Any]) -> Int64s:
    try:
        return np.array(values, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        # Some exporters write a stream as text or null; such an id joins nothing.
        return np.array(
            [v if type(v) is int and 0 <= v <= _INT64_MAX else -1 for v in values], dtype=np.int64
        )


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


def _canonical_categories(table: _Table, codes: Int32s) -> tuple[tuple[str, ...], Int32s]:
    merged = _Table()
    to_merged = np.array([merged[canonical(category)] for category in table], dtype=np.int32)
    return tuple(merged), to_merged[codes] if len(codes) else codes


def _pair_begins_with_ends(kind: NDArray[np.uint8], columns: dict[str, Any]) -> tuple[Bools, Int64s]:
    """Which rows stay, and all durations: a begin gets its end's time, ends and lone begins go."""
    keep = kind == _COMPLETE
    durations = columns["dur_ns"].copy()
    starts, pids, tids = columns["ts_ns"], columns["pid"], columns["tid"]
    rows = np.flatnonzero(~keep)
    # Stable, so that events of the same time stay in the file's order.
    rows = rows[np.lexsort((starts[rows], tids[rows], pids[rows]))]
    opened: list[int] = []
    thread = None
    for row in rows.tolist():
        if thread != (pids[row], tids[row]):
            thread = (pids[row], tids[row])
            opened.clear()
        if kind[row] == _BEGIN:
            opened.append(row)
        elif opened:
            begin = opened.pop()
            durations[begin] = starts[row] - starts[begin]
            keep[begin] = True
    return keep, durations
