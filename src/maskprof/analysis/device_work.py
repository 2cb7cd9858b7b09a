"""What the device did, by the order of its starts, and the host's calls that launched it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.host_axis import HostAxis
from maskprof.traces.columns import Bools, Int32s, Int64s, Trace
from maskprof.traces.links import Launches

Int8s = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceWork:
    """Device events ascending by start; all arrays have shape (device events,).

    Attributes:
        rows: their rows in the trace.
        kind: a `Kind` each.
        start_ns, end_ns: since `origin_ns`, the first start; an event never ends before it starts.
        stream: a number for each pair of device and stream, from 0.
        call: position of the launch call in `Calls`, or -1.
    """

    origin_ns: int
    rows: Int32s
    kind: Int8s
    start_ns: Int64s
    end_ns: Int64s
    stream: Int32s
    call: Int32s

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_kernel(self) -> Bools:
        return np.equal(self.kind, Kind.KERNEL)

    @property
    def streams(self) -> int:
        return int(self.stream.max()) + 1 if len(self.stream) else 0

    @property
    def span_ns(self) -> int:
        """From the first start to the last end."""
        return int(self.end_ns.max()) if len(self.end_ns) else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calls:
    """Launch calls that are linked to device events, by the order of their keys on the host's axis.

    Attributes:
        rows: their rows in the trace; shape (calls,).
        group, key: place on the host's axis; shape (calls,).
        start_ns, end_ns: since the work's origin (so they may be negative); shape (calls,).
        delay_ns: from the call's start to its first device event's; negative where clocks disagree.
        events: positions in `DeviceWork`, by call, and by start within a call; shape (linked events,).
        bounds: call i has started `events[bounds[i]:bounds[i + 1]]`; shape (calls + 1,).
    """

    rows: Int32s
    group: Int64s
    key: Int64s
    start_ns: Int64s
    end_ns: Int64s
    delay_ns: Int64s
    events: Int32s
    bounds: Int64s

    def __len__(self) -> int:
        return len(self.rows)


def device_work(trace: Trace, launches: Launches, axis: HostAxis) -> tuple[DeviceWork, Calls]:
    """Sort a trace's device events and the calls that launched them."""
    events = trace.events
    start = events.ts_ns[launches.device_rows].astype(np.int64, copy=False)
    order = np.argsort(start, kind="stable").astype(np.int32)
    rows = launches.device_rows[order].astype(np.int32)
    origin = int(start.min()) if len(start) else 0
    start = start[order] - origin
    end = start + np.maximum(events.dur_ns[rows].astype(np.int64, copy=False), 0)
    call_rows, call = _calls(launches.launch_rows[order], axis)
    positions = np.flatnonzero(call >= 0).astype(np.int32)
    by_call = positions[np.argsort(call[positions], kind="stable")]
    bounds = np.concatenate(([0], np.cumsum(np.bincount(call[positions], minlength=len(call_rows)))))
    call_start = events.ts_ns[call_rows].astype(np.int64, copy=False) - origin
    return DeviceWork(
        origin_ns=origin,
        rows=rows,
        kind=device_kinds(trace, rows),
        start_ns=start,
        end_ns=end,
        stream=_streams(trace, rows),
        call=call,
    ), Calls(
        rows=call_rows,
        group=axis.group_of(call_rows),
        key=axis.keys(call_rows),
        start_ns=call_start,
        end_ns=call_start + np.maximum(events.dur_ns[call_rows].astype(np.int64, copy=False), 0),
        delay_ns=start[by_call[bounds[:-1]]] - call_start,
        events=by_call,
        bounds=bounds,
    )


def _calls(launch_rows: Int64s, axis: HostAxis) -> tuple[Int32s, Int32s]:
    """The distinct calls on the axis' order, and each event's position among them."""
    by_row = np.unique(launch_rows[launch_rows >= 0]).astype(np.int32)
    order = np.lexsort((axis.keys(by_row), axis.group_of(by_row)))
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    call = np.full(len(launch_rows), -1, dtype=np.int32)
    linked = launch_rows >= 0
    call[linked] = place[np.searchsorted(by_row, launch_rows[linked])]
    return by_row[order], call


def _streams(trace: Trace, rows: Int32s) -> Int32s:
    # A stream is a track of its device; the pair tells it in every exporter's files, the arguments only in most.
    codes = trace.events.pid[rows].astype(np.int64) * len(trace.tids) + trace.events.tid[rows]
    _, stream = np.unique(codes, return_inverse=True)
    return np.asarray(stream, dtype=np.int32)
