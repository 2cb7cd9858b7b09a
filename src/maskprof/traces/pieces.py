"""Long arrays piece by piece, so that what is only needed in between stays small, however long a trace is."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.growing import GrowingColumn
from maskprof.traces.spilling import release

Ints: TypeAlias = NDArray[Any]
"""Of some signed integer type; widen before adding up or multiplying."""

PIECE = 2**15
# So far may the rows of one piece lie apart: all that lies between them comes into memory.
_SPAN = 2**19
# Longer arrays are sorted in several goes.
_SORTED_AT_ONCE = 2**18
_SAMPLED = 64


def slices(length: int, piece: int | None = None) -> Iterator[slice]:
    """Slices that cover an array of this length, one after the other; what one took from disk goes with it."""
    piece = piece or PIECE
    for start in range(0, length, piece):
        yield slice(start, min(start + piece, length))
        release()


def row_slices(rows: Ints) -> Iterator[slice]:
    """The same for an array of a trace's rows, which may be few and far between."""
    for piece in slices(len(rows)):
        some = rows[piece]
        parts = -(-(int(some.max()) - int(some.min()) + 1) // _SPAN)
        for part in slices(len(some), -(-len(some) // parts)):
            yield slice(piece.start + part.start, piece.start + part.stop)


def narrowed(values: Ints) -> Ints:
    """The same values in the narrowest signed type that holds them."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype, copy=False)
    return values


def positions(length: int, chosen: Callable[[slice], NDArray[np.bool_]]) -> Ints:
    """Where `chosen` is true, ascending; on disk if there are many. It is asked for one slice after the other."""
    if length <= PIECE:
        return np.flatnonzero(chosen(slice(0, length))).astype(np.int32)
    found = GrowingColumn(at_least=np.int32)
    for piece in slices(length):
        found.extend(np.flatnonzero(chosen(piece)) + piece.start)
    return found.finish()


def column(length: int, values: Callable[[slice], Ints], *, at_least: type = np.int32) -> Ints:
    """What `values` gives for one slice after the other, as one array; on disk if it is long.

    It is at least as wide as the type `at_least`; a long one is of the narrowest such type that holds the values.
    """
    if length <= PIECE:
        return _at_least(values(slice(0, length)), at_least)
    grown = GrowingColumn(at_least=at_least)
    for piece in slices(length):
        grown.extend(values(piece))
    return grown.finish()


def row_column(rows: Ints, values: Callable[[Ints], Ints], *, at_least: type = np.int32) -> Ints:
    """The same of what `values` gives for some of `rows` after the other; these may be few and far between."""
    if len(rows) <= PIECE and (not len(rows) or int(rows.max()) - int(rows.min()) < _SPAN):
        return _at_least(values(rows), at_least)
    grown = GrowingColumn(at_least=at_least)
    for piece in row_slices(rows):
        grown.extend(values(rows[piece]))
    return grown.finish()


def sums_before(length: int, values: Callable[[slice], Ints]) -> Ints:
    """The sum of the values before each, and of all; shape (length + 1,), on disk if it is long."""
    sums, so_far = GrowingColumn(at_least=np.int64), 0
    sums.extend(np.zeros(1, dtype=np.int64))
    for piece in slices(length):
        running = so_far + np.cumsum(values(piece), dtype=np.int64)
        sums.extend(running)
        so_far = int(running[-1])
    return sums.finish()


def _at_least(values: Ints, dtype: type) -> Ints:
    return values if values.dtype.itemsize >= np.dtype(dtype).itemsize else values.astype(dtype)


def order(length: int, keys: Callable[[slice], Ints]) -> Ints:
    """Positions by rising key, equal ones in their order; like `np.argsort`, on disk if there are many.

    `keys` gives the keys of a slice; it is asked several times for each.
    """
    if length <= _SORTED_AT_ONCE:
        return np.argsort(keys(slice(0, length)), kind="stable").astype(np.int32)
    goes = -(-length // (_SORTED_AT_ONCE // 2))
    every = max(1, length // (goes * _SAMPLED))
    bounds, sampled = [], []
    for piece in slices(length):
        some = keys(piece)
        bounds.append((piece, some.min(), some.max()))
        sampled.append(some[::every])
    sample = np.sort(np.concatenate(sampled))
    edges = np.unique(sample[np.arange(1, goes) * len(sample) // goes]).tolist()
    found = GrowingColumn(at_least=np.int32)
    for lower, upper in zip([None, *edges], [*edges, None], strict=True):
        places, values = [], []
        for piece, least, most in bounds:
            if (lower is None or most >= lower) and (upper is None or least < upper):
                some = keys(piece)
                inside = np.ones(len(some), dtype=np.bool_)
                if lower is not None:
                    inside &= some >= lower
                if upper is not None:
                    inside &= some < upper
                at = np.flatnonzero(inside)
                places.append((at + piece.start).astype(np.int32))
                values.append(some[at])
                release()
        if places:
            found.extend(np.concatenate(places)[np.argsort(np.concatenate(values), kind="stable")])
    return found.finish()
