"""How long launched work waits, and how much of it: delay and queue depth."""

import numpy as np

from maskprof.analysis.device_work import Calls, DeviceWork, Positions
from maskprof.analysis.narrow import slices
from maskprof.results.trace_summary import LaunchFacts
from maskprof.traces.columns import Int32s, Int64s

_P95 = 0.95


def queue_depths(work: DeviceWork, calls: Calls) -> Int32s:
    """How many device events are queued when each launch call begins; shape (calls,).

    Those are the events that earlier calls, of any thread, have launched and that have not started. A graph's
    launch queues all of its events.
    """
    depth = np.zeros(len(calls), dtype=np.int32)
    is_linked = work.call >= 0
    starts = work.start_ns if is_linked.all() else work.start_ns[is_linked]
    order, launched = calls.order(), 0
    for piece in slices(len(calls)):
        at = order[piece]
        events = calls.bounds[at + 1] - calls.bounds[at]
        before = launched + np.cumsum(events, dtype=np.int64) - events
        started = np.searchsorted(starts, calls.starts(at), side="right")
        # Where clocks disagree, more may have started than was launched.
        depth[at] = np.maximum(before - started, 0)
        launched += int(events.sum())
    return depth


def launch_facts(calls: Calls, depths: Int32s, chosen: Positions) -> LaunchFacts | None:
    """The facts of the chosen calls; None where there are none.

    The median of an even number lies between the two in the middle. The 95th percentile is a delay that occurred:
    the last one of the lower 95 %.
    """
    delay = np.sort(calls.delay_ns[chosen])
    if not len(delay):
        return None
    middle = (int(delay[(len(delay) - 1) // 2]), int(delay[len(delay) // 2]))
    depth = depths[chosen]
    return LaunchFacts(
        count=len(delay),
        host_us=int(calls.dur_ns[chosen].sum(dtype=np.int64)) / 1000,
        median_delay_us=sum(middle) / 2000,
        p95_delay_us=int(delay[int(_P95 * (len(delay) - 1))]) / 1000,
        min_delay_us=int(delay[0]) / 1000,
        mean_queue_depth=int(depth.sum(dtype=np.int64)) / len(depth),
        max_queue_depth=int(depth.max()),
    )


def launch_floor_ns(calls: Calls, longest_ns: int) -> int:
    """What a launch costs when nothing is queued before it: the shortest delay of any, at most `longest_ns`."""
    shortest = longest_ns
    for piece in slices(len(calls)):
        delay = calls.delay_ns[piece]
        forward: Int64s = delay[delay >= 0]
        if len(forward):
            shortest = min(shortest, int(forward.min()))
    return shortest if len(calls) else 0
