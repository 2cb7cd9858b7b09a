"""A trace in speedscope's own format: for each thread and stream, what was open when.

Speedscope reads Chrome traces too, but none of the profiler's: there, the ids of some processes are texts, and the
arguments of each event become part of its name.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskprof.errors import TraceError
from maskprof.traces.categories import DEVICE_ANNOTATION, DEVICE_EVENTS
from maskprof.traces.columns import Int64s, Trace
from maskprof.traces.reader import read_trace
from maskprof.version import __version__
from maskprof.viewing.trace_page import NamedBytes

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope_text(path: Path, content: bytes | None = None) -> str:
    """The trace at `path` as the text of a `.speedscope.json` file; `content` as for `trace_page`.

    Raises:
        TraceError: there is no trace at `path`, or nothing in it has a duration.
    """
    source = path if content is None else NamedBytes(content, str(path))
    return json.dumps(speedscope(read_trace(source, python=True)), separators=(",", ":"))


def speedscope(trace: Trace) -> dict[str, Any]:
    """A trace as speedscope's format has it: a profile for each thread and stream, times in nanoseconds.

    Where two events of one thread overlap in part, the shorter is cut: it is rounding, or, with Python's calls
    recorded, the call that opens or closes a range. The copies of ranges on a device's timeline are left out:
    they overlap its kernels.

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
    open_: list[_Open] = []

    def close(at: int) -> None:
        written.append({"type": "C", "frame": open_.pop().frame, "at": at})

    def close_until(at: int) -> None:
        while open_ and open_[-1].end <= at:
            close(open_[-1].end)

    for start, end, frame in zip(starts, ends, frames, strict=True):
        close_until(start)
        while open_ and open_[-1].end < end and open_[-1].end - open_[-1].start < end - start:
            close(start)
        written.append({"type": "O", "frame": frame, "at": start})
        open_.append(_Open(start, min(end, open_[-1].end) if open_ else end, frame))
    close_until(max((span.end for span in open_), default=0))
    return {
        "type": "evented",
        "name": _name(trace, rows),
        "unit": "nanoseconds",
        "startValue": written[0]["at"],
        "endValue": written[-1]["at"],
        "events": written,
    }


class _Open(NamedTuple):
    """A span that has not been closed yet."""

    start: int
    end: int
    frame: int


def _name(trace: Trace, rows: Int64s) -> str:
    pid = trace.pids[trace.events.pid[rows[0]]]
    tid = trace.tids[trace.events.tid[rows[0]]]
    on_device = bool(trace.in_categories(DEVICE_EVENTS)[rows].any())
    return f"GPU {pid}, stream {tid}" if on_device else f"process {pid}, thread {tid}"
