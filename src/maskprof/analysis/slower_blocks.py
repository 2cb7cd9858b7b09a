"""Two sets of traces of the same model: which block became slower, by how much, and whether that is chance.

Every turn of a block is compared with the other blocks' turns of the same step: a machine that stalls or clocks down
makes all of them slower alike, and a block that became slower is so beside its neighbours. Of what a block takes beside
the others, the lower quartiles of the two sides are compared: what hits a single turn makes it longer. Their intervals
come from `maskprof.serial`, with room for the number of blocks asked, and are put together as by Zou and Donner,
Construction of confidence limits about effect measures, 2008.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskprof import serial
from maskprof.analysis.turns import Kind, OwnRanges, find_ranges
from maskprof.errors import TraceError
from maskprof.results.slower_blocks import BlockChange, BlockComparison
from maskprof.traces.categories import DEVICE_EVENTS, KERNEL
from maskprof.traces.columns import Trace
from maskprof.traces.links import innermost, link_launches

Floats = NDArray[np.float64]

_PHASES = (("prefill", Kind.PREFILL), ("decode", Kind.DECODE))
_WRONG = 0.05
# With fewer blocks beside it, a block is compared with little but itself.
_FEWEST_BLOCKS = 4


def compare_blocks(before: Sequence[Trace], after: Sequence[Trace]) -> BlockComparison:
    """Compare the blocks' turns of two sides, phase by phase.

    The traces of the two sides are best recorded alternately, before, after, before, after, each with many decode
    steps. Only active blocks count.

    Raises:
        TraceError: a trace has no ranges of blocks, or the sides have not the same active blocks.
    """
    device = all(bool(trace.in_categories(DEVICE_EVENTS).any()) for trace in (*before, *after))
    sides = [[_turns(trace, device=device) for trace in side] for side in (before, after)]
    phases: list[tuple[str, list[dict[int, Floats]]]] = []
    for place, (phase, _) in enumerate(_PHASES):
        own = [_together([turns[place] for turns in side]) for side in sides]
        blocks = [sorted(one) for one in own]
        if blocks[0] != blocks[1]:
            raise TraceError(
                f"the two sides differ in which blocks are active in {phase}: {blocks[0]} and {blocks[1]}"
            )
        if len(blocks[0]) >= _FEWEST_BLOCKS:
            phases.append((phase, own))
    if not phases:
        raise TraceError(
            f"the traces have no turns of at least {_FEWEST_BLOCKS} active blocks, so there is nothing to compare"
        )
    confidence = 1 - _WRONG / sum(len(own[0]) for _, own in phases)
    return BlockComparison(
        device=device,
        changes=tuple(change for phase, own in phases for change in _changes(phase, own, confidence)),
    )


def _changes(phase: str, own: list[dict[int, Floats]], confidence: float) -> list[BlockChange]:
    """All blocks of one phase, beside those that did not change: one that did would shift what is usual."""
    steady = set(own[0])
    while True:
        usual = [np.median(np.stack([side[block] for block in sorted(steady)]), axis=0) for side in own]
        found = [
            _change(block, phase, (own[0][block], own[1][block]), (usual[0], usual[1]), confidence=confidence)
            for block in sorted(own[0])
        ]
        changed = [change for change in found if change.is_clear and change.block in steady]
        if not changed or len(steady) <= _FEWEST_BLOCKS - 1:
            return found
        steady.remove(max(changed, key=lambda change: abs(change.change)).block)


def _change(
    block: int,
    phase: str,
    took_us: tuple[Floats, Floats],
    usual_us: tuple[Floats, Floats],
    *,
    confidence: float,
) -> BlockChange:
    """What the block took on each side, in units of what is usual for a block in the same step."""
    (before, around_before), (after, around_after) = (
        serial.lower_quartile(np.log(took / usual).tolist(), confidence=confidence)
        for took, usual in zip(took_us, usual_us, strict=True)
    )
    interval = None
    if around_before is not None and around_after is not None:
        low = after - before - math.hypot(after - around_after[0], around_before[1] - before)
        high = after - before + math.hypot(around_after[1] - after, before - around_before[0])
        interval = (math.expm1(low), math.expm1(high))
    return BlockChange(
        block=block,
        phase=phase,
        turns=min(len(side) for side in took_us),
        before_us=float(np.median(took_us[0])),
        after_us=float(np.median(took_us[1])),
        change=math.expm1(after - before),
        interval=interval,
    )


def _together(sides: Sequence[dict[int, Floats]]) -> dict[int, Floats]:
    """The same block's turns of several traces, one after the other."""
    blocks = set(sides[0]).intersection(*sides)
    return {block: np.concatenate([side[block] for side in sides]) for block in blocks}


def _turns(trace: Trace, *, device: bool) -> tuple[dict[int, Floats], ...]:
    """Per phase and active block the time of each turn, in order; a block that did not turn once a step is left out."""
    ranges = find_ranges(trace)
    took = _kernel_us(trace, ranges) if device else ranges.dur_us
    active = ranges.of(Kind.ACTIVE)
    found = []
    for _, kind in _PHASES:
        in_phase = active & (ranges.phase >= 0)
        in_phase[in_phase] = ranges.kind[ranges.phase[in_phase]] == kind
        steps = int((ranges.kind == kind).sum())
        blocks = {
            int(block): took[in_phase & (ranges.block == block)]
            for block in np.unique(ranges.block[in_phase])
        }
        found.append({block: us for block, us in blocks.items() if len(us) == steps and (us > 0).all()})
    return tuple(found)


def _kernel_us(trace: Trace, ranges: OwnRanges) -> Floats:
    """Per range that is a turn, the time of the kernels launched inside it."""
    launches = link_launches(trace)
    rows = launches.device_rows[launches.linked]
    inside = innermost(trace.events, ranges.nesting, launches.launch_rows[launches.linked])
    turn = np.where(inside >= 0, ranges.turn[inside], -1)
    counted = (turn >= 0) & trace.in_categories((KERNEL,))[rows]
    return np.bincount(
        turn[counted], weights=trace.events.dur_ns[rows][counted] / 1000.0, minlength=len(ranges.kind)
    ).astype(np.float64)
