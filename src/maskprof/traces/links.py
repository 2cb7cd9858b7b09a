"""How events hang together: launch and device event by correlation, nesting by time on one thread."""

import itertools
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from maskprof.traces.categories import DEVICE_EVENTS, LAUNCH_CALLS, MTIA, MTIA_IDLE
from maskprof.traces.columns import Bools, Events, Int32s, Int64s, Ints, Trace

# From the first range of a thread to behind its last one.
_Span: TypeAlias = tuple[int, int]
# So many rows are dealt with at once, to keep what is only needed in between small.
_PIECE = 2**16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Launches:
    """Device events (kernels, copies, memsets) beside the host calls that started them.

    One call may have started many (a graph's launch). A device event without a call was queued before the
    profiler's window, or its call was lost.

    Attributes:
        device_rows: rows of the device events, ascending; shape (device events,).
        launch_rows: for each, the row of its launch call, or -1; shape (device events,).
    """

    device_rows: Ints
    launch_rows: Ints

    @property
    def linked(self) -> Bools:
        """Which device events have their launch call in the trace; shape (device events,)."""
        return self.launch_rows >= 0


def find_device_rows(trace: Trace) -> Int64s:
    """Rows of what devices did, ascending: kernels, copies, memsets; of an MTIA what it ran and copied."""
    rows = trace.rows_in((*DEVICE_EVENTS, MTIA))
    if MTIA not in trace.categories:
        return rows
    names = trace.events.name[rows]
    idle = [code for code, name in enumerate(trace.names) if name in MTIA_IDLE]
    return rows[~(np.isin(names, idle) & trace.in_categories((MTIA,))[rows])]


def link_launches(trace: Trace) -> Launches:
    """Find the launch call of every device event by equal correlation ids (ids below 1 join nothing)."""
    correlation = trace.events.correlation
    device_rows = find_device_rows(trace).astype(np.int32)
    call_rows = trace.rows_in(LAUNCH_CALLS)
    call_rows = call_rows[correlation[call_rows] > 0]
    call_rows = call_rows[np.argsort(correlation[call_rows], kind="stable")]
    launch_rows = np.full(len(device_rows), -1, dtype=np.int32)
    if len(call_rows):
        call_ids = correlation[call_rows]
        at = np.minimum(np.searchsorted(call_ids, correlation[device_rows]), len(call_ids) - 1)
        linked = call_ids[at] == correlation[device_rows]
        launch_rows[linked] = call_rows[at[linked]]
    return Launches(device_rows=device_rows, launch_rows=launch_rows)


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
    order = np.lexsort((-events.ends(rows), events.ts_ns[rows], events.tid[rows], events.pid[rows]))
    rows = rows[order].astype(np.int32)
    del order
    parents = np.arange(-1, len(rows) - 1, dtype=np.int32)
    parents[_thread_starts(events, rows)[:-1]] = -1
    # The parent is the nearest range before that ends no earlier. All ranges between a range and its
    # candidate end before it, so a candidate that ends too early may be replaced by its own candidate.
    end = events.ends(rows)
    early = _ending_early(parents, end, end, np.arange(len(rows), dtype=np.int32))
    while len(early):
        parents[early] = parents[parents[early]]
        early = _ending_early(parents, end, end, early)
    return Nesting(rows=rows, parents=parents)


def innermost(events: Events, nesting: Nesting, rows: Ints) -> Ints:
    """For each of `rows` the innermost range of its thread within which it starts: a position, or -1.

    Positions are those of `nesting`; shape (rows,).
    """
    ranges = nesting.rows
    found = np.full(len(rows), -1, dtype=np.int32)
    bounds = _thread_starts(events, ranges).tolist()
    threads = {
        (int(events.pid[ranges[low]]), int(events.tid[ranges[low]])): (low, high)
        for low, high in itertools.pairwise(bounds)
    }
    starts, ends = events.ts_ns[ranges], events.ends(ranges)
    for first in range(0, len(rows), _PIECE):
        piece = rows[first : first + _PIECE]
        pid, tid, start = events.pid[piece], events.tid[piece], events.ts_ns[piece]
        at = found[first : first + _PIECE]
        for (wanted_pid, wanted_tid), (low, high) in _present(threads, pid, tid):
            points = np.flatnonzero((pid == wanted_pid) & (tid == wanted_tid))
            # The last range that starts no later; of several that start together the one within the others.
            at[points] = np.searchsorted(starts[low:high], start[points], side="right") - 1 + low
            at[points[at[points] < low]] = -1
        early = _ending_early(at, ends, start, np.arange(len(piece), dtype=np.int32))
        while len(early):
            at[early] = nesting.parents[at[early]]
            early = _ending_early(at, ends, start, early)
    return found


def nearest_of(nesting: Nesting, positions: Int64s, wanted: Bools) -> Int64s:
    """For each of `positions` (or -1) the nearest wanted range: itself or one around it; a position, or -1.

    `wanted` has shape (ranges,).
    """
    found = positions.copy()
    while True:
        others = np.flatnonzero((found >= 0) & ~wanted[found])
        if not len(others):
            return found
        found[others] = nesting.parents[found[others]]


def _thread_starts(events: Events, rows: Ints) -> Int64s:
    """Where in `rows`, which are sorted by thread, each thread begins, and the last one ends."""
    pid, tid = events.pid[rows], events.tid[rows]
    changes = np.flatnonzero((pid[1:] != pid[:-1]) | (tid[1:] != tid[:-1])) + 1
    return np.unique(np.concatenate(([0], changes, [len(rows)]))).astype(np.int64)


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
