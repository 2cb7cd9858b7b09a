"""Two sets of traces of the same model: which block became slower, by how much, and whether that is chance.

Here the turns of the traces are laid side by side; what is made of them stands in `maskprof.analysis.block_changes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_changes import FEWEST_BLOCKS, POWER, PhaseTurns, changes_of, tells_a_spread
from maskprof.analysis.turns import Kind, OwnRanges, find_ranges
from maskprof.errors import TraceError
from maskprof.results.slower_blocks import BlockComparison
from maskprof.traces.categories import DEVICE_EVENTS, KERNEL
from maskprof.traces.columns import Trace
from maskprof.traces.links import innermost, link_launches

Floats = NDArray[np.float64]

_PHASES = (("prefill", Kind.PREFILL), ("decode", Kind.DECODE))
_WRONG = 0.05
_BASE = "baseTimeNanoseconds"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TraceTurns:
    """What a comparison needs of a trace, which is far less than the trace.

    Attributes:
        host: per phase, by the number of the block, the time of each turn in us.
        device: the same of the kernels launched inside; None without a device.
        began_ns: when its first event began, on a clock that traces share if `tells_when`.
    """

    host: tuple[dict[int, Floats], ...]
    device: tuple[dict[int, Floats], ...] | None
    began_ns: int
    tells_when: bool


def turns_of(trace: Trace) -> TraceTurns:
    """The turns of a trace's active blocks.

    Raises:
        TraceError: it has none.
    """
    ranges = find_ranges(trace)
    if not ranges.of(Kind.ACTIVE).any():
        cut = ", and is cut off" if trace.account.truncated else ""
        raise TraceError(
            f"{trace.path} has no turns of active blocks{cut}: blocks are compared in traces with ranges around them, "
            "as `maskprof run` writes them"
        )
    has_device = bool(trace.in_categories(DEVICE_EVENTS).any())
    base = trace.metadata.get(_BASE)
    began_ns = int(trace.events.ts_ns.min())
    return TraceTurns(
        host=_turns(ranges, ranges.dur_us),
        device=_turns(ranges, _kernel_us(trace, ranges)) if has_device else None,
        began_ns=began_ns + (base if isinstance(base, int) else 0),
        tells_when=isinstance(base, int),
    )


def compare_blocks(
    before: Sequence[Trace], after: Sequence[Trace], *, resolve: float | None = None, power: float = POWER
) -> BlockComparison:
    """`compare_turns` of traces that are at hand."""
    return compare_turns(
        list(map(turns_of, before)), list(map(turns_of, after)), resolve=resolve, power=power
    )


def compare_turns(
    before: Sequence[TraceTurns],
    after: Sequence[TraceTurns],
    *,
    resolve: float | None = None,
    power: float = POWER,
) -> BlockComparison:
    """Compare the blocks' turns of two sides, phase by phase.

    The traces of the two sides are best recorded alternately, before, after, after, before, each with many decode
    steps, at least three of each side. Only active blocks count.

    Args:
        before: one side.
        after: the other.
        resolve: a slowdown, as a share, for which to estimate how many traces would be needed.
        power: with which probability it, and what is said to be the resolution, would be found.

    Raises:
        TraceError: there are too few blocks, or the sides have not the same active blocks.
    """
    # In the order of recording, so that those of a pair are neighbours in time.
    sides = [sorted(side, key=lambda turns: turns.began_ns) for side in (before, after)]
    device = all(turns.device is not None for side in sides for turns in side)
    own = [[turns.device or turns.host if device else turns.host for turns in side] for side in sides]
    phases = [
        phase
        for place, (name, _) in enumerate(_PHASES)
        if (phase := _phase(name, *([turns[place] for turns in side] for side in own))) is not None
    ]
    if not phases:
        raise TraceError(
            f"the traces have no turns of at least {FEWEST_BLOCKS} active blocks, so there is nothing to compare"
        )
    questions = sum(len(phase.blocks) for phase in phases if tells_a_spread(phase))
    # Where nothing tells a spread there are no intervals; else a phase has at least so many blocks.
    wrong = _WRONG / max(FEWEST_BLOCKS, questions)
    found = [changes_of(phase, wrong=wrong, asked=resolve, power=power) for phase in phases]
    return BlockComparison(
        device=device,
        changes=tuple(change for changes, _ in found for change in changes),
        resolutions=tuple(resolution for _, resolution in found),
        alternating=_alternating(*sides),
    )


def _phase(
    name: str, before: Sequence[dict[int, Floats]], after: Sequence[dict[int, Floats]]
) -> PhaseTurns | None:
    """One phase of all traces; None where too few blocks took part."""
    blocks, others = (sorted(set(side[0]).intersection(*side)) for side in (before, after))
    if blocks != others:
        raise TraceError(f"the two sides differ in which blocks are active in {name}: {blocks} and {others}")
    if len(blocks) < FEWEST_BLOCKS:
        return None
    matrices = [
        [np.stack([own[block] for block in blocks], axis=1) for own in side] for side in (before, after)
    ]
    return PhaseTurns(phase=name, blocks=tuple(blocks), before=matrices[0], after=matrices[1])


def _alternating(before: Sequence[TraceTurns], after: Sequence[TraceTurns]) -> bool | None:
    """Whether the sides change at least every second trace; None where the traces do not tell when they began."""
    every = [(turns.began_ns, side) for side, own in enumerate((before, after)) for turns in own]
    if len(every) <= 2 or not all(turns.tells_when for turns in (*before, *after)):  # noqa: PLR2004 - one of each
        return None
    order = [side for _, side in sorted(every)]
    changes = sum(left != right for left, right in pairwise(order))
    # A lone trace at one end of all has the others on one side of it in time only.
    return changes >= max(2, min(len(before), len(after)))


def _turns(ranges: OwnRanges, took: Floats) -> tuple[dict[int, Floats], ...]:
    """Per phase and active block the time of each turn, in order; a block that did not turn once a step is left out."""
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
