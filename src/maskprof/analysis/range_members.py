"""Which launch calls, and so which device events, lie in which stretch of a range."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_work import Calls
from maskprof.analysis.host_ranges import HostRanges
from maskprof.analysis.pairs import Pairs
from maskprof.traces import pieces
from maskprof.traces.columns import Int64s
from maskprof.traces.pieces import Ints, column
from maskprof.traces.spilling import release


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Members:
    """The calls of stretch i are `calls[lower[i]:upper[i]]`; both have shape (stretches,)."""

    lower: Ints
    upper: Ints


def range_members(ranges: HostRanges, calls: Calls) -> Members:
    """Find the calls that begin inside each stretch, on its thread."""
    parts = ranges.stretches

    def calls_before(edge: Int64s) -> Ints:
        def of_piece(piece: slice) -> Ints:
            group, found = parts.group[piece], np.zeros(piece.stop - piece.start, dtype=np.int64)
            for one in np.unique(group).tolist():
                first, last = calls.group_bounds[one], calls.group_bounds[one + 1]
                here = group == one
                found[here] = np.searchsorted(calls.key[first:last], edge[piece][here]) + first
            return found

        return column(len(parts), of_piece)

    return Members(lower=calls_before(parts.start_key), upper=calls_before(parts.end_key))


def event_pieces(members: Members, calls: Calls) -> Iterator[Pairs]:
    """The device events of every stretch, by stretch and then by start."""
    lower, upper = (calls.bounds[at].astype(np.int64) for at in (members.lower, members.upper))
    ends = np.cumsum(np.maximum(upper - lower, 0))
    first = 0
    while first < len(ends):
        done = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, done + pieces.PIECE, side="right")), first + 1)
        if last == first + 1:
            yield from _single(first, np.sort(calls.events[lower[first] : upper[first]]))
        else:
            yield _several(first, lower[first:last], upper[first:last], calls.events)
            release()
        first = last


def _single(owner: int, items: Ints) -> Iterator[Pairs]:
    for piece in pieces.slices(len(items)):
        item = items[piece].astype(np.int64)
        yield Pairs(owner=np.full(len(item), owner, dtype=np.int64), item=item)


def _several(first: int, lower: Int64s, upper: Int64s, events: Ints) -> Pairs:
    length = np.maximum(upper - lower, 0)
    owner = np.repeat(np.arange(len(length)), length)
    at = np.arange(len(owner)) - (np.cumsum(length) - length - lower)[owner]
    # One key of both sorts faster than two.
    most = int(events.max()) + 1 if len(events) else 1
    key = np.sort(owner * most + events[at])
    return Pairs(owner=key // most + first, item=key % most)
