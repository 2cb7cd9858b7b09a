"""Our own ranges in a trace: the phases, the blocks' turns, and what is inside a turn."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from maskprof.ranges import (
    INSTRUMENT_EMPTY_TURN,
    INSTRUMENT_INNER,
    INSTRUMENT_NEXT_EMPTY_TURN,
    INSTRUMENT_NEXT_TURN,
    INSTRUMENT_TURN,
    BlockPart,
    parse_block,
    parse_phase,
)
from maskprof.traces.categories import RANGES
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.links import Nesting, nearest_of, nest
from maskprof.traces.pieces import Ints, positions, row_column


class Kind(IntEnum):
    """What a range stands for."""

    OTHER = 0
    PREFILL = 1
    DECODE = 2
    SIDE = 3  # vision and projector: inside the prefill, but no part of the language model
    ACTIVE = 4
    SKIPPED = 5
    MASK_CHECK = 6
    CACHE = 7
    COMPUTE = 8
    INSTRUMENT_TURN = 9
    INSTRUMENT_EMPTY_TURN = 10
    INSTRUMENT_INNER = 11
    INSTRUMENT_NEXT_TURN = 12
    INSTRUMENT_NEXT_EMPTY_TURN = 13


_PHASES = {"prefill": Kind.PREFILL, "decode": Kind.DECODE, "vision": Kind.SIDE, "projector": Kind.SIDE}
_PARTS: dict[BlockPart, Kind] = {
    "active": Kind.ACTIVE,
    "skipped": Kind.SKIPPED,
    "mask_check": Kind.MASK_CHECK,
    "compute": Kind.COMPUTE,
    "cache.dummy": Kind.CACHE,
    "cache.reuse": Kind.CACHE,
}
_INSTRUMENT = {
    INSTRUMENT_TURN: Kind.INSTRUMENT_TURN,
    INSTRUMENT_EMPTY_TURN: Kind.INSTRUMENT_EMPTY_TURN,
    INSTRUMENT_INNER: Kind.INSTRUMENT_INNER,
    INSTRUMENT_NEXT_TURN: Kind.INSTRUMENT_NEXT_TURN,
    INSTRUMENT_NEXT_EMPTY_TURN: Kind.INSTRUMENT_NEXT_EMPTY_TURN,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnRanges:
    """Every range of ours, in the order of `nesting`; all arrays have shape (ranges,).

    Attributes:
        nesting: the ranges' rows in the trace, and which range is inside which. Ranges of others (such as
            `ProfilerStep#3`) are not among them, so they cannot come between.
        kind: a `Kind` each.
        block: the block's index, -1 where the range is no block's.
        dur_us: duration as recorded, in microseconds.
        turn: position of the block's turn that the range is or lies in, or -1.
        phase: position of the prefill, decode step, vision or projector range that it is or lies in, or -1.
        is_own_name: by name code: whether the name is one of ours; shape (names,).
    """

    nesting: Nesting
    kind: NDArray[np.int8]
    block: Int64s
    dur_us: NDArray[np.float64]
    turn: Ints
    phase: Ints
    is_own_name: Bools

    def of(self, *kinds: Kind) -> Bools:
        """Which ranges are of one of `kinds`; shape (ranges,)."""
        return np.isin(self.kind, kinds)


def find_ranges(trace: Trace) -> OwnRanges:
    """Find our ranges on the host, whether written by `record_function` or by the fast range.

    The copies that the profiler makes of them on a device (`gpu_user_annotation`) are left out: they span
    only the kernels that have no nearer annotation.
    """
    kinds = np.zeros(len(trace.names), dtype=np.int8)
    blocks = np.zeros(len(trace.names), dtype=np.int64)
    for code, name in enumerate(trace.names):
        if name.startswith(("phase.", "block.", "instrument.")):
            kinds[code], blocks[code] = _meaning(name)
    events = trace.events
    is_own, is_range = kinds != Kind.OTHER, trace.categories_are(RANGES)
    rows = positions(len(events), lambda piece: is_own[events.name[piece]] & is_range[events.category[piece]])
    nesting = nest(events, rows)
    names = row_column(nesting.rows, lambda some: events.name[some])
    kind = kinds[names]
    itself = np.arange(len(kind), dtype=np.int32)
    return OwnRanges(
        nesting=nesting,
        kind=kind,
        block=blocks[names],
        dur_us=row_column(nesting.rows, lambda some: events.dur_ns[some]) / 1000.0,
        turn=nearest_of(nesting, itself, np.isin(kind, (Kind.ACTIVE, Kind.SKIPPED))),
        phase=nearest_of(nesting, itself, np.isin(kind, (Kind.PREFILL, Kind.DECODE, Kind.SIDE))),
        is_own_name=is_own,
    )


def _meaning(name: str) -> tuple[Kind, int]:
    if block := parse_block(name):
        return _PARTS[block.part], block.block
    if phase := parse_phase(name):
        return _PHASES[phase], -1
    return _INSTRUMENT.get(name, Kind.OTHER), -1
