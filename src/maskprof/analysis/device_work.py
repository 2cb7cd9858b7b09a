"""What the device did, by the order of its starts, and the host's calls that launched it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.narrow import Ints, narrowed, slices
from maskprof.traces.columns import Bools, Int32s, Int64s, Trace
from maskprof.traces.links import Launches

Positions = Int64s | Int32s | slice


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
    rows: Int32s
    kind: NDArray[np.int8]
    start_ns: Int64s
    dur_ns: Ints
    stream: Ints
    call: Int32s
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
    rows: Int32s
    group_bounds: list[int]
    key: Int64s
    dur_ns: Ints
    delay_ns: Ints
    events: Int32s
    bounds: Int32s

    def __len__(self) -> int:
        return len(self.key)

    def starts(self, at: Positions) -> Int64s:
        """When some calls start, since the work's origin; negative before it."""
        return self.axis.times(self.key[at]) - self.origin_ns

    def order(self) -> Int32s:
        """Positions by the order of the calls' starts, whatever their threads."""
        if len(self.axis.threads) <= 1:
            return np.arange(len(self), dtype=np.int32)
        return np.argsort(self.starts(slice(None)), kind="stable").astype(np.int32)


def device_work(trace: Trace, launches: Launches, axis: HostAxis) -> tuple[DeviceWork, Calls]:
    """Sort a trace's device events and the calls that launched them."""
    events = trace.events
    start = events.ts_ns[launches.device_rows].astype(np.int64, copy=False)
    order = np.argsort(start, kind="stable").astype(np.int32)
    rows = launches.device_rows[order].astype(np.int32)
    origin = int(start.min()) if len(start) else 0
    start = start[order]
    start -= origin
    duration = np.maximum(events.dur_ns[rows], 0)
    stream, streams = _streams(trace, rows)
    call_rows, call = _calls(launches.launch_rows[order].astype(np.int32), axis)
    by_call, bounds = _by_call(call, len(call_rows))
    key = axis.keys(call_rows)
    first = start[by_call[bounds[:-1]]]
    work = DeviceWork(
        origin_ns=origin,
        rows=rows,
        kind=device_kinds(trace, rows),
        start_ns=start,
        dur_ns=duration,
        stream=stream,
        call=call,
        streams=streams,
        span_ns=max((int((start[s] + duration[s]).max()) for s in slices(len(start))), default=0),
    )
    return work, Calls(
        axis=axis,
        origin_ns=origin,
        rows=call_rows,
        group_bounds=axis.group_bounds(call_rows),
        key=key,
        dur_ns=np.maximum(events.dur_ns[call_rows], 0),
        delay_ns=narrowed(first - (axis.times(key) - origin)),
        events=by_call,
        bounds=bounds,
    )


def _calls(launch_rows: Int32s, axis: HostAxis) -> tuple[Int32s, Int32s]:
    """The distinct calls on the axis' order, and each event's position among them."""
    linked = launch_rows >= 0
    by_row = np.unique(launch_rows[linked])
    order = axis.order(by_row)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    call = np.full(len(launch_rows), -1, dtype=np.int32)
    call[linked] = place[np.searchsorted(by_row, launch_rows[linked])]
    return by_row[order], call


def _by_call(call: Int32s, calls: int) -> tuple[Int32s, Int32s]:
    linked = np.flatnonzero(call >= 0).astype(np.int32)
    by_call = linked[np.argsort(call[linked], kind="stable").astype(np.int32)]
    bounds = np.zeros(calls + 1, dtype=np.int32)
    np.cumsum(np.bincount(call[linked], minlength=calls), out=bounds[1:])
    return by_call, bounds


def _streams(trace: Trace, rows: Int32s) -> tuple[Ints, int]:
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
    stream = np.zeros(len(rows), dtype=narrowed(np.array([len(table)])).dtype)
    for piece in slices(len(rows)):
        stream[piece] = np.searchsorted(table, codes(piece))
    return stream, len(table)
