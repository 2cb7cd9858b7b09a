"""Operators on the host: how often, how long, how long by themselves, and which of them launched what."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from maskprof.analysis.device_work import Calls
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.host_ranges import HostRanges, own_names
from maskprof.analysis.pair_sums import PairSums, PairTable
from maskprof.analysis.pairs import pair_pieces
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Int64s, Trace
from maskprof.traces.growing import kept
from maskprof.traces.pieces import Ints, column, order, positions, slices
from maskprof.traces.spilling import release

_WINDOW = 2**15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operators:
    """All operators by name. A code is a position in `names`.

    Attributes:
        names, name_codes: of the operators that occur: text, and code in the trace.
        whole: row 0, code -> (count, total ns, self ns).
        by_range: (range, code) -> the same, of the operators that started inside.
        of_call: the innermost operator around each launch call on its thread, or -1; shape (calls,).
    """

    names: tuple[str, ...]
    name_codes: Ints
    whole: PairTable
    by_range: PairTable
    of_call: Ints


def operator_rows(trace: Trace) -> Ints:
    """Rows of the operators: our own ranges that are written like one are not among them."""
    own = own_names(trace)
    if not own.any():
        return trace.rows_in((OPERATOR,))
    name, category, operator = trace.events.name, trace.events.category, trace.categories_are((OPERATOR,))
    return positions(len(name), lambda piece: operator[category[piece]] & ~own[name[piece]])


def sum_operators(trace: Trace, axis: HostAxis, rows: Ints, ranges: HostRanges, calls: Calls) -> Operators:
    """Go through the operators thread by thread, in windows of bounded size.

    An operator is inside another if it lies in it wholly, on the same thread. A launch call belongs to the innermost
    operator within which it starts.
    """
    name_codes, code_of_name = _operator_codes(trace, rows)
    names = tuple(trace.names[code] for code in name_codes.tolist())
    whole = PairSums(rows=1, codes=len(names), weights=3)
    by_range = PairSums(rows=len(ranges), codes=len(names), weights=3)
    of_call = np.full(len(calls), -1, dtype=np.int32)
    for window in windows(trace, axis, rows):
        code = code_of_name[trace.events.name[window.rows]]
        weights = weights_of(window)
        whole.add(np.zeros(len(code), dtype=np.int8), code, *weights)
        _add_to_ranges(by_range, ranges, window, code, weights)
        _find_callers(of_call, calls, window, code)
    return Operators(
        names=names,
        name_codes=name_codes,
        whole=whole.table(),
        by_range=by_range.table(),
        of_call=kept(of_call),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """Operators by key, outer before inner; the first `carried` began in an earlier window and still run.

    It holds all operators of keys `start` to `stop`. `parents` are positions, or -1.
    """

    group: int
    start: int
    stop: int
    rows: Int64s
    key: Int64s
    end: Int64s
    parents: Ints
    carried: int


def windows(trace: Trace, axis: HostAxis, rows: Ints) -> Iterator[Window]:
    """The operators in `rows`, thread by thread, in windows of bounded size."""
    for group in range(axis.groups):
        chosen = rows if axis.groups == 1 else rows[axis.group_of(rows) == group]
        keys = axis.keys(chosen)
        carried = _Carried.nothing()
        edges = _edges(keys)
        if len(edges) > 2 and not _ascending(keys):  # noqa: PLR2004
            chosen, keys = _in_order(chosen, keys)
        for start, stop in pairwise(edges.tolist()):
            # One window alone need not be in order.
            lower, upper = (0, len(keys)) if len(edges) == 2 else np.searchsorted(keys, (start, stop))  # noqa: PLR2004
            new, key = chosen[lower:upper].astype(np.int64), keys[lower:upper]
            window = _window(trace, carried, new, key, place=(group, start, stop))
            yield window
            carried = _Carried.from_window(window)
            release()


def _ascending(keys: Int64s) -> bool:
    return all(
        bool((np.diff(keys[max(piece.start - 1, 0) : piece.stop]) >= 0).all()) for piece in slices(len(keys))
    )


def _in_order(rows: Ints, keys: Int64s) -> tuple[Ints, Int64s]:
    by_key = order(len(keys), lambda piece: keys[piece])
    return (
        column(len(keys), lambda piece: rows[by_key[piece]]),
        column(len(keys), lambda piece: keys[by_key[piece]], at_least=np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Carried:
    rows: Int64s
    key: Int64s
    end: Int64s

    @classmethod
    def nothing(cls) -> "_Carried":
        empty = np.zeros(0, dtype=np.int64)
        return cls(rows=empty, key=empty, end=empty)

    @classmethod
    def from_window(cls, window: Window) -> "_Carried":
        open_still = window.end >= window.stop
        return cls(rows=window.rows[open_still], key=window.key[open_still], end=window.end[open_still])


def _edges(keys: Int64s) -> Int64s:
    """Where to cut the keys into windows; equal keys stay together."""
    if not len(keys):
        return np.zeros(1, dtype=np.int64)
    pieces = -(-len(keys) // _WINDOW)
    inner = np.zeros(0, dtype=np.int64)
    if pieces > 1:
        sample = np.sort(keys[:: max(1, len(keys) // (64 * pieces))])
        inner = sample[np.arange(1, pieces) * len(sample) // pieces]
    # The last window is open: calls within the last operator start after it.
    return np.unique(np.concatenate(([keys.min()], inner, [np.iinfo(np.int64).max])))


def _window(
    trace: Trace, carried: _Carried, new: Int64s, key: Int64s, *, place: tuple[int, int, int]
) -> Window:
    duration = np.maximum(trace.events.dur_ns[new].astype(np.int64, copy=False), 0)
    if np.any(key[1:] <= key[:-1]):
        order = np.lexsort((-duration, key))
        new, key, duration = new[order], key[order], duration[order]
    rows = np.concatenate((carried.rows, new))
    end = np.concatenate((carried.end, key + duration))
    return Window(
        group=place[0],
        start=place[1],
        stop=place[2],
        rows=rows,
        key=np.concatenate((carried.key, key)),
        end=end,
        parents=parents_of(end),
        carried=len(carried.rows),
    )


def parents_of(end: Int64s) -> Ints:
    """For ranges by start, outer first: the nearest one before that ends no earlier, or -1.

    All between a range and its candidate end before it, so a candidate that ends too early may be replaced by its
    own candidate.
    """
    parents = np.arange(-1, len(end) - 1, dtype=np.int32)
    open_still = np.arange(1, len(end), dtype=np.int32)
    while len(open_still):
        candidate = parents[open_still]
        early = (candidate >= 0) & (end[candidate] < end[open_still])
        open_still = open_still[early]
        parents[open_still] = parents[candidate[early]]
    return parents


def weights_of(window: Window) -> tuple[Int64s, Int64s, Int64s]:
    """What each operator adds: to count, total and self time. Carried ones only lose what is inside them."""
    duration = window.end - window.key
    duration[: window.carried] = 0
    count = np.ones(len(duration), dtype=np.int64)
    count[: window.carried] = 0
    inside = window.parents >= 0
    children = np.bincount(window.parents[inside], weights=duration[inside], minlength=len(duration))
    return count, duration, duration - children.astype(np.int64)


def _add_to_ranges(
    sums: PairSums, ranges: HostRanges, window: Window, code: Ints, weights: tuple[Int64s, ...]
) -> None:
    parts = ranges.stretches
    chosen = positions(
        len(parts),
        lambda piece: (
            (parts.group[piece] == window.group)
            & (parts.start_key[piece] < window.stop)
            & (parts.end_key[piece] > window.key[0])
        ),
    )
    lower = np.searchsorted(window.key, parts.start_key[chosen])
    upper = np.searchsorted(window.key, parts.end_key[chosen])
    for pairs in pair_pieces(lower, upper):
        at = pairs.item
        sums.add(parts.name[chosen[pairs.owner]], code[at], *(weight[at] for weight in weights))


def _find_callers(of_call: Ints, calls: Calls, window: Window, code: Ints) -> None:
    first, last = calls.group_bounds[window.group], calls.group_bounds[window.group + 1]
    keys = calls.key[first:last]
    lower, upper = np.searchsorted(keys, (window.start, window.stop)) + first
    key = calls.key[lower:upper]
    found = innermost_at(key, window.key, window.end, window.parents)
    of_call[lower:upper] = np.where(found >= 0, code[found], -1)


def innermost_at(at: Int64s, key: Int64s, end: Int64s, parents: Ints) -> Ints:
    """For places on the axis the innermost of the ranges within which each lies: a position, or -1; shape (at,).

    The ranges are given by their keys, ascending, outer first, their ends, and what `parents_of` gives.
    """
    found = np.searchsorted(key, at, side="right").astype(np.int32) - 1
    open_still = np.flatnonzero(found >= 0)
    while len(open_still):
        candidate = found[open_still]
        early = end[candidate] < at[open_still]
        open_still = open_still[early]
        found[open_still] = parents[candidate[early]]
        open_still = open_still[found[open_still] >= 0]
    return found


def _operator_codes(trace: Trace, rows: Ints) -> tuple[Ints, Ints]:
    """The name codes that occur, and a table from name code to position among them."""
    codes = np.flatnonzero(trace.names_of(rows)).astype(np.int32)
    table = np.full(len(trace.names), -1, dtype=np.int32)
    table[codes] = np.arange(len(codes), dtype=np.int32)
    return codes, table
