"""How much each device works by itself, where a trace has several."""

import numpy as np

from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.launched import Launched
from maskprof.analysis.trace_facts import device_names
from maskprof.results.trace_summary import DeviceShare
from maskprof.traces.columns import Bools, Int64s
from maskprof.traces.pieces import slices


def device_shares(launched: Launched) -> tuple[DeviceShare, ...]:
    """Busy time and kernels of each device that did something, by their numbers."""
    trace, work = launched.trace, launched.work
    names = device_names(trace, work)
    shares = {code: _Share() for code in names}
    for piece in slices(len(work)):
        device = trace.events.pid[work.rows[piece]]
        start, end = work.times(piece)
        is_kernel = np.equal(work.kind[piece], Kind.KERNEL)
        for code in np.unique(device).tolist():
            chosen = device == code
            shares[code].add(start[chosen], end[chosen], is_kernel[chosen])
    return tuple(
        DeviceShare(
            device=trace.pids[code],
            name=name,
            busy_us=shares[code].busy_ns / 1000,
            kernel_count=shares[code].kernels,
            kernel_time_us=shares[code].kernel_ns / 1000,
        )
        for code, name in names.items()
    )


class _Share:
    """Adds up one device's events, which come ascending by start."""

    def __init__(self) -> None:
        self.busy_ns = 0
        self.kernels = 0
        self.kernel_ns = 0
        self.reached: int | None = None

    def add(self, start: Int64s, end: Int64s, is_kernel: Bools) -> None:
        """Take the next events, at least one."""
        self.kernels += int(np.count_nonzero(is_kernel))
        self.kernel_ns += int((end - start)[is_kernel].sum())
        before = int(start[0]) if self.reached is None else self.reached
        reached = np.maximum(np.maximum.accumulate(end), before)
        since = np.maximum(start, np.concatenate(([before], reached[:-1])))
        self.busy_ns += int(np.maximum(end - since, 0).sum())
        self.reached = int(reached[-1])
