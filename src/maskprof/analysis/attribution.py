"""What one trace says about each block: host time, device time, and what its skip path costs.

Kernels and operators belong to a block by where they were launched: from the kernel over its correlation id
to the launch call, and from there to the innermost range of ours on the launching thread. The span of a
device annotation is never used.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.instrument import instrument_cost
from maskprof.analysis.turns import Kind, OwnRanges, find_ranges
from maskprof.results.schema import BlockCost, InstrumentCost, PhaseCost
from maskprof.traces.categories import DEVICE_EVENTS, KERNEL, OPERATOR
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.links import Launches, innermost, link_launches

Floats = NDArray[np.float64]

_MEASURED_PHASES = (("prefill", Kind.PREFILL), ("decode", Kind.DECODE))


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAttribution:
    """The part of `results.schema.Attribution` that comes from the trace alone.

    Attributes:
        phases: `prefill` and `decode`, as far as the trace has them.
        instrument: what was subtracted; None where the trace has no empty ranges, and nothing was.
        account: how many events each step of the analysis had and lost; see `attribute`.
    """

    phases: tuple[PhaseCost, ...]
    instrument: InstrumentCost | None
    account: dict[str, int]


def attribute(trace: Trace) -> TraceAttribution:
    """Attribute host and device time to phases and blocks.

    Figures are means per prefill and per decode step, over all passes in the trace, in microseconds. What is
    subtracted, where it could be measured:

    - from a turn's `host_us`: `turn_us`, and `inner_total_us` for every mask check and cache range in it (where a
      skipped block's turn comes before, `next_turn_us` and `next_inner_total_us`); for
      an active block `turn_us` once more, for its nested `compute` range. That is an approximation: a
      `record_function` costs the range around it somewhat more than it reports as its own duration.
    - from `mask_check_us` and `cache_us`: `inner_us` for every such range.

    Differences are not clamped at zero: noise stays visible. `PhaseCost.host_us` and `device_us` of the
    prefill leave out the vision and projector phases inside it, and have nothing subtracted.

    `device_us` is the time of kernels, summed; copies and memsets are not in it. It is None where the trace
    has no device events at all; `kernel_count` then counts operators (nested ones too, our own ranges not).

    The account has `events_read`, `events_lost`, `truncated` (0 or 1), `kernels`, `kernels_linked`,
    `kernels_unlinked` (their launch call is not in the trace), `kernels_in_blocks`, `copies_in_blocks`
    (copies and memsets), `operators_in_blocks`, `turns`, `turns_outside_phases` (not in any figure).
    """
    ranges = find_ranges(trace)
    launches = link_launches(trace)
    work = _work_by_range(trace, ranges, launches)
    instrument = instrument_cost(ranges)
    evidence = _Evidence(ranges=ranges, costs=_TurnCosts.measured(ranges, instrument), work=work)
    turns = ranges.of(Kind.ACTIVE, Kind.SKIPPED)
    phases = tuple(
        _phase_cost(name, np.flatnonzero(ranges.kind == kind), evidence)
        for name, kind in _MEASURED_PHASES
        if np.any(ranges.kind == kind)
    )
    is_kernel = trace.in_categories((KERNEL,))[launches.device_rows]
    account = {
        "events_read": len(trace.events),
        "events_lost": trace.account.lost + trace.account.unpaired,
        "truncated": int(trace.account.truncated),
        "kernels": int(is_kernel.sum()),
        "kernels_linked": int((is_kernel & launches.linked).sum()),
        "kernels_unlinked": int((is_kernel & ~launches.linked).sum()),
        "kernels_in_blocks": work.kernels_in_turns,
        "copies_in_blocks": work.copies_in_turns,
        "operators_in_blocks": int(work.operators[turns].sum()),
        "turns": int(turns.sum()),
        "turns_outside_phases": int((turns & ~_in_phases(ranges, (Kind.PREFILL, Kind.DECODE))).sum()),
    }
    return TraceAttribution(phases=phases, instrument=instrument, account=account)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """Work launched inside each turn, and inside each phase but not a phase within it; shape (ranges,).

    `kernel_us` is None where the trace has no device events.
    """

    kernel_us: Floats | None
    kernels: Int64s
    operators: Int64s
    kernels_in_turns: int
    copies_in_turns: int


def _work_by_range(trace: Trace, ranges: OwnRanges, launches: Launches) -> _Work:
    events, count = trace.events, len(ranges.kind)

    def owners(rows: Int64s) -> tuple[Int64s, Int64s]:
        """The turn and the phase of each row, or -1."""
        inside = innermost(events, ranges.nesting, rows)
        found = inside >= 0
        if not count:
            return inside, inside
        return np.where(found, ranges.turn[inside], -1), np.where(found, ranges.phase[inside], -1)

    device_rows = launches.device_rows[launches.linked]
    turn, phase = owners(launches.launch_rows[launches.linked])
    is_kernel = trace.in_categories((KERNEL,))[device_rows]
    kernel_us = np.where(is_kernel, events.dur_ns[device_rows] / 1000.0, 0.0)
    operator_rows = trace.rows_in((OPERATOR,))
    operator_rows = operator_rows[~ranges.is_own_name[events.name[operator_rows]]]
    operator_turn, _ = owners(operator_rows)
    return _Work(
        kernel_us=_sums(turn, count, kernel_us) + _sums(phase, count, kernel_us)
        if np.any(trace.in_categories(DEVICE_EVENTS))
        else None,
        kernels=_counts(turn[is_kernel], count),
        operators=_counts(operator_turn, count),
        kernels_in_turns=int((turn[is_kernel] >= 0).sum()),
        copies_in_turns=int((turn[~is_kernel] >= 0).sum()),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TurnCosts:
    """Per turn, instrument subtracted; shape (ranges,), of no meaning where the range is no turn."""

    host_us: Floats
    mask_check_us: Floats
    mask_checks: Int64s
    cache_us: Floats
    caches: Int64s

    @classmethod
    def measured(cls, ranges: OwnRanges, instrument: InstrumentCost | None) -> "_TurnCosts":
        count = len(ranges.kind)
        inner_us = instrument.inner_us if instrument else 0.0
        turn_us, inner_total_us = _cost_of_turns(ranges, instrument)

        def inside(kind: Kind) -> tuple[Floats, Int64s]:
            chosen = ranges.kind == kind
            turn = ranges.turn[chosen]
            return _sums(turn, count, ranges.dur_us[chosen] - inner_us), _counts(turn, count)

        mask_check_us, mask_checks = inside(Kind.MASK_CHECK)
        cache_us, caches = inside(Kind.CACHE)
        _, computes = inside(Kind.COMPUTE)
        return cls(
            host_us=ranges.dur_us - turn_us * (1 + computes) - inner_total_us * (mask_checks + caches),
            mask_check_us=mask_check_us,
            mask_checks=mask_checks,
            cache_us=cache_us,
            caches=caches,
        )


def _cost_of_turns(ranges: OwnRanges, instrument: InstrumentCost | None) -> tuple[Floats, Floats]:
    """For each turn what its own range costs, and each range inside it; shape (ranges,)."""
    count = len(ranges.kind)
    if instrument is None:
        return np.zeros(count), np.zeros(count)
    turn_us, inner_us = np.full(count, instrument.turn_us), np.full(count, instrument.inner_total_us)
    if instrument.next_turn_us is not None and instrument.next_inner_total_us is not None:
        turns = np.flatnonzero(ranges.of(Kind.ACTIVE, Kind.SKIPPED))
        before, after = turns[:-1], turns[1:]
        # Hardly anything runs between two skipped blocks, so that the second finds the caches warm.
        warm = after[(ranges.kind[before] == Kind.SKIPPED) & (ranges.phase[before] == ranges.phase[after])]
        turn_us[warm], inner_us[warm] = instrument.next_turn_us, instrument.next_inner_total_us
    return turn_us, inner_us


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Evidence:
    ranges: OwnRanges
    costs: _TurnCosts
    work: _Work


def _phase_cost(name: str, steps: Int64s, evidence: _Evidence) -> PhaseCost:
    ranges, kernel_us = evidence.ranges, evidence.work.kernel_us
    sides = np.flatnonzero(ranges.of(Kind.SIDE))
    around = ranges.nesting.parents[sides]
    side_us = ranges.dur_us[sides[np.isin(around, steps)]].sum()
    turns = np.flatnonzero(ranges.of(Kind.ACTIVE, Kind.SKIPPED))
    turns = turns[np.isin(ranges.phase[turns], steps)]
    blocks = ranges.block[turns]
    return PhaseCost(
        phase=name,
        steps=len(steps),
        host_us=float(ranges.dur_us[steps].sum() - side_us) / len(steps),
        device_us=None if kernel_us is None else float(kernel_us[steps].sum()) / len(steps),
        blocks=tuple(
            _block_cost(int(block), turns[blocks == block], len(steps), evidence)
            for block in np.unique(blocks)
        ),
    )


def _block_cost(block: int, turns: Int64s, steps: int, evidence: _Evidence) -> BlockCost:
    costs, work = evidence.costs, evidence.work
    is_active = evidence.ranges.kind[turns] == Kind.ACTIVE

    def per_step(values: NDArray[np.float64] | Int64s) -> float:
        return float(values[turns].sum()) / steps

    return BlockCost(
        block=block,
        active=bool(2 * np.count_nonzero(is_active) > len(turns)),
        host_us=per_step(costs.host_us),
        device_us=None if work.kernel_us is None else per_step(work.kernel_us),
        mask_check_us=per_step(costs.mask_check_us) if costs.mask_checks[turns].any() else None,
        cache_us=per_step(costs.cache_us) if costs.caches[turns].any() else None,
        kernel_count=per_step(work.operators if work.kernel_us is None else work.kernels),
    )


def _in_phases(ranges: OwnRanges, kinds: tuple[Kind, ...]) -> Bools:
    return (ranges.phase >= 0) & np.isin(ranges.kind[ranges.phase], kinds)


def _sums(owner: Int64s, count: int, values: Floats) -> Floats:
    owned = owner >= 0
    return np.bincount(owner[owned], weights=values[owned], minlength=count).astype(np.float64)


def _counts(owner: Int64s, count: int) -> Int64s:
    return np.bincount(owner[owner >= 0], minlength=count)
