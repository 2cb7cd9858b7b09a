"""All host threads laid end to end on one axis of time, so that one pass handles them together."""

from dataclasses import dataclass

import numpy as np

from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.pieces import Ints, order, row_column, row_slices

_ROOM = 2**62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostAxis:
    """Gives every (thread, time) of a trace a key: keys order by thread, and by time within a thread.

    Ranges of different threads never overlap on the axis, so what is true of one thread's ranges there is true of
    them in the trace. Where a trace is so long (a damaged timestamp is enough) that its threads do not fit an
    int64 side by side, they are dealt with in several groups; normally there is one.

    Attributes:
        origin_ns: the earliest start of any event that it was made for.
        width_ns: what each thread takes on the axis: longer than all of them together last.
        threads: a code for each thread, ascending.
        threads_per_group: how many threads fit an axis.
    """

    trace: Trace
    origin_ns: int
    width_ns: int
    threads: Int64s
    threads_per_group: int

    @classmethod
    def of(cls, trace: Trace, rows: tuple[Ints, ...]) -> "HostAxis":
        """The axis for the threads of all `rows`, which may come in any order."""
        events = trace.events
        threads: set[int] = set()
        starts, ends = [], []
        for some in rows:
            for piece in row_slices(some):
                part = some[piece]
                threads.update(np.unique(_thread_codes(trace, part)).tolist())
                start = events.ts_ns[part].astype(np.int64, copy=False)
                starts.append(int(start.min()))
                ends.append(int((start + np.maximum(events.dur_ns[part], 0)).max()))
        origin = min(starts, default=0)
        width = max(ends, default=0) - origin + 1
        return cls(
            trace=trace,
            origin_ns=origin,
            width_ns=width,
            threads=np.array(sorted(threads), dtype=np.int64),
            threads_per_group=max(1, _ROOM // width),
        )

    @property
    def groups(self) -> int:
        return -(-len(self.threads) // self.threads_per_group)

    def knows(self, rows: Ints) -> Bools:
        """Which rows are of the axis' threads, at times that it reaches."""
        codes, events = _thread_codes(self.trace, rows), self.trace.events
        since = events.ts_ns[rows] - self.origin_ns
        return np.isin(codes, self.threads) & (since >= 0) & (since < self.width_ns)

    def group_of(self, rows: Ints) -> Int64s:
        """The group of each row's thread."""
        if self.groups <= 1:
            return np.zeros(len(rows), dtype=np.int64)
        return self._thread(rows) // self.threads_per_group

    def group_bounds(self, ordered_rows: Ints) -> list[int]:
        """Where each group begins among rows in the axis' order, and where the last ends."""
        bounds = np.searchsorted(self.group_of(ordered_rows), np.arange(self.groups + 1))
        return [int(bound) for bound in bounds]

    def keys(self, rows: Ints) -> Int64s:
        """Where each row starts, on the axis of its group."""

        def keys_of(part: Ints) -> Int64s:
            thread = self._thread(part) % self.threads_per_group
            return thread * self.width_ns + (self.trace.events.ts_ns[part] - self.origin_ns)

        return row_column(rows, keys_of, at_least=np.int64)

    def order(self, rows: Ints) -> Ints:
        """Positions in `rows` by group and key; equal ones stay in their order."""
        if self.groups <= 1:
            return order(len(rows), lambda piece: self.keys(rows[piece]))
        return np.lexsort((self.keys(rows), self.group_of(rows))).astype(np.int32)

    def times(self, keys: Int64s) -> Int64s:
        """The times that keys stand for, in nanoseconds as the trace has them."""
        if len(self.threads) <= 1:
            return keys + self.origin_ns
        times = keys % self.width_ns
        times += self.origin_ns
        return times

    def _thread(self, rows: Ints) -> Int64s:
        return np.searchsorted(self.threads, _thread_codes(self.trace, rows)).astype(np.int64, copy=False)


def _thread_codes(trace: Trace, rows: Ints) -> Int64s:
    return trace.events.pid[rows].astype(np.int64) * len(trace.tids) + trace.events.tid[rows]
