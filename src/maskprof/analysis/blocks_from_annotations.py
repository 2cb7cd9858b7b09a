"""Blocks from a user's own ranges, if they are named like a list of blocks: `model.layers.7`, `decoder_block 7`."""

import re

import numpy as np

from maskprof.analysis.block_turns import HostTurns, TurnPhase
from maskprof.traces.categories import RANGES
from maskprof.traces.columns import Int64s, Trace
from maskprof.traces.links import Nesting, nearest_of, nest
from maskprof.traces.pieces import positions, row_column

FEWEST_BLOCKS = 2

# A number at the end makes no block (`ProfilerStep#3`): the word before it must say that it is one.
_NAME = re.compile(
    r"(?P<list>.*(?:layers?|blocks?|(?:^|[._/])h))[ ._:#\[-]*(?P<number>\d{1,9})\]?", re.IGNORECASE
)
# What such a name ends with, before all of these characters.
_WORDS = ("layer", "layers", "block", "blocks", "h")
_BEHIND = "0123456789 ._:#[-]"


def turns_from_annotations(trace: Trace) -> HostTurns | None:
    """The ranges that are the blocks; None without any.

    A list is all ranges whose names differ by the number at their end alone, if the numbers are 0, 1, 2, ... or 1, 2,
    3, ..., if each occurs equally often (but for one, at the edge of the window) and if none lies inside another.
    Of several lists it is the one in which most time is spent on the host.
    """
    events = trace.events
    stems: dict[str, int] = {}
    stem = np.full(len(trace.names), -1, dtype=np.int64)
    number = np.full(len(trace.names), -1, dtype=np.int64)
    for code, name in enumerate(trace.names):
        # On long names, such as those of kernels, the pattern is slow.
        if name.rstrip(_BEHIND)[-6:].lower().endswith(_WORDS) and (match := _NAME.fullmatch(name)):
            stem[code] = stems.setdefault(match["list"], len(stems))
            number[code] = int(match["number"])
    if not stems:
        return None
    is_named = stem >= 0
    is_range = trace.categories_are(RANGES)
    rows = positions(
        len(events), lambda piece: is_named[events.name[piece]] & is_range[events.category[piece]]
    )
    nesting = nest(events, rows)
    names = row_column(nesting.rows, lambda some: events.name[some])
    best: tuple[float, Int64s] | None = None
    for one in range(len(stems)):
        at = np.flatnonzero(stem[names] == one)
        host = float(events.dur_ns[nesting.rows[at]].sum(dtype=np.float64))
        if _is_list(number[names[at]]) and _is_flat(nesting, at) and (best is None or host > best[0]):
            best = host, at
    if best is None:
        return None
    return _turns(trace, nesting, number[names], best[1])


def _is_list(numbers: Int64s) -> bool:
    if not len(numbers):
        return False
    found, counts = np.unique(numbers, return_counts=True)
    return bool(
        len(found) >= FEWEST_BLOCKS
        and found[0] <= 1
        and found[-1] - found[0] == len(found) - 1
        and counts.max() - counts.min() <= 1
    )


def _is_flat(nesting: Nesting, at: Int64s) -> bool:
    chosen = np.zeros(len(nesting.rows), dtype=np.bool_)
    chosen[at] = True
    around = nesting.parents[at]
    return bool((nearest_of(nesting, around[around >= 0], chosen) < 0).all())


def _turns(trace: Trace, nesting: Nesting, number: Int64s, at: Int64s) -> HostTurns:
    count = len(nesting.rows)
    itself = np.arange(count, dtype=np.int32)
    is_turn = np.zeros(count, dtype=np.bool_)
    is_turn[at] = True
    first = int(number[at].min())
    block = np.where(is_turn, number - first, -1)
    names = {
        int(number[one]) - first: trace.names[trace.events.name[nesting.rows[one]]]
        for one in at[np.unique(number[at], return_index=True)[1]]
    }
    steps = int(np.bincount(block[at]).max())
    ours = np.zeros(len(trace.names), dtype=np.bool_)
    ours[trace.events.name[nesting.rows]] = True
    return HostTurns(
        nesting=nesting,
        turn=nearest_of(nesting, itself, is_turn),
        phase=np.full(count, -1, dtype=np.int64),
        block=block,
        active=np.full(count, -1, dtype=np.int8),
        names=names,
        phases=(TurnPhase(name="all", ranges=None, steps=steps, host_us=None),),
        ours=ours,
        source="annotations",
        note="Blocks are ranges that were in the trace, recognised by their names; nothing says which phase "
        "they are of.",
    )
