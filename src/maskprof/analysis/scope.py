"""Narrowing a trace to what happened inside ranges of a name."""

from dataclasses import fields, replace

import numpy as np

from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.host_ranges import HostRanges, find_host_ranges, merged, range_rows
from maskprof.errors import TraceError
from maskprof.traces.categories import DEVICE_ANNOTATION
from maskprof.traces.columns import Bools, Events, Int64s, Trace
from maskprof.traces.links import Launches

_PIECE = 2**17
_NAMED_IN_ERROR = 8


def named_scope(trace: Trace, ranges: HostRanges, within: str) -> HostRanges:
    """All of `ranges` that have this name, as one; `*` and `?` stand for any text and any character.

    Raises:
        TraceError: if none has.
    """
    found = ranges.named(within)
    if not len(found):
        names = ", ".join(ranges.names[:_NAMED_IN_ERROR])
        more = len(ranges) - _NAMED_IN_ERROR
        there = f"it has {names}{f' and {more} more' if more > 0 else ''}" if names else "it has none"
        raise TraceError(f"{trace.path} has no range named {within}; {there}")
    return merged(found, within)


def in_scope(scope: HostRanges, group: Int64s, key: Int64s) -> Bools:
    """Which of the places on the host's axis lie in a scope, whose stretches are disjoint and ascending."""
    found, stretches = np.zeros(len(key), dtype=np.bool_), scope.stretches
    for number in np.unique(group).tolist():
        first, last = np.searchsorted(stretches.group, (number, number + 1))
        of_group = group == number
        at = np.searchsorted(stretches.start_key[first:last], key[of_group], side="right") - 1 + first
        found[of_group] = (at >= first) & (key[of_group] < stretches.end_key[at])
    return found


def narrowed(trace: Trace, launches: Launches, within: str) -> Trace:
    """The trace with only those events that began inside a range of this name, on the range's thread.

    Of device events those stay whose launch does.

    Raises:
        TraceError: if no range has that name.
    """
    rows = range_rows(trace)
    axis = HostAxis.of(trace, (rows,))
    scope = named_scope(trace, find_host_ranges(trace, axis, rows), within)
    inside = np.zeros(len(trace.events), dtype=np.bool_)
    for first in range(0, len(inside), _PIECE):
        piece = np.arange(first, min(first + _PIECE, len(inside)))
        piece = piece[axis.knows(piece)]
        inside[piece] = in_scope(scope, axis.group_of(piece), axis.keys(piece))
    inside[launches.device_rows] = False
    inside &= ~trace.in_categories((DEVICE_ANNOTATION,))
    linked = launches.linked
    inside[launches.device_rows[linked][inside[launches.launch_rows[linked]]]] = True
    kept = np.flatnonzero(inside)
    columns = {column.name: getattr(trace.events, column.name)[kept] for column in fields(Events)}
    return replace(trace, events=Events(**columns))
