"""Operators on the host: how often, how long, how long by themselves, and which of them launched what."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from maskprof.analysis.device_work import Calls
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.host_ranges import HostRanges
from maskprof.analysis.pair_sums import PairSums, PairTable
from maskprof.analysis.pairs import pair_pieces
from maskprof.ranges import is_block_or_instrument, parse_phase
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Int32s, Int64s, Trace

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
    name_codes: Int32s
    whole: PairTable
    by_range: PairTable
    of_call: Int32s


def operator_rows(trace: Trace) -> Int32s:
    """Rows of the operators: our own ranges that are written like one are not among them."""
    own = np.fromiter((_is_own(name) for name in trace.names), dtype=np.bool_, count=len(trace.names))
    chosen = trace.in_categories((OPERATOR,))
    if own.any():
        chosen &= ~own[trace.events.name]
    return np.flatnonzero(chosen).astype(np.int32)


def sum_operators(trace: Trace, axis: HostAxis, rows: Int32s, ranges: HostRanges, calls: Calls) -> Operators:
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
        of_call=of_call,
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
    parents: Int32s
    carried: int


def windows(trace: Trace, axis: HostAxis, rows: Int32s) -> Iterator[Window]:
    """The operators in `rows`, thread by thread, in windows of bounded size."""
    for group in range(axis.groups):
        chosen = rows if axis.groups == 1 else rows[axis.group_of(rows) == group]
        keys = axis.keys(chosen)
        carried = _Carried.nothing()
        edges = _edges(keys)
        in_order = len(edges) == 2 or not np.any(keys[1:] < keys[:-1])  # noqa: PLR2004
        for start, stop in pairwise(edges.tolist()):
            if len(edges) == 2:  # noqa: PLR2004
                new, key = chosen.astype(np.int64), keys
            elif in_order:
                lower, upper = np.searchsorted(keys, (start, stop))
                new, key = chosen[lower:upper].astype(np.int64), keys[lower:upper]
            else:
                at = np.flatnonzero((keys >= start) & (keys < stop))
                new, key = chosen[at].astype(np.int64), keys[at]
            window = _window(trace, carried, new, key, place=(group, start, stop))
            yield window
            carried = _Carried.from_window(window)


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
        parents=_parents(end),
        carried=len(carried.rows),
    )


def _parents(end: Int64s) -> Int32s:
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
    sums: PairSums, ranges: HostRanges, window: Window, code: Int32s, weights: tuple[Int64s, ...]
) -> None:
    chosen = np.flatnonzero(
        (ranges.group == window.group) & (ranges.start_key < window.stop) & (ranges.end_key > window.key[0])
    )
    lower = np.searchsorted(window.key, ranges.start_key[chosen])
    upper = np.searchsorted(window.key, ranges.end_key[chosen])
    for pairs in pair_pieces(lower, upper):
        at = pairs.item
        sums.add(ranges.name[chosen[pairs.owner]], code[at], *(weight[at] for weight in weights))


def _find_callers(of_call: Int32s, calls: Calls, window: Window, code: Int32s) -> None:
    first, last = calls.group_bounds[window.group], calls.group_bounds[window.group + 1]
    keys = calls.key[first:last]
    lower, upper = np.searchsorted(keys, (window.start, window.stop)) + first
    key = calls.key[lower:upper]
    found = np.searchsorted(window.key, key, side="right").astype(np.int32) - 1
    open_still = np.flatnonzero(found >= 0)
    while len(open_still):
        candidate = found[open_still]
        early = window.end[candidate] < key[open_still]
        open_still = open_still[early]
        found[open_still] = window.parents[candidate[early]]
        open_still = open_still[found[open_still] >= 0]
    of_call[lower:upper] = np.where(found >= 0, code[found], -1)


def _operator_codes(trace: Trace, rows: Int32s) -> tuple[Int32s, Int32s]:
    """The name codes that occur, and a table from name code to position among them."""
    occurs = np.zeros(len(trace.names), dtype=np.bool_)
    occurs[trace.events.name[rows]] = True
    codes = np.flatnonzero(occurs).astype(np.int32)
    table = np.full(len(trace.names), -1, dtype=np.int32)
    table[codes] = np.arange(len(codes), dtype=np.int32)
    return codes, table


def _is_own(name: str) -> bool:
    if not name.startswith(("phase.", "block.", "instrument.")):
        return False
    return parse_phase(name) is not None or is_block_or_instrument(name)
