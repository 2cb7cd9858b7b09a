"""Blocks from our own ranges: the turns that `maskprof run` and the wrapper write into a trace."""

import numpy as np

from maskprof.analysis.block_turns import HostTurns, TurnPhase
from maskprof.analysis.turns import Kind, OwnRanges, find_ranges
from maskprof.ranges import parse_block
from maskprof.traces.columns import Int64s, Trace

_PHASES = (("prefill", Kind.PREFILL), ("decode", Kind.DECODE))


def turns_from_ranges(trace: Trace) -> HostTurns | None:
    """The turns that `block.07.active` and `block.07.skipped` mark; None without any.

    The phases are those of `phase.prefill` and `phase.decode` around them, or, where no turn lies in any, the whole
    trace as one phase `all`, whose steps are the turns of the block that has most.
    """
    if not any(name.startswith("block.") for name in trace.names):
        return None
    ranges = find_ranges(trace)
    is_turn = ranges.of(Kind.ACTIVE, Kind.SKIPPED)
    turns = np.flatnonzero(is_turn)
    if not len(turns):
        return None
    in_phase = (ranges.phase[turns] >= 0) & np.isin(
        ranges.kind[ranges.phase[turns]], (Kind.PREFILL, Kind.DECODE)
    )
    if in_phase.any():
        phases = tuple(
            _phase(name, np.flatnonzero(ranges.kind == kind), ranges)
            for name, kind in _PHASES
            if (ranges.kind == kind).any()
        )
        stray = int((~in_phase).sum())
        note = (
            f"{stray} {'turn of a block lies' if stray == 1 else 'turns of blocks lie'} outside prefill and decode and "
            f"{'is' if stray == 1 else 'are'} in no figure."
            if stray
            else None
        )
    else:
        steps = int(np.unique(ranges.block[turns], return_counts=True)[1].max())
        phases = (TurnPhase(name="all", ranges=None, steps=steps, host_us=None),)
        note = None
    return HostTurns(
        nesting=ranges.nesting,
        turn=ranges.turn,
        phase=ranges.phase,
        block=ranges.block,
        active=np.where(ranges.kind == Kind.ACTIVE, 1, np.where(ranges.kind == Kind.SKIPPED, 0, -1)).astype(
            np.int8
        ),
        names=_names(trace, ranges, turns),
        phases=phases,
        ours=ranges.is_own_name,
        source="ranges",
        note=note,
    )


def _phase(name: str, steps: Int64s, ranges: OwnRanges) -> TurnPhase:
    """The steps at the positions `steps`; vision and projector inside them are not part of their time."""
    sides = np.flatnonzero(ranges.of(Kind.SIDE))
    inside = sides[np.isin(ranges.nesting.parents[sides], steps)]
    host_us = float(ranges.dur_us[steps].sum() - ranges.dur_us[inside].sum())
    return TurnPhase(name=name, ranges=steps, steps=len(steps), host_us=host_us)


def _names(trace: Trace, ranges: OwnRanges, turns: Int64s) -> dict[int, str]:
    """`block.07` by the block's number."""
    found = {}
    for code in np.unique(trace.events.name[ranges.nesting.rows[turns]]):
        name = trace.names[code]
        block = parse_block(name)
        if block is not None:
            found[block.block] = name.removesuffix(f".{block.part}")
    return found
