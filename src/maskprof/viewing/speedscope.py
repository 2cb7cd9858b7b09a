"""A trace in speedscope's own format: for each thread and stream, what was open when.

Speedscope reads Chrome traces too, but none of the profiler's: there, the ids of some processes are texts, and the
arguments of each event become part of its name.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskprof.errors import TraceError
from maskprof.traces.categories import DEVICE_ANNOTATION, DEVICE_EVENTS
from maskprof.traces.columns import Int64s, Trace
from maskprof.traces.reader import read_trace
from maskprof.version import __version__

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope_text(path: Path) -> str:
    """The trace at `path` as the text of a `.speedscope.json` file.

    Raises:
        TraceError: there is no trace at `path`, or nothing in it has a duration.
    """
    return json.dumps(speedscope(read_trace(path)), separators=(",", ":"))


def speedscope(trace: Trace) -> dict[str, Any]:
    """A trace as speedscope's format has it: a profile for each thread and stream, times in nanoseconds.

    Where two events of one thread overlap in part, which is rounding or two measurements of one thing, the later
    ends with the earlier. The copies of ranges on a device's timeline are left out: they overlap its kernels.

    Raises:
        TraceError: nothing in the trace has a duration.
    """
    profiles = [_profile(trace, rows) for rows in _timelines(trace)]
    if not profiles:
        raise TraceError(f"{trace.path} holds no event with a duration, so there is nothing to show")
    longest = max(range(len(profiles)), key=lambda at: len(profiles[at]["events"]))
    return {
        "$schema": _SCHEMA,
        "exporter": f"maskprof@{__version__}",
        "name": Path(trace.path).name,
        "activeProfileIndex": longest,
        "shared": {"frames": [{"name": name} for name in trace.names]},
        "profiles": profiles,
    }


def _timelines(trace: Trace) -> Iterator[Int64s]:
    """The rows of each thread and stream, outer events before those inside; not the profiler's own remarks."""
    events = trace.events
    kept = ~trace.in_categories([DEVICE_ANNOTATION])
    # The profiler's remarks on itself have texts for process and thread.
    for column, table in ((events.pid, trace.pids), (events.tid, trace.tids)):
        kept &= np.array([isinstance(entry, int) for entry in table], dtype=np.bool_)[column]
    rows = np.flatnonzero(kept)
    order = np.lexsort((-events.dur_ns[rows], events.ts_ns[rows], events.tid[rows], events.pid[rows]))
    rows = rows[order]
    starts = np.flatnonzero(np.diff(events.pid[rows]) | np.diff(events.tid[rows])) + 1
    yield from (part for part in np.split(rows, starts) if len(part))


def _profile(trace: Trace, rows: Int64s) -> dict[str, Any]:
    events = trace.events
    origin = int(events.ts_ns.min())
    starts = (events.ts_ns[rows] - origin).tolist()
    ends = (events.end_ns[rows] - origin).tolist()
    frames = events.name[rows].tolist()
    written: list[dict[str, Any]] = []
    open_: list[tuple[int, int]] = []

    def close(until: int) -> None:
        while open_ and open_[-1][0] <= until:
            end, frame = open_.pop()
            written.append({"type": "C", "frame": frame, "at": end})

    for start, end, frame in zip(starts, ends, frames, strict=True):
        close(start)
        written.append({"type": "O", "frame": frame, "at": start})
        open_.append((min(end, open_[-1][0]) if open_ else end, frame))
    last = max((end for end, _ in open_), default=0)
    close(last)
    return {
        "type": "evented",
        "name": _name(trace, rows),
        "unit": "nanoseconds",
        "startValue": written[0]["at"],
        "endValue": written[-1]["at"],
        "events": written,
    }


def _name(trace: Trace, rows: Int64s) -> str:
    pid = trace.pids[trace.events.pid[rows[0]]]
    tid = trace.tids[trace.events.tid[rows[0]]]
    on_device = bool(trace.in_categories(DEVICE_EVENTS)[rows].any())
    return f"GPU {pid}, stream {tid}" if on_device else f"process {pid}, thread {tid}"
