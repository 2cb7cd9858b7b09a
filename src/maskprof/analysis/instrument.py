"""What the recording's own ranges cost, from the empty ones in the same trace."""

import numpy as np

from maskprof.analysis.turns import Kind, OwnRanges
from maskprof.results.schema import InstrumentCost
from maskprof.traces.columns import Int64s


def instrument_cost(ranges: OwnRanges) -> InstrumentCost | None:
    """Measure the instrument; None where the trace has no complete set of empty ranges.

    An `instrument.turn` holds empty inner ranges (two, as a skipped block's turn does) and an
    `instrument.empty_turn` holds none: the difference, divided by how many inner ones there are, is what one
    of them adds to the range around it. `next_turn` and `next_empty_turn` are those that follow such a turn.
    """
    first = _turn_cost(ranges, Kind.INSTRUMENT_TURN, Kind.INSTRUMENT_EMPTY_TURN)
    if first is None:
        return None
    turn_us, inner_total_us = first
    following = _turn_cost(ranges, Kind.INSTRUMENT_NEXT_TURN, Kind.INSTRUMENT_NEXT_EMPTY_TURN)
    next_turn_us, next_inner_total_us = following or (None, None)
    inner = _inner_of(ranges, Kind.INSTRUMENT_TURN)
    low, high = np.percentile(ranges.dur_us[inner], [5, 95])
    return InstrumentCost(
        inner_us=float(np.median(ranges.dur_us[inner])),
        inner_total_us=inner_total_us,
        turn_us=turn_us,
        next_turn_us=next_turn_us,
        next_inner_total_us=next_inner_total_us,
        inner_resolution_us=float(high - low),
        samples=int(np.count_nonzero(ranges.of(Kind.INSTRUMENT_EMPTY_TURN))),
    )


def _inner_of(ranges: OwnRanges, turn: Kind) -> Int64s:
    """Positions of the empty inner ranges in turns of this kind."""
    inner = np.flatnonzero(ranges.of(Kind.INSTRUMENT_INNER))
    parents = ranges.nesting.parents[inner]
    found: Int64s = inner[(parents >= 0) & (ranges.kind[parents] == turn)]
    return found


def _turn_cost(ranges: OwnRanges, turn: Kind, empty_turn: Kind) -> tuple[float, float] | None:
    """What an empty turn reports, and what an inner range adds to one; None where there are not both kinds."""
    turns, empty_turns = np.flatnonzero(ranges.of(turn)), np.flatnonzero(ranges.of(empty_turn))
    parents = ranges.nesting.parents[_inner_of(ranges, turn)]
    inner_per_turn = np.bincount(parents, minlength=len(ranges.kind))[turns]
    if not len(turns) or not len(empty_turns) or not np.median(inner_per_turn):
        return None
    turn_us = float(np.median(ranges.dur_us[empty_turns]))
    added_us = float(np.median(ranges.dur_us[turns])) - turn_us
    return turn_us, added_us / float(np.median(inner_per_turn))
