"""Breakdowns of the whole trace and of every named range in it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from maskprof.analysis.breakdowns import Tables, breakdowns
from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.device_time import DeviceClock, whole_pieces
from maskprof.analysis.evidence import Evidence
from maskprof.analysis.host_ranges import stretches
from maskprof.analysis.launches import launch_facts
from maskprof.analysis.narrow import Ints, slices
from maskprof.analysis.pair_sums import PairSums
from maskprof.analysis.range_members import Members, event_pieces, range_members
from maskprof.results.trace_summary import Breakdown, LaunchFacts, RangeTime
from maskprof.traces.columns import Int64s


def whole_breakdown(evidence: Evidence) -> Breakdown:
    """Of everything in the trace, whether it lies in a range or not."""
    work = evidence.work
    clock = DeviceClock(work, evidence.calls, 1, evidence.is_communication, others=False)
    counters = _Counters.of(evidence, 1)
    for pairs in whole_pieces(work):
        clock.add(pairs)
        counters.add(pairs.owner, pairs.item)
    tables = Tables(
        labels=evidence.labels,
        operator_names=evidence.operators.names,
        device=clock.sums(),
        streams=np.array([work.streams]),
        events=counters.events.table(),
        operators=evidence.operators.whole,
        launched=counters.launched.table(),
    )
    return breakdowns(tables, [launch_facts(evidence.calls, evidence.depths, slice(None))])[0]


def range_times(evidence: Evidence) -> tuple[RangeTime, ...]:
    """Of what was launched and called inside the ranges of each name, on the ranges' own threads."""
    ranges = evidence.ranges
    members = range_members(ranges, evidence.calls)
    launches = _launches(evidence, members)
    found = _breakdowns(evidence, members, launches)
    during = _kernels_during(evidence)
    return tuple(
        RangeTime(
            name=name,
            count=int(ranges.count[row]),
            host_us=int(ranges.host_ns[row]) / 1000,
            device_us=time.kernel_time_us if time else 0.0,
            kernel_count=time.kernel_count if time else 0,
            launch_count=facts.count if facts else 0,
            breakdown=breakdown,
            elsewhere_kernel_count=count - (time.kernel_count if time else 0),
            elsewhere_device_us=(ns - round(1000 * time.kernel_time_us if time else 0)) / 1000,
        )
        for row, (name, breakdown, facts, (count, ns)) in enumerate(
            zip(ranges.names, found, launches, during, strict=True)
        )
        for time in (breakdown.device,)
    )


def _breakdowns(evidence: Evidence, members: Members, launches: list[LaunchFacts | None]) -> list[Breakdown]:
    """One for each name of range."""
    ranges = evidence.ranges
    work = evidence.work
    clock = DeviceClock(work, evidence.calls, len(ranges.name), evidence.is_communication, others=True)
    counters = _Counters.of(evidence, len(ranges))
    worked = np.zeros((len(ranges), work.streams), dtype=np.bool_)
    for pairs in event_pieces(members, evidence.calls):
        clock.add(pairs)
        name = ranges.name[pairs.owner]
        counters.add(name, pairs.item)
        worked[name, work.stream[pairs.item]] = True
    tables = Tables(
        labels=evidence.labels,
        operator_names=evidence.operators.names,
        device=clock.sums().by(ranges.name, len(ranges)),
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
            events=PairSums(rows=rows, codes=len(evidence.labels.names), weights=2),
            launched=PairSums(rows=rows, codes=len(evidence.operators.names), weights=2),
        )

    def add(self, row: Int64s, item: Int64s) -> None:
        work = self.evidence.work
        one = np.ones(len(item), dtype=np.int64)
        duration = work.dur_ns[item].astype(np.int64)
        self.events.add(row, self.evidence.label[item], one, duration)
        operator = self.evidence.operator_of(item)
        by_operator = (operator >= 0) & (work.kind[item] == Kind.KERNEL)
        self.launched.add(row[by_operator], operator[by_operator], one[by_operator], duration[by_operator])


def _launches(evidence: Evidence, members: Members) -> list[LaunchFacts | None]:
    """Of the calls inside the ranges of each name."""
    ranges = evidence.ranges
    bounds = np.searchsorted(ranges.name, np.arange(len(ranges) + 1)).tolist()
    lower, upper = members.lower.tolist(), members.upper.tolist()
    facts = []
    for first, last in pairwise(bounds):
        if last == first + 1:
            facts.append(launch_facts(evidence.calls, evidence.depths, slice(lower[first], upper[first])))
            continue
        chosen = [
            np.arange(lower[i], upper[i], dtype=np.int32) for i in range(first, last) if lower[i] < upper[i]
        ]
        facts.append(
            launch_facts(evidence.calls, evidence.depths, np.concatenate(chosen)) if chosen else None
        )
    return facts


def _kernels_during(evidence: Evidence) -> list[tuple[int, int]]:
    """Count and time of the kernels that any thread launched while a range of each name was open."""
    ranges, work, calls, axis = evidence.ranges, evidence.work, evidence.calls, evidence.axis
    counts = np.zeros(len(calls), dtype=np.int32)
    spent = np.zeros(len(calls), dtype=np.int64)
    for piece in slices(len(work)):
        chosen = (work.kind[piece] == Kind.KERNEL) & (work.call[piece] >= 0)
        call = work.call[piece][chosen]
        np.add.at(counts, call, 1)
        np.add.at(spent, call, work.dur_ns[piece][chosen])
    start = axis.times(ranges.start_key) - work.origin_ns
    name, _, start, end = stretches(
        ranges.name, np.zeros_like(ranges.name), start, start + (ranges.end_key - ranges.start_key)
    )
    count, ns = np.zeros((2, len(start)), dtype=np.int64)
    order = calls.order()
    for piece in slices(len(calls)):
        at = order[piece]
        lower, upper = np.searchsorted(calls.starts(at), (start, end))
        count += _between(counts[at], lower, upper)
        ns += _between(spent[at], lower, upper)
    counted, time = (np.bincount(name, weights=total, minlength=len(ranges)) for total in (count, ns))
    return list(zip(counted.astype(np.int64).tolist(), time.astype(np.int64).tolist(), strict=True))


def _between(values: Ints, lower: Int64s, upper: Int64s) -> Int64s:
    """Sums of `values[lower[i]:upper[i]]`."""
    before = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=before[1:])
    return before[upper] - before[lower]
