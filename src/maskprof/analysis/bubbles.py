"""What a skipped block leaves on the device: the time during which nothing runs because nothing was launched."""

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.columns import Int64s, Trace
from maskprof.traces.intervals import union
from maskprof.traces.links import Launches


def bubbles_us(trace: Trace, launches: Launches, turns: Int64s) -> NDArray[np.float64]:
    """Idle time of the device around each of the host ranges in rows `turns`; shape (turns,), in microseconds.

    A bubble reaches from the end of the last device event launched before the turn to the start of the first
    one launched after it; what runs on any stream meanwhile is taken off. Turns that follow one another with
    no launch between them lie in one bubble, which they share in proportion to their time on the host, so that
    bubbles can be added up. Before the first launch and after the last one there is no bubble.
    """
    events = trace.events
    found = np.zeros(len(turns))
    linked = np.flatnonzero(launches.linked)
    if not len(turns) or not len(linked):
        return found
    rows, calls = launches.device_rows[linked], launches.launch_rows[linked]
    # One call may start many events: those of a graph follow one another by their own start.
    order = np.lexsort((events.ts_ns[rows], events.ts_ns[calls]))
    rows, call_start = rows[order], events.ts_ns[calls[order]]
    # As long as the trace, and the union below takes as much again.
    del linked, calls, order

    in_time = np.argsort(events.ts_ns[turns], kind="stable")
    start, end = events.ts_ns[turns[in_time]], events.ends(turns[in_time])
    before = np.searchsorted(call_start, start, side="left") - 1
    after = np.searchsorted(call_start, end, side="right")
    # A turn begins a chain of its own if anything was launched since the turn before it.
    first = np.ones(len(turns), dtype=np.bool_)
    first[1:] = before[1:] >= after[:-1]
    chain = np.cumsum(first) - 1
    chain_before = before[first]
    chain_after = after[np.concatenate((first[1:], [True]))]
    within = (chain_before >= 0) & (chain_after < len(rows))
    last, following = rows[chain_before[within]], rows[chain_after[within]]
    idle = np.zeros(len(chain_before))
    idle[within] = _idle_ns(trace, launches, events.ends(last), events.ts_ns[following])

    host = (end - start).astype(np.float64)
    chain_host = np.bincount(chain, weights=host)
    shares = np.divide(host, chain_host[chain], out=np.zeros(len(host)), where=chain_host[chain] > 0)
    found[in_time] = idle[chain] * shares / 1000.0
    return found


def _idle_ns(trace: Trace, launches: Launches, start: Int64s, end: Int64s) -> NDArray[np.float64]:
    """How much of each interval no device event covers; 0 where it ends before it starts."""
    events = trace.events
    device = launches.device_rows
    lower, upper = union(events.ts_ns[device], events.ends(device))
    busy_before = np.concatenate(([0], np.cumsum(upper - lower)))

    def busy_until(time: Int64s) -> Int64s:
        at = np.searchsorted(lower, time, side="right")
        over = np.where(at > 0, np.maximum(upper[at - 1] - time, 0), 0)
        return np.asarray(busy_before[at] - over, dtype=np.int64)

    idle = (end - start) - (busy_until(end) - busy_until(start))
    return np.where(end > start, idle, 0).astype(np.float64)
