"""How long launched work waits, and how much of it: delay and queue depth."""

from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_work import Calls, DeviceWork
from maskprof.results.trace_summary import LaunchFacts
from maskprof.traces.columns import Int32s, Int64s

_P95 = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CallFigures:
    """Per launch call, by the order of `Calls`; shape (calls,). Depth as in `LaunchFacts`."""

    host_ns: Int64s
    delay_ns: Int64s
    depth: Int32s


def call_figures(work: DeviceWork, calls: Calls) -> CallFigures:
    """What each launch call cost the host, how long its work waited, and behind how many events.

    The depth at a call is the number of device events that earlier calls, of any thread, had launched and that had
    not started when it began. A graph's launch queues all of its events.
    """
    order = np.argsort(calls.start_ns, kind="stable")
    events = np.diff(calls.bounds)[order]
    launched = np.cumsum(events) - events
    starts = work.start_ns[work.call >= 0]
    started = np.searchsorted(starts, calls.start_ns[order], side="right")
    depth = np.empty(len(calls), dtype=np.int32)
    # Where clocks disagree, more may have started than was launched.
    depth[order] = np.maximum(launched - started, 0)
    return CallFigures(
        host_ns=calls.end_ns - calls.start_ns,
        delay_ns=calls.delay_ns,
        depth=depth,
    )


def launch_facts(figures: CallFigures, chosen: Int64s | slice) -> LaunchFacts | None:
    """The facts of the chosen calls; None where there are none.

    The median of an even number lies between the two in the middle. The 95th percentile is a delay that occurred:
    the last one of the lower 95 %.
    """
    delay = np.sort(figures.delay_ns[chosen])
    if not len(delay):
        return None
    middle = (len(delay) - 1) // 2
    median = (int(delay[middle]) + int(delay[len(delay) // 2])) / 2
    depth = figures.depth[chosen]
    return LaunchFacts(
        count=len(delay),
        host_us=int(figures.host_ns[chosen].sum()) / 1000,
        median_delay_us=median / 1000,
        p95_delay_us=int(delay[int(_P95 * (len(delay) - 1))]) / 1000,
        min_delay_us=int(delay[0]) / 1000,
        mean_queue_depth=float(depth.mean()),
        max_queue_depth=int(depth.max()),
    )
