"""What the recording's own ranges cost, from the empty ones in the same trace."""

import numpy as np

from maskprof.analysis.turns import Kind, OwnRanges
from maskprof.results.schema import InstrumentCost


def instrument_cost(ranges: OwnRanges) -> InstrumentCost | None:
    """Measure the instrument; None where the trace has no complete set of empty ranges.

    An `instrument.turn` holds empty inner ranges (two, as a skipped block's turn does) and an
    `instrument.empty_turn` holds none: the difference, divided by how many inner ones there are, is what one
    of them adds to the range around it.
    """
    turns = np.flatnonzero(ranges.of(Kind.INSTRUMENT_TURN))
    empty_turns = np.flatnonzero(ranges.of(Kind.INSTRUMENT_EMPTY_TURN))
    inner = np.flatnonzero(ranges.of(Kind.INSTRUMENT_INNER))
    parents = ranges.nesting.parents[inner]
    inner_per_turn = np.bincount(parents[parents >= 0], minlength=len(ranges.kind))[turns]
    if not len(turns) or not len(empty_turns) or not np.median(inner_per_turn):
        return None
    turn_us = float(np.median(ranges.dur_us[empty_turns]))
    low, high = np.percentile(ranges.dur_us[inner], [5, 95])
    return InstrumentCost(
        inner_us=float(np.median(ranges.dur_us[inner])),
        inner_total_us=(float(np.median(ranges.dur_us[turns])) - turn_us) / float(np.median(inner_per_turn)),
        turn_us=turn_us,
        inner_resolution_us=float(high - low),
        samples=len(empty_turns),
    )
