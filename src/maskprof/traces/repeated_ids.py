"""Launch calls whose correlation id others have too: several processes or sessions in one file count on their own.

Which of the calls with a device event's id has launched it? A call of the process that works on the event's device,
where that can be told: by their process ids, or by the events of that device whose ids are unique. Of several such, or
where it cannot be told, the latest one that begins no later than the event.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from maskprof.traces.columns import Bools, Events, Int64s
from maskprof.traces.pieces import Ints, column, order, row_column, slices

_UNKNOWN = -1
# So large a part of what is sure about a device has to come from one process. The rest was launched before the
# profiler's window, by calls that are not in the file, and another process' call has its id by chance.
_MOST = 0.9
# Calls that a call's own call makes, as a runtime's makes one of the driver's.
_DEEPEST = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sorted:
    """Rows of calls by id, those of one id in another order; `ids` and `starts` are theirs; shape (calls,)."""

    rows: Ints
    ids: Ints
    starts: Ints

    @classmethod
    def by(cls, events: Events, calls: Ints, columns: Iterable[Ints]) -> "_Sorted":
        """By id, then by the last of `columns`, and so on to the first."""
        rows = calls
        for values in (*columns, events.correlation):
            rows = _ordered(rows, values)
        return cls(
            rows=rows,
            ids=row_column(rows, lambda some: events.correlation[some]),
            starts=row_column(rows, lambda some: events.ts_ns[some], at_least=np.int64),
        )

    def bounds(self, wanted: Ints) -> tuple[Int64s, Int64s]:
        """Where the calls of some ids begin and end."""
        return np.searchsorted(self.ids, wanted, "left"), np.searchsorted(self.ids, wanted, "right")

    def latest(self, events: Events, first: Int64s, last: Int64s, starts: Ints) -> Int64s:
        """The last call in `[first, last)`, which are by start, that begins by then; where all begin later the first.

        A call that is made by another one of the same id stands for that one. -1 where there is none.
        """
        later = _first_where(first, last, lambda at, of: self.starts[at] > starts[of])
        found = np.where(first < last, np.maximum(later - 1, first), -1)
        for _ in range(_DEEPEST):
            inner = np.flatnonzero(found > first)
            inner = inner[self.is_made_by_the_one_before(events, found[inner])]
            if not len(inner):
                break
            found[inner] -= 1
        return found

    def is_made_by_the_one_before(self, events: Events, at: Ints) -> Bools:
        """Whether calls lie within those before them, on the same thread."""
        one, before = self.rows[at], self.rows[at - 1]
        same = (events.pid[one] == events.pid[before]) & (events.tid[one] == events.tid[before])
        return np.asarray(same & (events.ends(one) <= events.ends(before)))


def _ordered(rows: Ints, values: Ints) -> Ints:
    at = order(len(rows), lambda piece: values[rows[piece]])
    return column(len(rows), lambda piece: rows[at[piece]])


def _first_where(first: Int64s, last: Int64s, is_past: Callable[[Int64s, Int64s], Bools]) -> Int64s:
    """The first place in each `[first, last)` from which on `is_past` holds, `last` where it nowhere does.

    `is_past` is asked of places, and of which of the ranges each is.
    """
    low, high = first.copy(), last.copy()
    while len(going := np.flatnonzero(low < high)):
        middle = (low[going] + high[going]) // 2
        past = is_past(middle, going)
        high[going] = np.where(past, middle, high[going])
        low[going] = np.where(past, low[going], middle + 1)
    return low


class RepeatedIds:
    """Finds who launched what where ids are not of one call each.

    Args:
        events: of the trace.
        calls: rows of calls that have an id.
        device_rows: rows of device events.
        pids: how many process and device numbers the trace has.
    """

    def __init__(self, events: Events, calls: Ints, device_rows: Ints, pids: int) -> None:
        self._events = events
        self._by_start = _Sorted.by(events, calls, (events.ts_ns,))
        self._joined = np.zeros(len(calls), dtype=np.bool_)
        self._process_of = np.full(pids, _UNKNOWN, dtype=np.int64)
        self._by_process: _Sorted | None = None
        processes: set[int] = set()
        for piece in slices(len(calls)):
            processes.update(np.unique(events.pid[calls[piece]]).tolist())
        if len(processes) > 1:
            self._by_process = _Sorted.by(events, calls, (events.ts_ns, events.pid))
            # Some exporters give device events the number of their process.
            self._process_of[list(processes)] = list(processes)
            self._find_processes(device_rows)

    def launchers(self, device_rows: Ints) -> Int64s:
        """The rows of the calls that launched some device events, -1 where there is none."""
        events, calls = self._events, self._by_start
        first, last = calls.bounds(events.correlation[device_rows])
        starts = events.ts_ns[device_rows]
        self._joined[first[first < last]] = True
        at = calls.latest(events, first, last, starts)
        found = np.where(at >= 0, calls.rows[np.maximum(at, 0)], -1).astype(np.int64)
        if self._by_process is not None:
            process = self._process_of[events.pid[device_rows]]
            told = np.flatnonzero((last > first + 1) & (process != _UNKNOWN))
            found[told] = self._of_process(first[told], last[told], starts[told], process[told])
        return found

    def repeated(self) -> int:
        """How many ids of the device events that were asked for are of several calls."""
        calls, count, counted = self._by_start, 0, -1
        for piece in slices(len(calls.ids)):
            at = np.arange(max(piece.start, 1), piece.stop)
            at = at[calls.ids[at] == calls.ids[at - 1]]
            at = at[~calls.is_made_by_the_one_before(self._events, at)]
            begins = np.unique(np.searchsorted(calls.ids, calls.ids[at], "left"))
            begins = begins[begins != counted]
            if len(begins):
                counted = int(begins[-1])
                count += int(np.count_nonzero(self._joined[begins]))
        return count

    def _of_process(self, first: Int64s, last: Int64s, starts: Ints, process: Int64s) -> Int64s:
        """The latest call of a process each; where it has none of this id, its call is not in the file."""
        calls, events = self._by_process, self._events
        assert calls is not None
        low = _first_where(first, last, lambda at, of: events.pid[calls.rows[at]] >= process[of])
        high = _first_where(low, last, lambda at, of: events.pid[calls.rows[at]] > process[of])
        at = calls.latest(events, low, high, starts)
        return np.where(at >= 0, calls.rows[np.maximum(at, 0)], -1).astype(np.int64)

    def _find_processes(self, device_rows: Ints) -> None:
        """Which process launches what a device does, by the events whose ids are unique."""
        events, calls = self._events, self._by_start
        seen: Counter[tuple[int, int]] = Counter()
        for piece in slices(len(device_rows)):
            rows = device_rows[piece]
            first, last = calls.bounds(events.correlation[rows])
            sure = np.flatnonzero(last == first + 1)
            pairs = np.stack((events.pid[rows[sure]], events.pid[calls.rows[first[sure]]]), axis=1)
            found, counts = np.unique(pairs, axis=0, return_counts=True)
            for (device, process), count in zip(found.tolist(), counts.tolist(), strict=True):
                seen[device, process] += count
        of_device: Counter[int] = Counter()
        for (device, _), count in seen.items():
            of_device[device] += count
        for (device, process), count in seen.items():
            if count >= _MOST * of_device[device]:
                self._process_of[device] = process
