"""What the device did, by the order of its starts, and the host's calls that launched it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.host_axis import HostAxis
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.growing import GrowingColumn, kept
from maskprof.traces.links import Launches
from maskprof.traces.pieces import Ints, column, order, positions, slices

Positions = Ints | slice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceWork:
    """Device events ascending by start; all arrays have shape (device events,).

    Attributes:
        origin_ns: the first start, as the trace has it.
        rows: their rows in the trace.
        kind: a `Kind` each.
        start_ns: since the origin.
        dur_ns: never negative; may be of a narrow type.
        stream: a number for each pair of device and stream, from 0.
        call: position of the launch call in `Calls`, or -1.
        streams: how many streams there are.
        span_ns: from the first start to the last end.
    """

    origin_ns: int
    rows: Ints
    kind: NDArray[np.int8]
    start_ns: Int64s
    dur_ns: Ints
    stream: Ints
    call: Ints
    streams: int
    span_ns: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def end_ns(self) -> Int64s:
        """The ends, since the origin."""
        return self.start_ns + self.dur_ns

    @property
    def is_kernel(self) -> Bools:
        return np.equal(self.kind, Kind.KERNEL)

    @property
    def kernel_ns(self) -> int:
        """Time of all kernels."""
        return sum(
            int(self.dur_ns[piece][self.kind[piece] == Kind.KERNEL].sum(dtype=np.int64))
            for piece in slices(len(self))
        )

    def times(self, at: Positions) -> tuple[Int64s, Int64s]:
        """Start and end of some events, since the origin."""
        start = self.start_ns[at]
        return start, start + self.dur_ns[at]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calls:
    """Launch calls that are linked to device events, by their places on the host's axis.

    Attributes:
        axis: the host's axis.
        origin_ns: the work's.
        rows: their rows in the trace; shape (calls,).
        group_bounds: the calls of the axis' group g are `[group_bounds[g], group_bounds[g + 1])`.
        key: place on the axis of the group; shape (calls,).
        dur_ns: never negative; may be of a narrow type, as may the next; shape (calls,).
        delay_ns: from the call's start to its first device event's; negative where clocks disagree.
        events: positions in `DeviceWork`, by call, and by start within a call; shape (linked events,).
        bounds: call i has started `events[bounds[i]:bounds[i + 1]]`; shape (calls + 1,).
    """

    axis: HostAxis
    origin_ns: int
    rows: Ints
    group_bounds: list[int]
    key: Int64s
    dur_ns: Ints
    delay_ns: Ints
    events: Ints
    bounds: Ints

    def __len__(self) -> int:
        return len(self.key)

    def starts(self, at: Positions) -> Int64s:
        """When some calls start, since the work's origin; negative before it."""
        return self.axis.times(self.key[at]) - self.origin_ns

    def pieces(self) -> Iterator[tuple[slice, Int64s, Ints]]:
        """Some calls, the positions of their events in the work, and for each event its call within the slice."""
        for piece in slices(len(self)):
            bounds = self.bounds[piece.start : piece.stop + 1].astype(np.int64)
            yield (
                piece,
                self.events[bounds[0] : bounds[-1]].astype(np.int64),
                np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)),
            )

    def sums(self, values: Callable[[Int64s], NDArray[Any]]) -> Ints:
        """For each call the sum of what `values` gives for its events; shape (calls,)."""
        sums = GrowingColumn(at_least=np.int32)
        for piece, item, owner in self.pieces():
            sums.extend(np.bincount(owner, values(item), minlength=piece.stop - piece.start).astype(np.int64))
        return sums.finish()

    def order(self) -> Ints:
        """Positions by the order of the calls' starts, whatever their threads."""
        if len(self.axis.threads) <= 1:
            return column(len(self), lambda piece: np.arange(piece.start, piece.stop))
        return order(len(self), self.starts)

    def by_start(self) -> tuple[Ints, Int64s]:
        """The same positions, and when each of these calls starts, as `starts` has it."""
        in_order = self.order()
        return in_order, column(len(self), lambda piece: self.starts(in_order[piece]), at_least=np.int64)


