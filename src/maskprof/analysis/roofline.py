"""Achieved against possible: matrix products, attention, convolutions and what moves, by their recorded shapes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.call_inputs import CallCost
from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.device_time import LONGEST_FLOOR_NS, launched_ns
from maskprof.analysis.devices import peaks_of_trace
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.launched import Launched
from maskprof.analysis.launches import launch_floor_ns
from maskprof.analysis.operator_costs import call_cost, is_costed
from maskprof.analysis.operators import innermost_at, parents_of
from maskprof.analysis.pair_sums import PairSums
from maskprof.results.trace_summary import Bound, DevicePeaks, Roofline, RooflineRow
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.growing import GrowingColumn
from maskprof.traces.pieces import Ints, column, positions, slices
from maskprof.traces.spilling import release

# What says in a kernel's name that float32 matrices are multiplied as TF32.
_TF32 = ("tf32", "xf32", "s1688gemm", "s1688fprop", "s1688dgrad", "s1688wgrad")
_TOGETHER = 2**15


def roofline(launched: Launched, peaks: DevicePeaks | None = None) -> Roofline | None:
    """One row per operator, shapes and type; None where no shapes were recorded or nothing ran on a device.

    A kernel counts for the innermost operator around its launch whose cost follows from its shapes. Calls of
    an operator within which another such operator launches kernels are not rows: their work is the inner one's.
    Operators without FLOPs, which only move numbers, have the kernels that no matrix product, attention or convolution
    around them has. `peaks` are looked up by the device's name where they are not given; without any, rows have no
    `share_of_peak`, and no bound but `launch`.

    A row's bound is

    - `launch`: before its kernels, the device waited longer for the host to launch them than they ran;
    - `compute`: its intensity (FLOPs per byte) is above the ridge, peak FLOP/s over peak bandwidth; its
      `share_of_peak` is of FLOP/s;
    - `memory`: its intensity is below; `share_of_peak` is of bandwidth. A share above one says that data was in a
      cache.
    """
    trace, work = launched.trace, launched.work
    costed = np.fromiter((is_costed(name) for name in trace.names), dtype=np.bool_, count=len(trace.names))
    if not costed.any() or not len(work) or not len(trace.inputs):
        return None
    adding = _Adding.of(launched)
    for group in _groups(trace, launched.calls.axis, _costed_rows(trace, costed)):
        adding.add(group)
    table = adding.sums.table()
    if not len(table.row):
        return None
    peaks = peaks if peaks is not None else peaks_of_trace(trace)
    shown = [
        _row(trace.names[name], adding.costs.of(name, inputs), _Sums(*of_kind), peaks)
        for name, inputs, *of_kind in zip(
            table.row.tolist(), table.code.tolist(), *(total.tolist() for total in table.sums), strict=True
        )
    ]
    return Roofline(
        peaks=peaks,
        rows=tuple(sorted(shown, key=lambda row: (-row.device_us, row.operator, row.shapes))),
        covered_us=int(table.sums[1].sum()) / 1000,
        kernel_time_us=work.kernel_ns / 1000,
    )


class _Costs:
    """The costs of calls by operator and inputs, each worked out once."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._costs: dict[tuple[int, int], CallCost | None] = {}

    def get(self, name: int, inputs: int) -> CallCost | None:
        """What a call costs; None where its shapes do not tell."""
        key = name, inputs
        if key not in self._costs:
            self._costs[key] = call_cost(self._trace.names[name], self._trace.inputs[inputs])
        return self._costs[key]

    def of(self, name: int, inputs: int) -> CallCost:
        """The same where it is known to have one."""
        cost = self.get(name, inputs)
        assert cost is not None
        return cost

    def known(self, name: Ints, inputs: Ints) -> tuple[Bools, Bools]:
        """Which calls are known to have FLOPs, and which to have none and to move numbers; shape (calls,) each."""
        codes = name.astype(np.int64) * len(self._trace.inputs) + inputs
        kinds, kind = np.unique(codes, return_inverse=True)
        costs = [self.get(*divmod(one, len(self._trace.inputs))) for one in kinds.tolist()]
        computes = np.array([cost is not None and cost.flops > 0 for cost in costs], dtype=np.bool_)
        moves = np.array([cost is not None and not cost.flops for cost in costs], dtype=np.bool_)
        return computes[kind], moves[kind]


