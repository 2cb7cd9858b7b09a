"""Achieved against possible: matrix products, attention, convolutions and what moves, by their recorded shapes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.call_inputs import CallCost
from maskprof.analysis.device_time import LONGEST_FLOOR_NS, launched_ns
from maskprof.analysis.device_work import Calls, DeviceWork, device_work
from maskprof.analysis.devices import peaks_of_trace
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.launches import launch_floor_ns
from maskprof.analysis.narrow import slices
from maskprof.analysis.operator_costs import call_cost, is_costed
from maskprof.results.trace_summary import Bound, DevicePeaks, Roofline, RooflineRow
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Int64s, Ints, Trace
from maskprof.traces.links import Launches, Nesting, innermost, nest

Floats = NDArray[np.float64]

# What says in a kernel's name that float32 matrices are multiplied as TF32.
_TF32 = ("tf32", "xf32", "s1688gemm", "s1688fprop", "s1688dgrad", "s1688wgrad")


def roofline(
    trace: Trace,
    launches: Launches,
    peaks: DevicePeaks | None = None,
    found: tuple[DeviceWork, Calls] | None = None,
) -> Roofline | None:
    """One row per operator, shapes and type; None where no shapes were recorded or nothing ran on a device.

    A kernel counts for the innermost operator around its launch whose cost follows from its shapes. Calls of
    an operator within which another such operator launches kernels are not rows: their work is the inner one's.
    Operators without FLOPs, which only move numbers, have the kernels that no matrix product, attention or convolution
    around them has. `peaks` are looked up by the device's name where they are not given; without any, rows have no
    `share_of_peak`, and no bound but `launch`. `found` is what `device_work` gives for this trace, if it is at hand.

    A row's bound is

    - `launch`: before its kernels, the device waited longer for the host to launch them than they ran;
    - `compute`: its intensity (FLOPs per byte) is above the ridge, peak FLOP/s over peak bandwidth; its
      `share_of_peak` is of FLOP/s;
    - `memory`: its intensity is below; `share_of_peak` is of bandwidth. A share above one says that data was in a
      cache.
    """
    events = trace.events
    costed = np.fromiter((is_costed(name) for name in trace.names), dtype=np.bool_, count=len(trace.names))
    if not costed.any() or not len(launches.device_rows) or not len(trace.inputs):
        return None
    rows = np.flatnonzero(costed[events.name] & (events.inputs >= 0) & trace.in_categories((OPERATOR,)))
    nesting = nest(events, rows)
    kinds, kind = np.unique(
        events.name[nesting.rows].astype(np.int64) * len(trace.inputs) + events.inputs[nesting.rows],
        return_inverse=True,
    )
    kind = kind.astype(np.int32)
    calls = _Calls(trace=trace, nesting=nesting, kinds=kinds, kind=kind)
    kernels = _find_kernels(trace, calls, *(found or _device_work(trace, launches)))
    if not len(kernels.operator):
        return None
    peaks = peaks if peaks is not None else peaks_of_trace(trace)
    sums = _sums(kernels, kind, len(kinds))
    shown = [_row(*calls.described(one), sums, one, peaks) for one in np.flatnonzero(sums.calls).tolist()]
    return Roofline(
        peaks=peaks,
        rows=tuple(sorted(shown, key=lambda row: (-row.device_us, row.operator, row.shapes))),
        covered_us=float(sums.time_us.sum()),
        kernel_time_us=kernels.all_us,
    )


class _Calls:
    """Calls of operators whose cost follows from shapes, by their kinds: operator, shapes and types."""

    def __init__(self, *, trace: Trace, nesting: Nesting, kinds: Int64s, kind: Ints) -> None:
        self._trace = trace
        self._kinds = kinds
        self._costs: dict[int, CallCost | None] = {}
        self.nesting = nesting
        self.kind = kind

    def described(self, kind: int) -> tuple[str, CallCost]:
        """Operator and cost of a kind that has one."""
        cost = self._costs[kind]
        assert cost is not None
        return self._trace.names[int(self._kinds[kind]) // len(self._trace.inputs)], cost

    def with_cost(self, positions: Int64s, *, moving: bool = False) -> Int64s:
        """For each position (or -1) the call there, or the nearest around it whose cost can be told; -1 without.

        Calls that have FLOPs are looked for, or, `moving`, those that have none.
        """
        found = positions
        while True:
            asked = np.unique(self.kind[found[found >= 0]])
            for kind in asked.tolist():
                if kind not in self._costs:
                    name, code = divmod(int(self._kinds[kind]), len(self._trace.inputs))
                    self._costs[kind] = call_cost(self._trace.names[name], self._trace.inputs[code])
            unknown = [
                kind for kind in asked.tolist() if not self._is_wanted(self._costs[kind], moving=moving)
            ]
            if not unknown:
                return found
            is_unknown = (found >= 0) & np.isin(self.kind[found], unknown)
            found = np.where(is_unknown, self.nesting.parents[found], found)

    @staticmethod
    def _is_wanted(cost: CallCost | None, *, moving: bool) -> bool:
        return cost is not None and (cost.flops > 0) != moving


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kernels:
    """Kernels that belong to a costed operator; arrays have shape (kernels,).

    Attributes:
        operator: position of the operator's call in the nesting.
        time_us: how long each ran.
        wait_us: how long the device had waited for the host to launch it.
        is_tf32: whether its name says that it multiplies TF32.
        all_us: time of all kernels in the trace.
    """

    operator: Int64s
    time_us: Floats
    wait_us: Floats
    is_tf32: Bools
    all_us: float


def _device_work(trace: Trace, launches: Launches) -> tuple[DeviceWork, Calls]:
    axis = HostAxis.of(trace, (launches.launch_rows[launches.linked].astype(np.int32),))
    return device_work(trace, launches, axis)


def _find_kernels(trace: Trace, costed: _Calls, work: DeviceWork, calls: Calls) -> _Kernels:
    operator: Ints = np.full(len(work), -1, dtype=np.int32)
    launched = np.flatnonzero(work.is_kernel & (work.call >= 0))
    inside = innermost(trace.events, costed.nesting, calls.rows)
    operator[launched] = costed.with_cost(inside)[work.call[launched]]
    operator[_holds_another(costed.nesting, operator)[operator]] = -1
    others = launched[operator[launched] < 0]
    operator[others] = costed.with_cost(inside, moving=True)[work.call[others]]
    operator[_holds_another(costed.nesting, operator)[operator]] = -1
    at = np.flatnonzero(operator >= 0)
    # Traces with stacks have many thousands of names, and few of them are kernels'.
    is_named = np.zeros(len(trace.names), dtype=np.bool_)
    is_named[trace.events.name[work.rows[at]]] = True
    tf32 = np.zeros(len(trace.names), dtype=np.bool_)
    for name in np.flatnonzero(is_named).tolist():
        tf32[name] = any(token in trace.names[name].lower() for token in _TF32)
    return _Kernels(
        operator=operator[at],
        time_us=work.dur_ns[at] / 1000.0,
        wait_us=_waits_ns(work, calls)[at] / 1000.0,
        is_tf32=tf32[trace.events.name[work.rows[at]]],
        all_us=float(work.dur_ns[work.is_kernel].sum(dtype=np.int64)) / 1000.0,
    )


def _holds_another(nesting: Nesting, operator: Int64s) -> Bools:
    """Which operators have one inside them that launched a kernel; one more, False, for position -1."""
    holds = np.zeros(len(nesting.rows) + 1, dtype=np.bool_)
    inner = np.unique(operator[operator >= 0])
    while len(inner):
        outer = nesting.parents[inner]
        inner = np.unique(outer[(outer >= 0) & ~holds[outer]])
        holds[inner] = True
    return holds


def _waits_ns(work: DeviceWork, calls: Calls) -> Int64s:
    """How long the device was idle before each event while the host had not launched it; shape (device events,).

    As in `device_time`: the host has launched an event when its call returned.
    """
    if not len(work):
        return np.zeros(0, dtype=np.int64)
    waits: Int64s = np.concatenate((work.start_ns[:1], np.maximum.accumulate(work.end_ns)[:-1]))
    floor_ns = launch_floor_ns(calls, LONGEST_FLOOR_NS)
    for piece in slices(len(work)):
        start, call = work.start_ns[piece], work.call[piece]
        launched = np.full(len(start), np.iinfo(np.int64).min)
        linked = call >= 0
        launched[linked] = launched_ns(calls, call[linked], floor_ns)
        waits[piece] = np.maximum(np.minimum(launched, start) - waits[piece], 0)
    return waits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sums:
    """Of all calls of each kind: operator, shapes and types; arrays have shape (kinds,)."""

    calls: Int64s
    time_us: Floats
    wait_us: Floats
    tf32_us: Floats


def _sums(kernels: _Kernels, kind_of: Ints, kinds: int) -> _Sums:
    kind = kind_of[kernels.operator]

    def total(weights: Floats) -> Floats:
        return np.bincount(kind, weights, minlength=kinds).astype(np.float64)

    return _Sums(
        calls=np.bincount(kind_of[np.unique(kernels.operator)], minlength=kinds).astype(np.int64),
        time_us=total(kernels.time_us),
        wait_us=total(kernels.wait_us),
        tf32_us=total(np.where(kernels.is_tf32, kernels.time_us, 0.0)),
    )


def _row(operator: str, cost: CallCost, sums: _Sums, one: int, peaks: DevicePeaks | None) -> RooflineRow:
    count, device_us = int(sums.calls[one]), float(sums.time_us[one])
    is_tf32 = cost.dtype == "fp32" and 2 * float(sums.tf32_us[one]) > device_us
    dtype = "tf32" if is_tf32 else cost.dtype
    tflops = cost.flops * count / device_us / 1e6 if device_us > 0 else 0.0
    gb_s = cost.bytes * count / device_us / 1e3 if device_us > 0 else 0.0
    intensity = cost.flops / cost.bytes if cost.bytes else 0.0
    bound: Bound = "unknown"
    share = None
    peak = peaks.tflops.get(dtype) if peaks is not None else None
    if peaks is not None and not cost.flops:
        bound, share = "memory", gb_s / peaks.bandwidth_gb_s
    elif peaks is not None and peak is not None:
        ridge = peak * 1e3 / peaks.bandwidth_gb_s
        bound, share = (
            ("compute", tflops / peak) if intensity >= ridge else ("memory", gb_s / peaks.bandwidth_gb_s)
        )
    if float(sums.wait_us[one]) > device_us:
        bound = "launch"
    return RooflineRow(
        operator=operator,
        shapes=cost.shapes,
        dtype=dtype,
        count=count,
        device_us=device_us,
        flops=cost.flops,
        bytes=cost.bytes,
        tflops=tflops,
        gb_s=gb_s,
        intensity=intensity,
        bound=bound,
        share_of_peak=share,
    )