def device_work(trace: Trace, launches: Launches, axis: HostAxis) -> tuple[DeviceWork, Calls]:
    """Sort a trace's device events and the calls that launched them."""
    events, device_rows, count = trace.events, launches.device_rows, len(launches.device_rows)
    by_start = order(count, lambda piece: events.ts_ns[device_rows[piece]])
    rows = column(count, lambda piece: device_rows[by_start[piece]])
    launch_rows = column(count, lambda piece: launches.launch_rows[by_start[piece]])
    origin = int(events.ts_ns[rows[0]]) if count else 0
    start = column(count, lambda piece: events.ts_ns[rows[piece]] - origin, at_least=np.int64)
    duration = column(count, lambda piece: np.maximum(events.dur_ns[rows[piece]], 0))
    call_rows, call = _calls(launch_rows, axis, len(events))
    by_call, bounds = _by_call(call, len(call_rows))
    key = axis.keys(call_rows)
    stream, streams = _streams(trace, rows)
    work = DeviceWork(
        origin_ns=origin,
        rows=rows,
        kind=device_kinds(trace, rows),
        start_ns=start,
        dur_ns=duration,
        stream=stream,
        call=call,
        streams=streams,
        span_ns=max((int((start[s] + duration[s]).max()) for s in slices(count)), default=0),
    )
    return work, Calls(
        axis=axis,
        origin_ns=origin,
        rows=call_rows,
        group_bounds=axis.group_bounds(call_rows),
        key=key,
        dur_ns=column(len(key), lambda piece: np.maximum(events.dur_ns[call_rows[piece]], 0)),
        delay_ns=column(
            len(key), lambda piece: start[by_call[bounds[:-1][piece]]] - (axis.times(key[piece]) - origin)
        ),
        events=by_call,
        bounds=bounds,
    )


def _calls(launch_rows: Ints, axis: HostAxis, events: int) -> tuple[Ints, Ints]:
    """The distinct calls on the axis' order, and each event's position among them."""
    by_row = _distinct(launch_rows, events)
    in_order = axis.order(by_row)
    place = np.empty(len(in_order), dtype=np.int32)
    for piece in slices(len(in_order)):
        place[in_order[piece]] = np.arange(piece.start, piece.stop, dtype=np.int32)

    def call_of(piece: slice) -> Ints:
        launch = launch_rows[piece]
        call = np.full(len(launch), -1, dtype=np.int32)
        linked = launch >= 0
        call[linked] = place[np.searchsorted(by_row, launch[linked])]
        return call

    call = column(len(launch_rows), call_of)
    return column(len(in_order), lambda piece: by_row[in_order[piece]]), call


def _distinct(launch_rows: Ints, events: int) -> Ints:
    """The rows that occur, ascending."""
    occurs = np.zeros(events, dtype=np.bool_)
    for piece in slices(len(launch_rows)):
        launch = launch_rows[piece]
        occurs[launch[launch >= 0]] = True
    return positions(events, lambda piece: occurs[piece])


def _by_call(call: Ints, calls: int) -> tuple[Ints, Ints]:
    linked = positions(len(call), lambda piece: call[piece] >= 0)
    in_order = order(len(linked), lambda piece: call[linked[piece]])
    bounds = np.zeros(calls + 1, dtype=np.int32)
    for piece in slices(len(linked)):
        np.add.at(bounds, call[linked[piece]] + 1, 1)
    np.cumsum(bounds, out=bounds)
    return column(len(in_order), lambda piece: linked[in_order[piece]]), kept(bounds)


def _streams(trace: Trace, rows: Ints) -> tuple[Ints, int]:
    """A number for each event's stream, and how many streams there are.

    A stream is a track of its device; the pair tells it in every exporter's files, the arguments only in most.
    """
    events, tids = trace.events, len(trace.tids)

    def codes(piece: slice) -> Int64s:
        some = rows[piece]
        return events.pid[some].astype(np.int64) * tids + events.tid[some]

    found: set[int] = set()
    for piece in slices(len(rows)):
        found.update(np.unique(codes(piece)).tolist())
    table = np.array(sorted(found), dtype=np.int64)
    stream = column(len(rows), lambda piece: np.searchsorted(table, codes(piece)), at_least=np.int8)
    return stream, len(table)
