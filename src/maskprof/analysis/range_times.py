"""Breakdowns of the whole trace and of every named range in it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from maskprof.analysis.breakdowns import Tables, breakdowns
from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.device_time import DeviceClock, whole_pieces
from maskprof.analysis.evidence import Evidence
from maskprof.analysis.host_ranges import Stretches, joined_stretches
from maskprof.analysis.launches import launch_facts
from maskprof.analysis.pair_sums import PairSums
from maskprof.analysis.pairs import pair_pieces
from maskprof.analysis.range_members import Members, event_pieces, range_members
from maskprof.results.trace_summary import Breakdown, DeviceTime, LaunchFacts, RangeTime
from maskprof.traces.columns import Int64s
from maskprof.traces.growing import GrowingColumn
from maskprof.traces.pieces import Ints, column, slices, sums_before


def whole_breakdown(evidence: Evidence) -> Breakdown:
    """Of everything in the trace, whether it lies in a range or not."""
    work = evidence.work
    clock = DeviceClock(work, evidence.calls, 1, evidence.is_communication, others=False)
    counters = _Counters.of(evidence, 1)
    for pairs in whole_pieces(work):
        clock.add(pairs, pairs.owner)
        counters.add(pairs.owner, pairs.item)
    tables = Tables(
        labels=evidence.launched.labels,
        operator_names=evidence.operators.names,
        device=clock.sums(),
        streams=np.array([work.streams]),
        events=counters.events.table(),
        operators=evidence.operators.whole,
        launched=counters.launched.table(),
    )
    return breakdowns(tables, [_facts(evidence, np.array([0]), np.array([len(evidence.calls)]))])[0]


def range_times(evidence: Evidence) -> tuple[RangeTime, ...]:
    """Of what was launched and called inside the ranges of each name, on the ranges' own threads."""
    ranges = evidence.ranges
    members = range_members(ranges, evidence.calls)
    launches = _launches(evidence, members)
    found = _breakdowns(evidence, members, launches)
    elsewhere = _elsewhere(evidence, [breakdown.device for breakdown in found])
    return tuple(
        RangeTime(
            name=name,
            count=int(ranges.count[row]),
            host_us=int(ranges.host_ns[row]) / 1000,
            device_us=time.kernel_time_us if time else 0.0,
            kernel_count=time.kernel_count if time else 0,
            launch_count=facts.count if facts else 0,
            breakdown=breakdown,
            elsewhere_kernel_count=others,
            elsewhere_device_us=others_ns / 1000,
        )
        for row, (name, breakdown, facts, (others, others_ns)) in enumerate(
            zip(ranges.names, found, launches, elsewhere, strict=True)
        )
        for time in (breakdown.device,)
    )


def _breakdowns(evidence: Evidence, members: Members, launches: list[LaunchFacts | None]) -> list[Breakdown]:
    """One for each name of range."""
    ranges = evidence.ranges
    work = evidence.work
    clock = DeviceClock(work, evidence.calls, len(ranges), evidence.is_communication, others=True)
    counters = _Counters.of(evidence, len(ranges))
    worked = np.zeros((len(ranges), work.streams), dtype=np.bool_)
    for pairs in event_pieces(members, evidence.calls):
        name = ranges.stretches.name[pairs.owner].astype(np.int64)
        clock.add(pairs, name)
        counters.add(name, pairs.item)
        worked[name, work.stream[pairs.item]] = True
    tables = Tables(
        labels=evidence.launched.labels,
        operator_names=evidence.operators.names,
        device=clock.sums(),
        streams=worked.sum(axis=1),
        events=counters.events.table(),
        operators=evidence.operators.by_range,
        launched=counters.launched.table(),
    )
    return breakdowns(tables, launches)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Counters:
    """Device events by label, and kernels by the operator that launched them."""

    evidence: Evidence
    events: PairSums
    launched: PairSums

    @classmethod
    def of(cls, evidence: Evidence, rows: int) -> "_Counters":
        return cls(
            evidence=evidence,
            events=PairSums(rows=rows, codes=len(evidence.launched.labels), weights=2),
            launched=PairSums(rows=rows, codes=len(evidence.operators.names), weights=2),
        )

    def add(self, row: Int64s, item: Int64s) -> None:
        work = self.evidence.work
        one = np.ones(len(item), dtype=np.int64)
        duration = work.dur_ns[item].astype(np.int64)
        self.events.add(row, self.evidence.launched.label[item], one, duration)
        operator = self.evidence.operator_of(item)
        by_operator = (operator >= 0) & (work.kind[item] == Kind.KERNEL)
        self.launched.add(row[by_operator], operator[by_operator], one[by_operator], duration[by_operator])


