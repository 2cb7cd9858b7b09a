"""How events hang together: launch and device event by correlation, nesting by time on one thread."""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from maskprof.traces.categories import DEVICE_EVENTS, LAUNCH_CALLS, MTIA, MTIA_IDLE
from maskprof.traces.columns import Bools, Events, Int32s, Int64s, Trace
from maskprof.traces.growing import kept
from maskprof.traces.pieces import Ints, column, order, positions, row_column, slices
from maskprof.traces.repeated_ids import RepeatedIds

# From the first range of a thread to behind its last one.
_Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Launches:
    """Device events (kernels, copies, memsets) beside the host calls that started them.

    One call may have started many (a graph's launch). A device event without a call was queued before the
    profiler's window, or its call was lost.

    Attributes:
        device_rows: rows of the device events, ascending; shape (device events,).
        launch_rows: for each, the row of its launch call, or -1; shape (device events,).
        repeated_ids: how many ids join device events and belong to more than one call.
    """

    device_rows: Ints
    launch_rows: Ints
    repeated_ids: int = 0

    @property
    def linked(self) -> Bools:
        """Which device events have their launch call in the trace; shape (device events,)."""
        return self.launch_rows >= 0


def find_device_rows(trace: Trace) -> Ints:
    """Rows of what devices did, ascending: kernels, copies, memsets; of an MTIA what it ran and copied."""
    rows = trace.rows_in((*DEVICE_EVENTS, MTIA))
    if MTIA not in trace.categories:
        return rows
    names = trace.events.name[rows]
    idle = [code for code, name in enumerate(trace.names) if name in MTIA_IDLE]
    return np.asarray(rows[~(np.isin(names, idle) & trace.in_categories((MTIA,))[rows])])


def link_launches(trace: Trace) -> Launches:
    """Find the launch call of every device event by equal correlation ids (ids below 1 join nothing)."""
    correlation = trace.events.correlation
    device_rows = find_device_rows(trace)
    calls = trace.rows_in(LAUNCH_CALLS)
    joining = positions(len(calls), lambda piece: correlation[calls[piece]] > 0)
    by_id = order(len(joining), lambda piece: correlation[calls[joining[piece]]])
    call_rows = column(len(by_id), lambda piece: calls[joining[by_id[piece]]])
    call_ids = column(len(by_id), lambda piece: correlation[call_rows[piece]])
    if _has_equal_neighbours(call_ids):
        return _link_repeated(trace, device_rows, call_rows)

    def launch_of(piece: slice) -> Ints:
        wanted = correlation[device_rows[piece]]
        if not len(call_ids):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(call_ids, wanted), len(call_ids) - 1)
        return np.where(call_ids[at] == wanted, call_rows[at], -1)

    return Launches(device_rows=device_rows, launch_rows=column(len(device_rows), launch_of))


def _has_equal_neighbours(ids: Ints) -> bool:
    return any(
        bool((ids[piece.start + 1 : piece.stop + 1] == ids[piece][: len(ids) - 1 - piece.start]).any())
        for piece in slices(len(ids))
    )


def _link_repeated(trace: Trace, device_rows: Ints, call_rows: Ints) -> Launches:
    """The same where several calls have one id."""
    ids = RepeatedIds(trace.events, call_rows, device_rows, len(trace.pids))
    launch_rows = column(len(device_rows), lambda piece: ids.launchers(device_rows[piece]))
    return Launches(device_rows=device_rows, launch_rows=launch_rows, repeated_ids=ids.repeated())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nesting:
    """Ranges in the order of (thread, start), outer before inner, each with the range around it.

    Attributes:
        rows: the ranges' rows; shape (ranges,).
        parents: position in `rows` of the innermost range of the same thread that holds the whole of this
            one, or -1; shape (ranges,). A range that only partly overlaps another is not inside it.
    """

    rows: Ints
    parents: Ints


