"""How the device spent its time: busy, or idle and for what reason; in the whole trace and within ranges.

**When idle is the host's fault.** A gap ends with the first device event after it. That event could not start before
the host had launched it: its launch call has to begin, and take its time (loading a kernel's code for the first time
or staging a copy takes milliseconds inside the call), and even with nothing queued a launch needs a while to reach the
device (the *floor*: the shortest delay in this trace between a launch call's start and its event's, at most 20 us,
where the trace shows only full queues). So of a gap from a to b, ended by an event whose launch call begins at t and
returns at r,

- the part before `max(t + floor, r)` is *waiting for the host's launch*: the device had nothing to do yet;
- the part after it is the *device's own gap*: the event had been launched in time and did not start, because of the
  device's cost between kernels, a dependency on a copy or another stream, or a graph's own scheduling;
- where the launch is not in the trace, no cause can be told.

**Within a range** only what was launched inside counts as busy. Where the device worked for others in a gap, it was
not idle: that part is counted by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_kinds import KINDS, Kind
from maskprof.analysis.device_work import Calls, DeviceWork, Positions
from maskprof.analysis.launches import launch_floor_ns
from maskprof.analysis.pairs import Pairs
from maskprof.traces.columns import Bools, Int64s
from maskprof.traces.growing import GrowingColumn
from maskprof.traces.pieces import slices

LONGEST_FLOOR_NS = 20_000
_ROOM = 2**62


@dataclass(slots=True)
class DeviceSums:
    """Sums per row (the whole trace, or ranges of one name), in nanoseconds; each of shape (rows,).

    Number and time of the events of each `Kind` have the shape (rows, kinds).
    """

    count: Int64s
    time_ns: Int64s
    span_ns: Int64s
    launch_ns: Int64s
    gap_ns: Int64s
    other_ns: Int64s
    elsewhere_ns: Int64s
    communication_ns: Int64s
    exposed_ns: Int64s


def launched_ns(calls: Calls, at: Positions = slice(None), floor_ns: int | None = None) -> Int64s:
    """When the host had launched what some calls launch, since the work's origin.

    `floor_ns` is what `launch_floor_ns` gives, for those who ask in pieces.
    """
    if floor_ns is None:
        floor_ns = launch_floor_ns(calls, LONGEST_FLOOR_NS)
    starts = calls.starts(at)
    return np.maximum(starts + floor_ns, starts + calls.dur_ns[at])


def whole_pieces(work: DeviceWork) -> Iterator[Pairs]:
    """All device events, of one owner."""
    for piece in slices(len(work)):
        item = np.arange(piece.start, piece.stop)
        yield Pairs(owner=np.zeros_like(item), item=item)


class DeviceClock:
    """Adds up device time by rows, piece by piece.

    Each row has its owners: the stretches of time that are told apart before they are added up. Pieces come by owner,
    and within one by the work's order.
    """

    def __init__(
        self, work: DeviceWork, calls: Calls, rows: int, is_communication: Bools, *, others: bool
    ) -> None:
        """`is_communication` is by device event. With `others`, there is work outside of the owners."""
        self._work, self._calls = work, calls
        self._floor_ns = launch_floor_ns(calls, LONGEST_FLOOR_NS)
        self._is_communication = is_communication
        self._busy = BusyTime(work) if others else None
        width = work.span_ns + 1
        self._sums: dict[str, Int64s] = {
            column: np.zeros(rows, dtype=np.int64) for column in DeviceSums.__slots__
        }
        self._count, self._time_ns = np.zeros((2, rows * KINDS), dtype=np.int64)
        self._all = Union(rows, width)
        self._kernels = Union(rows, width)
        self._computing = Union(rows, width)
        self._communicating = Union(rows, width)
        self._communicates = bool(is_communication.any())

    def add(self, pairs: Pairs, row: Int64s) -> None:
        """Take the next pairs of (owner, device event), and the row of each; shape (pairs,)."""
        work, owner, item = self._work, pairs.owner, pairs.item
        (start, end), kind = work.times(item), work.kind[item]
        np.add.at(self._count, row * KINDS + kind, 1)
        np.add.at(self._time_ns, row * KINDS + kind, end - start)
        for at, since in self._all.add(owner, row, start, end):
            self._split(row[at], item[at], since, start[at])
        if self._communicates:
            communicates = self._is_communication[item]
            for union, chosen in (
                (self._kernels, kind == Kind.KERNEL),
                (self._communicating, communicates),
                (self._computing, (kind == Kind.KERNEL) & ~communicates),
            ):
                for _ in union.add(owner[chosen], row[chosen], start[chosen], end[chosen]):
                    pass

    def sums(self) -> DeviceSums:
        """What was added so far."""
        self._sums["count"] = self._count.reshape(-1, KINDS)
        self._sums["time_ns"] = self._time_ns.reshape(-1, KINDS)
        self._sums["span_ns"] = self._all.span_ns
        if self._communicates:
            self._sums["communication_ns"] = self._communicating.length_ns
            self._sums["exposed_ns"] = self._kernels.length_ns - self._computing.length_ns
        return DeviceSums(**self._sums)

    def _split(self, row: Int64s, item: Int64s, since: Int64s, until: Int64s) -> None:
        """Give each gap to its cause."""
        call = self._work.call[item]
        linked = call >= 0
        reached = since.copy()
        reached[linked] = launched_ns(self._calls, call[linked], self._floor_ns)
        reached = np.clip(reached, since, until)
        waiting, rest = reached - since, until - reached
        if self._busy is not None:
            before, between, after = (self._busy.until(time) for time in (since, reached, until))
            waiting -= between - before
            rest -= after - between
            np.add.at(self._sums["elsewhere_ns"], row, after - before)
        for column, values, chosen in (
            ("launch_ns", waiting, linked),
            ("gap_ns", rest, linked),
            ("other_ns", waiting + rest, ~linked),
        ):
            np.add.at(self._sums[column], row[chosen], values[chosen])


class Union:
    """The union of each owner's intervals, which come by owner and ascending by start, summed by rows.

    Attributes:
        span_ns: from the first start to the last end, all owners of a row together; shape (rows,).
    """

    def __init__(self, rows: int, width: int) -> None:
        self._width = width
        self._idle = np.zeros(rows, dtype=np.int64)
        self.span_ns = np.zeros(rows, dtype=np.int64)
        self._owner = -1
        self._reached = 0

    @property
    def length_ns(self) -> Int64s:
        """How long at least one interval lasts; shape (rows,)."""
        return self.span_ns - self._idle

    def add(self, owner: Int64s, row: Int64s, start: Int64s, end: Int64s) -> Iterator[tuple[Int64s, Int64s]]:
        """Take intervals; gives, in turns, the positions of those that end a gap, and when each gap began."""
        if not len(owner):
            return
        # Owners are told apart by an offset, so that one running maximum serves all; it has to fit an int64.
        most = max(1, _ROOM // self._width)
        for lower in range(0, int(owner[-1]) - int(owner[0]) + 1, most):
            first, last = np.searchsorted(owner, (owner[0] + lower, owner[0] + lower + most))
            if first < last:
                at, since = self._add(owner[first:last], row[first:last], start[first:last], end[first:last])
                yield at + first, since

    def _add(self, owner: Int64s, row: Int64s, start: Int64s, end: Int64s) -> tuple[Int64s, Int64s]:
        offset = (owner - owner[0]) * self._width
        reached = end + offset
        goes_on = int(owner[0]) == self._owner
        if goes_on:
            reached[0] = max(int(reached[0]), self._reached)
        np.maximum.accumulate(reached, out=reached)
        reached -= offset
        is_first = np.concatenate(([not goes_on], owner[1:] != owner[:-1]))
        before = np.concatenate(([self._reached], reached[:-1]))
        before[is_first] = start[is_first]
        at = np.flatnonzero(start > before)
        np.add.at(self._idle, row[at], start[at] - before[at])
        self.span_ns += _sums_by(row, reached - before, len(self.span_ns))
        self._owner, self._reached = int(owner[-1]), int(reached[-1])
        return at, before[at]


def _sums_by(row: Int64s, values: Int64s, rows: int) -> Int64s:
    # Sums of nanoseconds within a piece stay below 2**53, where a float64 is exact.
    return np.bincount(row, weights=values, minlength=rows).astype(np.int64)


class BusyTime:
    """How long the device was busy until a given time, for whatever reason."""

    def __init__(self, work: DeviceWork) -> None:
        union = Union(1, work.span_ns + 1)
        ends, lengths = GrowingColumn(at_least=np.int64), GrowingColumn()
        idle_before = GrowingColumn(at_least=np.int64)
        idle_before.extend(np.zeros(1, dtype=np.int64))
        idle = 0
        for pairs in whole_pieces(work):
            start, end = work.times(pairs.item)
            for at, since in union.add(pairs.owner, pairs.owner, start, end):
                length = start[at] - since
                ends.extend(start[at])
                lengths.extend(length)
                idle_before.extend(idle + np.cumsum(length))
                idle += int(length.sum())
        self._gap_end, self._gap, self._idle_before = ends.finish(), lengths.finish(), idle_before.finish()

    def until(self, time: Int64s) -> Int64s:
        """Busy time before each of `time`, which are since the work's origin."""
        next_gap = np.searchsorted(self._gap_end, time, side="left")
        idle: Int64s = self._idle_before[next_gap]
        if len(self._gap):
            at = np.minimum(next_gap, len(self._gap) - 1)
            begun = time - (self._gap_end[at] - self._gap[at])
            idle = idle + np.where(next_gap < len(self._gap), np.maximum(begun, 0), 0)
        return time - idle
