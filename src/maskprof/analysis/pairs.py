"""Members of overlapping slices, one by one, in pieces of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.traces import pieces
from maskprof.traces.columns import Int64s
from maskprof.traces.spilling import release


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """`item[i]` lies in the slice number `owner[i]`; by owner, then item. Both have shape (pairs,)."""

    owner: Int64s
    item: Int64s


def pair_pieces(lower: NDArray[np.integer], upper: NDArray[np.integer]) -> Iterator[Pairs]:
    """Every member of the slices `[lower[i], upper[i])`; a piece may end within a slice and the next go on in it."""
    lower = lower.astype(np.int64)
    length = np.maximum(upper.astype(np.int64) - lower, 0)
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, pieces.PIECE):
        stop = min(start + pieces.PIECE, total)
        first, last = np.searchsorted(ends, (start, stop - 1), side="right")
        owners = np.arange(first, last + 1)
        taken = np.minimum(ends[owners], stop) - np.maximum(ends[owners] - length[owners], start)
        owner = np.repeat(owners, taken)
        item = np.arange(start, stop) - (ends - length - lower)[owner]
        yield Pairs(owner=owner, item=item)
        release()