class _Tf32:
    """Whether kernels' names say that they multiply TF32. Names are looked at when met: most are no kernels'."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._table = np.full(len(trace.names), -1, dtype=np.int8)

    def __call__(self, names: Ints) -> Bools:
        for name in np.unique(names[self._table[names] < 0]).tolist():
            self._table[name] = any(token in self._trace.names[name].lower() for token in _TF32)
        return self._table[names] > 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Group:
    """Calls of costed operators by start, outer before inner; none of any other group lies inside or around them.

    Attributes:
        rows: in the trace; shape (operators,).
        key, end: where they start and end on the host's axis; shape (operators,).
        group, until: of that axis; where the next group starts on it.
    """

    rows: Ints
    key: Int64s
    end: Int64s
    group: int
    until: int


def _costed_rows(trace: Trace, costed: Bools) -> Ints:
    events, operator = trace.events, trace.categories_are((OPERATOR,))
    return positions(
        len(events),
        lambda piece: (
            costed[events.name[piece]] & (events.inputs[piece] >= 0) & operator[events.category[piece]]
        ),
    )


def _groups(trace: Trace, axis: HostAxis, rows: Ints) -> Iterator[_Group]:
    """All of `rows` in groups of bounded size, cut where none of them is open."""
    for group in range(axis.groups):
        of_group = rows if axis.groups == 1 else rows[axis.group_of(rows) == group]
        in_order = axis.order(of_group)
        ordered = column(len(in_order), lambda piece: of_group[in_order[piece]])  # noqa: B023  (called at once)
        first, size = 0, _TOGETHER
        while first < len(ordered):
            some = ordered[first : first + size]
            key = axis.keys(some)
            end = key + np.maximum(trace.events.dur_ns[some], 0)
            last = len(some)
            if first + last < len(ordered):
                cuts = np.flatnonzero(np.maximum.accumulate(end)[:-1] < key[1:]) + 1
                if not len(cuts):
                    size *= 2
                    continue
                last = int(cuts[-1])
                until = int(key[last])
            else:
                until = np.iinfo(np.int64).max
            outer_first = np.lexsort((-end[:last], key[:last]))
            yield _Group(
                rows=some[outer_first], key=key[outer_first], end=end[outer_first], group=group, until=until
            )
            release()
            first, size = first + last, _TOGETHER


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Adding:
    """Adds up groups.

    Attributes:
        sums: (operator's name, inputs) -> calls, and time, waiting and time as TF32 of their kernels, in nanoseconds.
        waits: how long the device waited for each event's launch; shape (device events,).
    """

    launched: Launched
    costs: _Costs
    is_tf32: _Tf32
    waits: Ints
    sums: PairSums

    @classmethod
    def of(cls, launched: Launched) -> "_Adding":
        trace = launched.trace
        return cls(
            launched=launched,
            costs=_Costs(trace),
            is_tf32=_Tf32(trace),
            waits=_waits_ns(launched),
            sums=PairSums(rows=len(trace.names), codes=len(trace.inputs), weights=4),
        )

    def add(self, group: _Group) -> None:
        """Take the kernels that the group's calls launched."""
        events, work = self.launched.trace.events, self.launched.work
        name, inputs = events.name[group.rows], events.inputs[group.rows]
        item, operator = self._kernels(group, name, inputs)
        counts = np.zeros(len(group.rows), dtype=np.int64)
        counts[operator] = 1
        at = np.flatnonzero(counts)
        ran = work.dur_ns[item].astype(np.int64)
        totals = ran, self.waits[item], np.where(self.is_tf32(events.name[work.rows[item]]), ran, 0)
        self.sums.add(
            name[at],
            inputs[at],
            counts[at],
            *(np.bincount(operator, total, minlength=len(counts)).astype(np.int64)[at] for total in totals),
        )

    def _kernels(self, group: _Group, name: Ints, inputs: Ints) -> tuple[Ints, Ints]:
        """Kernels launched inside calls whose cost is known: their positions in the work, and each one's call."""
        parents = parents_of(group.end)
        work, calls = self.launched.work, self.launched.calls
        first, last = calls.group_bounds[group.group], calls.group_bounds[group.group + 1]
        lower, upper = np.searchsorted(calls.key[first:last], (group.key[0], group.until)) + first
        around = innermost_at(calls.key[lower:upper], group.key, group.end, parents)
        bounds = calls.bounds[lower : upper + 1].astype(np.int64)
        item, counts = calls.events[bounds[0] : bounds[-1]], np.diff(bounds)
        is_kernel = np.equal(work.kind[item], Kind.KERNEL)
        # Costs are asked only of calls around a kernel: on the host there may be thousands of others.
        inner = np.repeat(around, counts)[is_kernel]
        is_asked = _holds_any(parents, inner)
        is_asked[inner[inner >= 0]] = True
        asked = np.flatnonzero(is_asked)
        computes, moves = np.zeros((2, len(parents)), dtype=np.bool_)
        computes[asked], moves[asked] = self.costs.known(name[asked], inputs[asked])
        operator = np.where(is_kernel, np.repeat(_nearest(around, parents, computes), counts), -1)
        operator = _alone(parents, operator)
        others = is_kernel & (operator < 0)
        operator[others] = np.repeat(_nearest(around, parents, moves), counts)[others]
        operator = _alone(parents, operator)
        return item[operator >= 0], operator[operator >= 0]


def _nearest(around: Ints, parents: Ints, wanted: Bools) -> Ints:
    """For each position (or -1) the nearest wanted one: itself or one around it."""
    found = around.copy()
    while len(without := np.flatnonzero((found >= 0) & ~wanted[found])):
        found[without] = parents[found[without]]
    return found


def _alone(parents: Ints, operator: Ints) -> Ints:
    """Each kernel's operator, or -1; those that hold another one with kernels have none."""
    owned = operator >= 0
    holds = _holds_any(parents, operator)
    left = operator.copy()
    left[owned] = np.where(holds[operator[owned]], -1, operator[owned])
    return left


def _holds_any(parents: Ints, inner: Ints) -> Bools:
    """Which operators have one of `inner` inside them; -1 among these is none; shape (operators,)."""
    is_inner, holds = np.zeros((2, len(parents)), dtype=np.bool_)
    is_inner[inner[inner >= 0]] = True
    around = parents[is_inner]
    while len(around := around[(around >= 0) & ~holds[around]]):
        holds[around] = True
        around = parents[around]
    return holds


def _waits_ns(launched: Launched) -> Ints:
    """How long the device was idle before each event while the host had not launched it; shape (device events,).

    As in `device_time`: the host has launched an event when its call returned.
    """
    work, calls = launched.work, launched.calls
    floor_ns = launch_floor_ns(calls, LONGEST_FLOOR_NS)
    waits, reached = GrowingColumn(at_least=np.int32), 0
    for piece in slices(len(work)):
        (start, end), call = work.times(piece), work.call[piece]
        busy_until = np.maximum.accumulate(np.concatenate(([reached], end[:-1])))
        known = np.full(len(start), np.iinfo(np.int64).min)
        linked = call >= 0
        known[linked] = launched_ns(calls, call[linked], floor_ns)
        waits.extend(np.maximum(np.minimum(known, start) - busy_until, 0))
        reached = max(int(busy_until[-1]), int(end[-1]))
    return waits.finish()


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of all calls of one operator with the same inputs."""

    calls: int
    time_ns: int
    wait_ns: int
    tf32_ns: int


def _row(operator: str, cost: CallCost, sums: _Sums, peaks: DevicePeaks | None) -> RooflineRow:
    count, device_us = sums.calls, sums.time_ns / 1000
    is_tf32 = cost.dtype == "fp32" and 2 * sums.tf32_ns > sums.time_ns
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
    if sums.wait_ns > sums.time_ns:
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
