"""Arithmetic on sets of time intervals, given as two int64 arrays of equal shape: starts and ends.

Intervals may come in any order and may overlap; `[start, end)` with `end <= start` is empty.
"""

import numpy as np

from maskprof.traces.columns import Int64s


def union(start: Int64s, end: Int64s) -> tuple[Int64s, Int64s]:
    """The same times as disjoint intervals, ascending; touching ones are joined, empty ones dropped."""
    filled = end > start
    if not filled.all():
        start, end = start[filled], end[filled]
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, reached = start[order], end[order]
    del order
    np.maximum.accumulate(reached, out=reached)
    first = np.concatenate(([True], start[1:] > reached[:-1]))
    last = np.concatenate((first[1:], [True]))
    return start[first], reached[last]


def union_length(start: Int64s, end: Int64s) -> int:
    """How long at least one of the intervals lasts."""
    lower, upper = union(start, end)
    return int((upper - lower).sum())


def gaps(start: Int64s, end: Int64s) -> tuple[Int64s, Int64s]:
    """The times between the first start and the last end that no interval covers, ascending."""
    lower, upper = union(start, end)
    return upper[:-1], lower[1:]
