"""Two sets of traces of the same model: which block became slower, by how much, and whether that is chance.

Every turn of a block is compared with the other blocks' turns of the same step: a machine that stalls or clocks down
makes all of them slower alike, and a block that became slower is so beside its neighbours. Step by step, the two sides
make pairs; what the pairs say of a block goes through `maskprof.serial`, with room for the number of blocks asked.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskprof import serial
from maskprof.analysis.turns import Kind, OwnRanges, find_ranges
from maskprof.errors import TraceError
from maskprof.results.block_comparison import BlockChange, BlockComparison
from maskprof.traces.categories import DEVICE_EVENTS, KERNEL
from maskprof.traces.columns import Trace
from maskprof.traces.links import innermost, link_launches

Floats = NDArray[np.float64]

_PHASES = (("prefill", Kind.PREFILL), ("decode", Kind.DECODE))
_WRONG = 0.05
# With fewer blocks beside it, a block is compared with little but itself.
_FEWEST_BLOCKS = 3


def compare_blocks(before: Sequence[Trace], after: Sequence[Trace]) -> BlockComparison:
    """Compare the blocks' turns of two sides, phase by phase.

    The traces of the two sides are best recorded alternately, before, after, before, after, each with many decode
    steps. Only active blocks count, and of both sides as many steps as the shorter one has.

    Raises:
        TraceError: a trace has no ranges of blocks, or the sides have not the same active blocks.
    """
    device = all(bool(trace.in_categories(DEVICE_EVENTS).any()) for trace in (*before, *after))
    sides = [[_turns(trace, device=device) for trace in side] for side in (before, after)]
    found: list[tuple[int, str, Floats, Floats, Floats]] = []
    for place, (phase, _) in enumerate(_PHASES):
        steps = [_together([turns[place] for turns in side]) for side in sides]
        blocks = [frozenset(one) for one in steps]
        if blocks[0] != blocks[1]:
            raise TraceError(
                f"the two sides differ in which blocks are active in {phase}: "
                f"{sorted(blocks[0])} and {sorted(blocks[1])}"
            )
        if len(blocks[0]) < _FEWEST_BLOCKS:
            continue
        count = min(len(next(iter(one.values()))) for one in steps)
        own, beside = [{block: us[:count] for block, us in one.items()} for one in steps], []
        for one in own:
            typical = np.median(np.stack(list(one.values())), axis=0)
            beside.append({block: np.log(us / typical) for block, us in one.items()})
        found += [
            (block, phase, own[0][block], own[1][block], beside[1][block] - beside[0][block])
            for block in sorted(blocks[0])
        ]
    if not found:
        raise TraceError(
            "the traces have no turns of at least 3 active blocks, so there is nothing to compare"
        )
    confidence = 1 - _WRONG / len(found)
    return BlockComparison(
        device=device, changes=tuple(_change(*one, confidence=confidence) for one in found)
    )


def _change(
    block: int, phase: str, before_us: Floats, after_us: Floats, logs: Floats, *, confidence: float
) -> BlockChange:
    interval = serial.median_interval(logs.tolist(), confidence=confidence)
    return BlockChange(
        block=block,
        phase=phase,
        turns=len(logs),
        before_us=float(np.median(before_us)),
        after_us=float(np.median(after_us)),
        change=float(np.expm1(np.median(logs))),
        interval=None if interval is None else (float(np.expm1(interval[0])), float(np.expm1(interval[1]))),
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
