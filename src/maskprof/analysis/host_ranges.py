"""The named ranges of a trace's host threads, as the pieces of time that they cover."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from maskprof.analysis.host_axis import HostAxis
from maskprof.ranges import is_block_or_instrument, parse_phase
from maskprof.traces.categories import ANNOTATION, OPERATOR
from maskprof.traces.columns import Bools, Int32s, Int64s, Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostRanges:
    """Ranges by name, and for each name the stretches of a thread's time that lie in one of them.

    Where ranges of one name overlap on a thread (a function that calls itself), they share a stretch, so that
    what was launched inside counts once.

    Attributes:
        names: by first appearance.
        count, host_ns: ranges of each name, and the sum of their durations; shape (names,).
        name: whose stretch it is, ascending; shape (stretches,), like all below.
        group, start_key, end_key: the stretch on the host's axis; what starts at `end_key` is outside.
    """

    names: tuple[str, ...]
    count: Int64s
    host_ns: Int64s
    name: Int64s
    group: Int64s
    start_key: Int64s
    end_key: Int64s

    def __len__(self) -> int:
        return len(self.names)

    def named(self, pattern: str) -> "HostRanges":
        """Only those whose name matches; `*` and `?` stand for any text and any character."""
        kept = np.flatnonzero([name == pattern or fnmatchcase(name, pattern) for name in self.names])
        chosen = np.isin(self.name, kept)
        return HostRanges(
            names=tuple(self.names[i] for i in kept),
            count=self.count[kept],
            host_ns=self.host_ns[kept],
            name=np.searchsorted(kept, self.name[chosen]).astype(np.int64),
            group=self.group[chosen],
            start_key=self.start_key[chosen],
            end_key=self.end_key[chosen],
        )


def range_rows(trace: Trace) -> Int32s:
    """Rows of the ranges that are reported by name.

    These are all user annotations on the host and our phases, whatever they were written as. Left out: our blocks'
    ranges and the instrument's, the device's copies of annotations, and frames and modules of Python.
    """
    is_phase, is_own = _own_names(trace)
    chosen = is_phase & trace.in_categories((OPERATOR,)) | trace.in_categories((ANNOTATION,)) & ~is_own
    return np.flatnonzero(chosen).astype(np.int32)


def find_host_ranges(trace: Trace, axis: HostAxis, rows: Int32s) -> HostRanges:
    """Gather the ranges in `rows` by name. `axis` must know their threads."""
    events = trace.events
    codes, name = np.unique(events.name[rows], return_inverse=True)
    first = np.full(len(codes), np.iinfo(np.int64).max)
    np.minimum.at(first, name, events.ts_ns[rows])
    by_first = np.argsort(first, kind="stable")
    place = np.empty(len(codes), dtype=np.int64)
    place[by_first] = np.arange(len(codes))
    name = place[name]
    durations = np.maximum(events.dur_ns[rows].astype(np.int64, copy=False), 0)
    group, start = axis.group_of(rows), axis.keys(rows)
    parts = stretches(name, group, start, start + durations)
    return HostRanges(
        names=tuple(trace.names[codes[i]] for i in by_first),
        count=np.bincount(name, minlength=len(codes)).astype(np.int64),
        host_ns=_sums(name, durations, len(codes)),
        name=parts[0],
        group=parts[1],
        start_key=parts[2],
        end_key=parts[3],
    )


def merged(ranges: HostRanges, name: str) -> HostRanges:
    """All of `ranges` as one range of the given name; stretches that overlap are joined."""
    parts = stretches(np.zeros_like(ranges.name), ranges.group, ranges.start_key, ranges.end_key)
    return HostRanges(
        names=(name,),
        count=ranges.count.sum(keepdims=True),
        host_ns=ranges.host_ns.sum(keepdims=True),
        name=parts[0],
        group=parts[1],
        start_key=parts[2],
        end_key=parts[3],
    )


def joined(ranges: HostRanges, more: HostRanges) -> HostRanges:
    """Both, those of `more` behind, under numbers of their own even where the names are the same."""
    return HostRanges(
        names=ranges.names + more.names,
        count=np.concatenate((ranges.count, more.count)),
        host_ns=np.concatenate((ranges.host_ns, more.host_ns)),
        name=np.concatenate((ranges.name, more.name + len(ranges))),
        group=np.concatenate((ranges.group, more.group)),
        start_key=np.concatenate((ranges.start_key, more.start_key)),
        end_key=np.concatenate((ranges.end_key, more.end_key)),
    )


def stretches(name: Int64s, group: Int64s, start: Int64s, end: Int64s) -> tuple[Int64s, ...]:
    """Joined where they overlap; (name, group, start, end), ascending."""
    order = np.lexsort((start, group, name))
    name, group, start, end = name[order], group[order], start[order], end[order]
    if not len(order):
        return name, group, start, end
    # Ends may be compared across threads of one group, whose keys do not overlap, but not across names.
    same = np.concatenate(([False], (name[1:] == name[:-1]) & (group[1:] == group[:-1])))
    reached = end.copy()
    for lower, upper in _runs(~same):
        np.maximum.accumulate(reached[lower:upper], out=reached[lower:upper])
    first = ~same
    first[1:] |= start[1:] >= reached[:-1]
    last = np.concatenate((first[1:], [True]))
    return name[first], group[first], start[first], reached[last]


def _runs(first: Bools) -> list[tuple[int, int]]:
    starts = np.flatnonzero(first).tolist()
    return list(zip(starts, [*starts[1:], len(first)], strict=True))


def _own_names(trace: Trace) -> tuple[Bools, Bools]:
    """By row: whether the name is a phase of ours; whether it is a block's range or the instrument's."""
    phases = np.zeros(len(trace.names), dtype=np.bool_)
    own = np.zeros(len(trace.names), dtype=np.bool_)
    for code, name in enumerate(trace.names):
        if name.startswith(("phase.", "block.", "instrument.")):
            phases[code] = parse_phase(name) is not None
            own[code] = is_block_or_instrument(name)
    return phases[trace.events.name], own[trace.events.name]


def _sums(where: Int64s, values: Int64s, count: int) -> Int64s:
    return np.bincount(where, weights=values, minlength=count).astype(np.int64)
