"""How events hang together: launch and device event by correlation, nesting by time on one thread."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.categories import DEVICE_EVENTS, LAUNCH_CALLS, MTIA, MTIA_IDLE
from maskprof.traces.columns import Bools, Events, Int64s, Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Launches:
    """Device events (kernels, copies, memsets) beside the host calls that started them.

    One call may have started many (a graph's launch). A device event without a call was queued before the
    profiler's window, or its call was lost.

    Attributes:
        device_rows: rows of the device events, ascending; shape (device events,).
        launch_rows: for each, the row of its launch call, or -1; shape (device events,).
    """

    device_rows: Int64s
    launch_rows: Int64s

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
    device_rows = find_device_rows(trace)
    call_rows = trace.rows_in(LAUNCH_CALLS)
    call_rows = call_rows[correlation[call_rows] > 0]
    call_rows = call_rows[np.argsort(correlation[call_rows], kind="stable")]
    launch_rows = np.full(len(device_rows), -1, dtype=np.int64)
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

    rows: Int64s
    parents: Int64s


def nest(events: Events, rows: Int64s) -> Nesting:
    """Find the nesting of the ranges in `rows` on each (pid, tid)."""
    thread = _threads(events, rows)
    order = np.lexsort((-events.end_ns[rows], events.ts_ns[rows], thread))
    rows, thread = rows[order], thread[order]
    end = events.end_ns[rows]
    parents = np.arange(-1, len(rows) - 1, dtype=np.int64)
    if len(rows):
        parents[np.concatenate(([True], thread[1:] != thread[:-1]))] = -1
    # The parent is the nearest range before that ends no earlier. All ranges between a range and its
    # candidate end before it, so a candidate that ends too early may be replaced by its own candidate.
    while True:
        early = np.flatnonzero((parents >= 0) & (end[parents] < end))
        if not len(early):
            return Nesting(rows=rows, parents=parents)
        parents[early] = parents[parents[early]]


def innermost(events: Events, nesting: Nesting, rows: Int64s) -> Int64s:
    """For each of `rows` the innermost range of its thread within which it starts: a position, or -1.

    Positions are those of `nesting`; shape (rows,).
    """
    ranges, count = nesting.rows, len(nesting.rows)
    if not count:
        return np.full(len(rows), -1, dtype=np.int64)
    both = np.concatenate((ranges, rows))
    thread = _threads(events, both)
    is_point = np.arange(len(both)) >= count
    # The ranges keep their order among themselves, for the sorting is stable and they are in it already.
    order = np.lexsort((is_point, events.ts_ns[both], thread))
    latest = np.maximum.accumulate(np.where(is_point[order], -1, order))
    found = np.empty(len(both), dtype=np.int64)
    found[order] = latest
    found = found[count:]
    found[(found >= 0) & (thread[found] != thread[count:])] = -1
    start, end = events.ts_ns[rows], events.end_ns[ranges]
    while True:
        early = np.flatnonzero((found >= 0) & (end[found] < start))
        if not len(early):
            return found
        found[early] = nesting.parents[found[early]]


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


def _threads(events: Events, rows: Int64s) -> NDArray[np.int64]:
    return (events.pid[rows].astype(np.int64) << 32) | events.tid[rows]
