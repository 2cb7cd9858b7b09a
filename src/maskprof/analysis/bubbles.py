"""What a skipped block leaves on the device: the time during which nothing runs because nothing was launched."""

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_time import BusyTime
from maskprof.analysis.launched import Launched
from maskprof.traces.columns import Int64s
from maskprof.traces.pieces import Ints, column, row_column, slices


def bubbles_us(launched: Launched, turns: Ints) -> NDArray[np.float64]:
    """Idle time of the device around each of the host ranges in rows `turns`; shape (turns,), in microseconds.

    A bubble reaches from the end of the last device event launched before the turn to the start of the first
    one launched after it; what runs on any stream meanwhile is taken off. Turns that follow one another with
    no launch between them lie in one bubble, which they share in proportion to their time on the host, so that
    bubbles can be added up. Before the first launch and after the last one there is no bubble.
    """
    events, work, calls = launched.trace.events, launched.work, launched.calls
    found = np.zeros(len(turns))
    if not len(turns) or not len(calls):
        return found
    in_order, call_start = calls.by_start()
    times = [
        row_column(turns, of, at_least=np.int64) for of in (lambda some: events.ts_ns[some], events.ends)
    ]
    by_start = np.argsort(times[0], kind="stable")
    start, end = (time[by_start] - work.origin_ns for time in times)
    before = column(len(start), lambda piece: np.searchsorted(call_start, start[piece], side="left") - 1)
    after = column(len(end), lambda piece: np.searchsorted(call_start, end[piece], side="right"))
    # A turn begins a chain of its own if anything was launched since the turn before it.
    first = np.ones(len(turns), dtype=np.bool_)
    first[1:] = before[1:] >= after[:-1]
    chain = np.cumsum(first) - 1
    chain_before = before[first]
    chain_after = after[np.concatenate((first[1:], [True]))]
    within = np.flatnonzero((chain_before >= 0) & (chain_after < len(calls)))
    busy, idle = BusyTime(work), np.zeros(len(chain_before))
    for piece in slices(len(within)):
        at = within[piece]
        # One call may start many events, by their start: the last one before the bubble, and the first one after it.
        last = calls.events[calls.bounds[in_order[chain_before[at]] + 1] - 1]
        following = calls.events[calls.bounds[in_order[chain_after[at]]]]
        idle[at] = _idle_ns(busy, work.times(last)[1], work.times(following)[0])

    host = (end - start).astype(np.float64)
    chain_host = np.bincount(chain, weights=host)
    shares = np.divide(host, chain_host[chain], out=np.zeros(len(host)), where=chain_host[chain] > 0)
    found[by_start] = idle[chain] * shares / 1000.0
    return found


def _idle_ns(busy: BusyTime, start: Int64s, end: Int64s) -> NDArray[np.float64]:
    """How much of each interval no device event covers; 0 where it ends before it starts."""
    idle = (end - start) - (busy.until(end) - busy.until(start))
    return np.where(end > start, idle, 0).astype(np.float64)
