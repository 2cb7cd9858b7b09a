"""The named ranges of a trace's host threads, as the pieces of time that they cover."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

import numpy as np

from maskprof.analysis.host_axis import HostAxis
from maskprof.ranges import is_block_or_instrument, parse_phase
from maskprof.traces.categories import ANNOTATION, OPERATOR
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.growing import GrowingColumn
from maskprof.traces.pieces import Ints, column, order, positions, row_column, row_slices, slices


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretches:
    """Pieces of threads' time, by name, group and start; those of one name do not overlap.

    Attributes:
        name: whose it is, ascending; shape (stretches,), like all.
        group, start_key, end_key: where it is on the host's axis; what starts at `end_key` is outside.
    """

    name: Ints
    group: Ints
    start_key: Int64s
    end_key: Int64s

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostRanges:
    """Ranges by name, and for each name the stretches of a thread's time that lie in one of them.

    Where ranges of one name overlap on a thread (a function that calls itself), they share a stretch, so that
    what was launched inside counts once.

    Attributes:
        names: by first appearance.
        count, host_ns: ranges of each name, and the sum of their durations; shape (names,).
        stretches: their names are positions in `names`.
    """

    names: tuple[str, ...]
    count: Int64s
    host_ns: Int64s
    stretches: Stretches

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def nothing(cls) -> "HostRanges":
        """No ranges at all."""
        none = np.zeros(0, dtype=np.int64)
        stretches = Stretches(name=none, group=none, start_key=none, end_key=none)
        return cls(names=(), count=none, host_ns=none, stretches=stretches)

    def named(self, pattern: str) -> "HostRanges":
        """Only those whose name matches; `*` and `?` stand for any text and any character."""
        chosen = np.flatnonzero([name == pattern or fnmatchcase(name, pattern) for name in self.names])
        at = positions(len(self.stretches), lambda piece: np.isin(self.stretches.name[piece], chosen))
        return HostRanges(
            names=tuple(self.names[i] for i in chosen),
            count=self.count[chosen],
            host_ns=self.host_ns[chosen],
            stretches=Stretches(
                name=np.searchsorted(chosen, self.stretches.name[at]).astype(np.int64),
                group=self.stretches.group[at],
                start_key=self.stretches.start_key[at],
                end_key=self.stretches.end_key[at],
            ),
        )


def range_rows(trace: Trace) -> Ints:
    """Rows of the ranges that are reported by name.

    These are all user annotations on the host and our own ranges, whatever they were written as. Left out: the
    device's copies of annotations, and frames and modules of Python.
    """
    own = own_names(trace)
    name, category = trace.events.name, trace.events.category
    operator, annotation = trace.categories_are((OPERATOR,)), trace.categories_are((ANNOTATION,))

    def chosen(piece: slice) -> Bools:
        named, kind = name[piece], category[piece]
        return own[named] & operator[kind] | annotation[kind]

    return positions(len(name), chosen)


def own_names(trace: Trace) -> Bools:
    """By name code, whether it is a range of ours; shape (names,)."""
    own = np.zeros(len(trace.names), dtype=np.bool_)
    for code, name in enumerate(trace.names):
        if name.startswith(("phase.", "block.", "instrument.")):
            own[code] = parse_phase(name) is not None or is_block_or_instrument(name)
    return own


def find_host_ranges(trace: Trace, axis: HostAxis, rows: Ints) -> HostRanges:
    """Gather the ranges in `rows` by name. `axis` must know their threads."""
    events = trace.events
    first = np.full(len(trace.names), np.iinfo(np.int64).max)
    count, host_ns = np.zeros((2, len(trace.names)), dtype=np.int64)
    for piece in row_slices(rows):
        code = events.name[rows[piece]]
        np.minimum.at(first, code, events.ts_ns[rows[piece]])
        np.add.at(count, code, 1)
        np.add.at(host_ns, code, np.maximum(events.dur_ns[rows[piece]], 0))
    codes = np.flatnonzero(count)
    codes = codes[np.argsort(first[codes], kind="stable")]
    place = np.zeros(len(trace.names), dtype=np.int64)
    place[codes] = np.arange(len(codes))
    start = axis.keys(rows)
    duration = row_column(rows, lambda some: np.maximum(events.dur_ns[some], 0))
    return HostRanges(
        names=tuple(trace.names[code] for code in codes.tolist()),
        count=count[codes],
        host_ns=host_ns[codes],
        stretches=joined_stretches(
            row_column(rows, lambda some: place[events.name[some]]),
            row_column(rows, axis.group_of),
            start,
            column(len(rows), lambda piece: start[piece] + duration[piece], at_least=np.int64),
        ),
    )


def merged(ranges: HostRanges, name: str) -> HostRanges:
    """All of `ranges` as one range of the given name; stretches that overlap are joined."""
    parts = ranges.stretches
    return HostRanges(
        names=(name,),
        count=ranges.count.sum(keepdims=True),
        host_ns=ranges.host_ns.sum(keepdims=True),
        stretches=joined_stretches(np.zeros_like(parts.name), parts.group, parts.start_key, parts.end_key),
    )


def joined(ranges: HostRanges, more: HostRanges) -> HostRanges:
    """Both, those of `more` behind, under numbers of their own even where the names are the same."""
    one, other = ranges.stretches, more.stretches
    return HostRanges(
        names=ranges.names + more.names,
        count=np.concatenate((ranges.count, more.count)),
        host_ns=np.concatenate((ranges.host_ns, more.host_ns)),
        stretches=Stretches(
            name=np.concatenate((one.name, other.name.astype(np.int64) + len(ranges))),
            group=np.concatenate((one.group, other.group)),
            start_key=np.concatenate((one.start_key, other.start_key)),
            end_key=np.concatenate((one.end_key, other.end_key)),
        ),
    )


def joined_stretches(name: Ints, group: Ints, start: Int64s, end: Int64s) -> Stretches:
    """Joined where they overlap, in order."""
    at = _in_order(name, group, start)
    names, groups = GrowingColumn(at_least=np.int32), GrowingColumn()
    starts, ends = GrowingColumn(at_least=np.int64), GrowingColumn(at_least=np.int64)
    open_name = open_group = reached = -1
    for piece in slices(len(at)):
        rows = at[piece]
        one = _Sorted.of(name[rows], group[rows], start[rows], end[rows])
        goes_on = one.name[0] == open_name and one.group[0] == open_group
        if goes_on:
            one.reach_from(reached)
        before = np.concatenate(([reached], one.reached[:-1]))
        first = one.differs | (one.start >= before)
        first[0] = not goes_on or one.start[0] >= reached
        ends.extend(before[first] if open_name >= 0 else before[first][1:])
        names.extend(one.name[first])
        groups.extend(one.group[first])
        starts.extend(one.start[first])
        open_name, open_group, reached = int(one.name[-1]), int(one.group[-1]), int(one.reached[-1])
    if len(at):
        ends.extend(np.array([reached]))
    return Stretches(
        name=names.finish(), group=groups.finish(), start_key=starts.finish(), end_key=ends.finish()
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sorted:
    """Some ranges in order.

    Attributes:
        differs: whether it is of another name or group than the one before it; shape (ranges,), like all.
        reached: the last end of those of its name and group so far. Ends may be compared across threads of one group,
            whose keys do not overlap, but not across names.
    """

    name: Ints
    group: Ints
    start: Int64s
    differs: Bools
    reached: Int64s

    @classmethod
    def of(cls, name: Ints, group: Ints, start: Int64s, end: Int64s) -> "_Sorted":
        differs = np.concatenate(([True], (name[1:] != name[:-1]) | (group[1:] != group[:-1])))
        reached = end.copy()
        bounds = [*np.flatnonzero(differs).tolist(), len(differs)]
        for lower, upper in pairwise(bounds):
            np.maximum.accumulate(reached[lower:upper], out=reached[lower:upper])
        return cls(name=name, group=group, start=start, differs=differs, reached=reached)

    def reach_from(self, reached: int) -> None:
        """Let the first name's ranges go on from an end that they had reached before."""
        last = int(np.argmax(self.differs[1:])) + 1 if self.differs[1:].any() else len(self.differs)
        np.maximum(self.reached[:last], reached, out=self.reached[:last])


def _in_order(name: Ints, group: Ints, start: Int64s) -> Ints:
    """Positions by name, group and start."""
    by_start = order(len(start), lambda piece: start[piece])
    if len(group) and int(group.max()):
        by_group = order(len(group), lambda piece: group[by_start[piece]])
        by_start = column(len(start), _composed(by_start, by_group))
    by_name = order(len(name), lambda piece: name[by_start[piece]])
    return column(len(name), _composed(by_start, by_name))


def _composed(first: Ints, then: Ints) -> Callable[[slice], Ints]:
    return lambda piece: first[then[piece]]