def nest(events: Events, rows: Ints) -> Nesting:
    """Find the nesting of the ranges in `rows` on each (pid, tid)."""
    count, in_order = len(rows), _outer_first(events, rows)
    ordered = column(count, lambda piece: rows[in_order[piece]])
    parents = np.arange(-1, count - 1, dtype=np.int32)
    parents[_thread_starts(events, ordered)[:-1]] = -1
    # The parent is the nearest range before that ends no earlier. All ranges between a range and its
    # candidate end before it, so a candidate that ends too early may be replaced by its own candidate.
    end = row_column(ordered, events.ends, at_least=np.int64)
    early = _ending_early(parents, end, end, np.arange(count, dtype=np.int32))
    while len(early):
        parents[early] = parents[parents[early]]
        early = _ending_early(parents, end, end, early)
    return Nesting(rows=ordered, parents=parents)


def _outer_first(events: Events, rows: Ints) -> Ints:
    """Positions by thread, start, and then from outer to inner."""
    keys = (
        row_column(rows, lambda some: -events.ends(some), at_least=np.int64),
        row_column(rows, lambda some: events.ts_ns[some], at_least=np.int64),
        row_column(rows, lambda some: events.tid[some], at_least=np.int8),
        row_column(rows, lambda some: events.pid[some], at_least=np.int8),
    )
    return kept(np.lexsort(keys).astype(np.int32))


def innermost(events: Events, nesting: Nesting, rows: Ints) -> Ints:
    """For each of `rows` the innermost range of its thread within which it starts: a position, or -1.

    Positions are those of `nesting`; shape (rows,).
    """
    ranges = nesting.rows
    bounds = _thread_starts(events, ranges).tolist()
    threads = {
        (int(events.pid[ranges[low]]), int(events.tid[ranges[low]])): (low, high)
        for low, high in itertools.pairwise(bounds)
    }
    starts = row_column(ranges, lambda some: events.ts_ns[some], at_least=np.int64)
    ends = row_column(ranges, events.ends, at_least=np.int64)

    def around(piece: slice) -> Ints:
        some = rows[piece]
        pid, tid, start = events.pid[some], events.tid[some], events.ts_ns[some]
        at = np.full(len(some), -1, dtype=np.int32)
        for (wanted_pid, wanted_tid), (low, high) in _present(threads, pid, tid):
            points = np.flatnonzero((pid == wanted_pid) & (tid == wanted_tid))
            # The last range that starts no later; of several that start together the one within the others.
            at[points] = np.searchsorted(starts[low:high], start[points], side="right") - 1 + low
            at[points[at[points] < low]] = -1
        early = _ending_early(at, ends, start, np.arange(len(some), dtype=np.int32))
        while len(early):
            at[early] = nesting.parents[at[early]]
            early = _ending_early(at, ends, start, early)
        return at

    return column(len(rows), around)


def nearest_of(nesting: Nesting, places: Ints, wanted: Bools) -> Ints:
    """For each of the positions `places` (or -1) the nearest wanted range: itself or one around it; a position, or -1.

    `wanted` has shape (ranges,).
    """
    found = places.copy()
    while True:
        others = np.flatnonzero((found >= 0) & ~wanted[found])
        if not len(others):
            return found
        found[others] = nesting.parents[found[others]]


def _thread_starts(events: Events, rows: Ints) -> Int64s:
    """Where in `rows`, which are sorted by thread, each thread begins, and the last one ends."""
    pid = row_column(rows, lambda some: events.pid[some], at_least=np.int8)
    tid = row_column(rows, lambda some: events.tid[some], at_least=np.int8)
    changes = np.flatnonzero((pid[1:] != pid[:-1]) | (tid[1:] != tid[:-1])) + 1
    return np.concatenate(([0], changes, [len(rows)] if len(rows) else [])).astype(np.int64)


def _present(
    threads: dict[tuple[int, int], _Span], pid: Ints, tid: Ints
) -> list[tuple[tuple[int, int], _Span]]:
    """Those of `threads` that any of the events given by `pid` and `tid` are on."""
    codes = np.unique((pid.astype(np.int64) << 32) | tid).tolist()
    keys = [(code >> 32, code & 0xFFFFFFFF) for code in codes]
    return [(key, threads[key]) for key in keys if key in threads]


def _ending_early(at: Int32s, ends: Int64s, times: Int64s, among: Int32s) -> Int32s:
    """Which of `among` have a range at position `at` that ends before their time."""
    among = among[at[among] >= 0]
    early: Int32s = among[ends[at[among]] < times[among]]
    return early
