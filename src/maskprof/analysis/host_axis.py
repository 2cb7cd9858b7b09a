"""All host threads laid end to end on one axis of time, so that one pass handles them together."""

from dataclasses import dataclass

import numpy as np

from maskprof.traces.columns import Bools, Int32s, Int64s, Trace

_ROOM = 2**62
_PIECE = 2**17


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostAxis:
    """Gives every (thread, time) of a trace a key: keys order by thread, and by time within a thread.

    Ranges of different threads never overlap on the axis, so what is true of one thread's ranges there is true of
    them in the trace. Where a trace is so long (a damaged timestamp is enough) that its threads do not fit an
    int64 side by side, they are dealt with in several groups; normally there is one.

    Attributes:
        origin_ns: the earliest start of any event.
        width_ns: what each thread takes on the axis: longer than the trace.
        threads_per_group: how many threads fit an axis.
        groups: how many axes there are.
    """

    trace: Trace
    origin_ns: int
    width_ns: int
    threads: Int64s
    threads_per_group: int

    @classmethod
    def of(cls, trace: Trace, rows: tuple[Int32s, ...]) -> "HostAxis":
        """The axis for the threads of all `rows`, which may come in any order."""
        events = trace.events
        threads: set[int] = set()
        starts, ends = [], []
        for some in rows:
            for first in range(0, len(some), _PIECE):
                piece = some[first : first + _PIECE]
                threads.update(np.unique(_thread_codes(trace, piece)).tolist())
                start = events.ts_ns[piece].astype(np.int64, copy=False)
                starts.append(int(start.min()))
                ends.append(int((start + np.maximum(events.dur_ns[piece], 0)).max()))
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

    def knows(self, rows: Int64s) -> Bools:
        """Which rows are of the axis' threads, at times that it reaches."""
        codes, events = _thread_codes(self.trace, rows), self.trace.events
        since = events.ts_ns[rows] - self.origin_ns
        return np.isin(codes, self.threads) & (since >= 0) & (since < self.width_ns)

    def group_of(self, rows: Int64s | Int32s) -> Int64s:
        """The group of each row's thread."""
        return self._thread(rows) // self.threads_per_group

    def keys(self, rows: Int64s | Int32s) -> Int64s:
        """Where each row starts, on the axis of its group."""
        keys = (self._thread(rows) % self.threads_per_group) * self.width_ns
        keys += self.trace.events.ts_ns[rows]
        keys -= self.origin_ns
        return keys

    def times(self, keys: Int64s) -> Int64s:
        """The times that keys stand for, in nanoseconds as the trace has them."""
        return keys % self.width_ns + self.origin_ns

    def _thread(self, rows: Int64s | Int32s) -> Int64s:
        return np.searchsorted(self.threads, _thread_codes(self.trace, rows)).astype(np.int64, copy=False)


def _thread_codes(trace: Trace, rows: Int64s | Int32s) -> Int64s:
    return trace.events.pid[rows].astype(np.int64) * len(trace.tids) + trace.events.tid[rows]
