"""How long launched work waits, and how much of it: delay and queue depth."""

import numpy as np

from maskprof.analysis.device_work import Calls, DeviceWork
from maskprof.results.trace_summary import LaunchFacts
from maskprof.traces.columns import Int64s
from maskprof.traces.growing import kept
from maskprof.traces.pieces import Ints, column, positions, slices

_P95 = 0.95


def queue_depths(work: DeviceWork, calls: Calls) -> Ints:
    """How many device events are queued when each launch call begins; shape (calls,).

    Those are the events that earlier calls, of any thread, have launched and that have not started. A graph's
    launch queues all of its events.
    """
    depth = np.zeros(len(calls), dtype=np.int32)
    is_linked = work.call >= 0
    starts = work.start_ns
    if not is_linked.all():
        linked = positions(len(work), lambda piece: is_linked[piece])
        starts = column(len(linked), lambda piece: work.start_ns[linked[piece]], at_least=np.int64)
    order, launched = calls.order(), 0
    for piece in slices(len(calls)):
        at = order[piece]
        events = calls.bounds[at + 1] - calls.bounds[at]
        before = launched + np.cumsum(events, dtype=np.int64) - events
        started = np.searchsorted(starts, calls.starts(at), side="right")
        # Where clocks disagree, more may have started than was launched.
        depth[at] = np.maximum(before - started, 0)
        launched += int(events.sum())
    return kept(depth)


def launch_facts(delay_ns: Ints, *, host_ns: int, depth: int, deepest: int) -> LaunchFacts:
    """The facts of some calls: of their delays, their time on the host, and the sum and maximum of queue depths.

    The median of an even number lies between the two in the middle. The 95th percentile is a delay that occurred:
    the last one of the lower 95 %.
    """
    count = len(delay_ns)
    delay = np.sort(delay_ns)
    middle = (int(delay[(count - 1) // 2]), int(delay[count // 2]))
    return LaunchFacts(
        count=count,
        host_us=host_ns / 1000,
        median_delay_us=sum(middle) / 2000,
        p95_delay_us=int(delay[int(_P95 * (count - 1))]) / 1000,
        min_delay_us=int(delay[0]) / 1000,
        mean_queue_depth=depth / count,
        max_queue_depth=deepest,
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