def _launches(evidence: Evidence, members: Members) -> list[LaunchFacts | None]:
    """Of the calls inside the ranges of each name."""
    bounds = np.searchsorted(evidence.ranges.stretches.name, np.arange(len(evidence.ranges) + 1)).tolist()
    return [
        _facts(evidence, members.lower[first:last], members.upper[first:last])
        for first, last in pairwise(bounds)
    ]


def _facts(evidence: Evidence, lower: Ints, upper: Ints) -> LaunchFacts | None:
    """Of the calls in the slices `[lower[i], upper[i])`."""
    calls = evidence.calls
    delay, host_ns, depth, deepest = GrowingColumn(at_least=np.int32), 0, 0, 0
    for pairs in pair_pieces(lower, upper):
        delay.extend(calls.delay_ns[pairs.item])
        host_ns += int(calls.dur_ns[pairs.item].sum(dtype=np.int64))
        depths = evidence.depths[pairs.item]
        depth += int(depths.sum(dtype=np.int64))
        deepest = max(deepest, int(depths.max()))
    if not len(delay):
        return None
    return launch_facts(delay.finish(), host_ns=host_ns, depth=depth, deepest=deepest)


def _elsewhere(evidence: Evidence, own: list[DeviceTime | None]) -> list[tuple[int, int]]:
    """Count and time of the kernels that other threads launched while a range of each name was open."""
    if len(evidence.calls.axis.threads) <= 1:
        return [(0, 0)] * len(own)
    return [
        (count - time.kernel_count, ns - round(1000 * time.kernel_time_us)) if time else (count, ns)
        for (count, ns), time in zip(_kernels_during(evidence), own, strict=True)
    ]


def _kernels_during(evidence: Evidence) -> list[tuple[int, int]]:
    """Count and time of the kernels that any thread launched while a range of each name was open."""
    work, calls = evidence.work, evidence.calls
    counts = calls.sums(lambda item: work.kind[item] == Kind.KERNEL)
    spent = calls.sums(lambda item: np.where(work.kind[item] == Kind.KERNEL, work.dur_ns[item], 0))
    in_order, starts = calls.by_start()
    counts_before = sums_before(len(calls), lambda piece: counts[in_order[piece]])
    spent_before = sums_before(len(calls), lambda piece: spent[in_order[piece]])
    parts = _whatever_thread(evidence)
    count, ns = np.zeros((2, len(evidence.ranges)), dtype=np.int64)
    for piece in slices(len(parts)):
        lower, upper = (np.searchsorted(starts, edge[piece]) for edge in (parts.start_key, parts.end_key))
        np.add.at(count, parts.name[piece], counts_before[upper] - counts_before[lower])
        np.add.at(ns, parts.name[piece], spent_before[upper] - spent_before[lower])
    return list(zip(count.tolist(), ns.tolist(), strict=True))


def _whatever_thread(evidence: Evidence) -> Stretches:
    """The stretches of all threads together; their keys are times since the work's origin."""
    parts, axis, origin = evidence.ranges.stretches, evidence.calls.axis, evidence.work.origin_ns
    start = column(len(parts), lambda piece: axis.times(parts.start_key[piece]) - origin, at_least=np.int64)
    end = column(
        len(parts),
        lambda piece: start[piece] + (parts.end_key[piece] - parts.start_key[piece]),
        at_least=np.int64,
    )
    return joined_stretches(parts.name, np.zeros_like(parts.name), start, end)
