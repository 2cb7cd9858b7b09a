"""The longest time in which the device did nothing, and what ended it."""

from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_time import LONGEST_FLOOR_NS, Union, launched_ns, whole_pieces
from maskprof.analysis.device_work import Calls, DeviceWork
from maskprof.analysis.launches import launch_floor_ns
from maskprof.traces.columns import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestGap:
    """Idle time of all streams at once.

    Attributes:
        us: how long it is.
        launch_us: how much of it the device waited for the launch of what ended it; None where that is not known.
        call_us: how long that launch call itself took; None likewise.
        before: the name of the event that ended it.
    """

    us: float
    launch_us: float | None
    call_us: float | None
    before: str


def longest_gap(trace: Trace, work: DeviceWork, calls: Calls) -> LongestGap | None:
    """Find it; None where the device is never idle between two events."""
    union = Union(1, work.span_ns + 1)
    length, ends, begins = 0, -1, 0
    for pairs in whole_pieces(work):
        start, end = work.times(pairs.item)
        for at, since in union.add(pairs.owner, pairs.owner, start, end):
            if len(at) and (longest := int((start[at] - since).max())) > length:
                first = int(np.argmax(start[at] - since))
                length, ends, begins = longest, int(pairs.item[at[first]]), int(since[first])
    if not length:
        return None
    call = int(work.call[ends])
    launched = None
    if call >= 0:
        floor = launch_floor_ns(calls, LONGEST_FLOOR_NS)
        launched = min(max(int(launched_ns(calls, slice(call, call + 1), floor)[0]) - begins, 0), length)
    return LongestGap(
        us=length / 1000,
        launch_us=None if launched is None else launched / 1000,
        call_us=None if call < 0 else int(calls.dur_ns[call]) / 1000,
        before=trace.names[trace.events.name[work.rows[ends]]],
    )
