"""Where a trace comes from and what it holds."""

from typing import Any

import numpy as np

from maskprof.analysis.device_work import DeviceWork
from maskprof.results.trace_summary import TraceFacts
from maskprof.traces.categories import PYTHON
from maskprof.traces.columns import Trace
from maskprof.traces.pieces import slices

_NOT_RECORDED = ("trace", "")


def trace_facts(trace: Trace, work: DeviceWork) -> TraceFacts:
    """The trace's own figures, and what its metadata says of devices and job."""
    return TraceFacts(
        path=trace.path,
        events=trace.account.with_duration,
        span_us=_span_ns(trace) / 1000,
        devices=tuple(device_names(trace, work).values()),
        ranks=() if trace.rank is None else (trace.rank,),
        world_size=trace.world_size,
        shapes=bool(trace.inputs),
        stacks=trace.account.frames > 0 or PYTHON in trace.categories,
        modules=any(name.startswith("nn.Module: ") for name in trace.names),
    )


def _span_ns(trace: Trace) -> int:
    events = trace.events
    # The profiler writes its own time of recording as an event too; it is no part of what was recorded.
    counts = np.array([category not in _NOT_RECORDED for category in trace.categories], dtype=np.bool_)
    starts, ends = [], []
    for piece in slices(len(events)):
        chosen = counts[events.category[piece]]
        start = events.ts_ns[piece][chosen]
        if len(start):
            starts.append(int(start.min()))
            ends.append(int((start + np.maximum(events.dur_ns[piece][chosen], 0)).max()))
    if trace.account.frames_ns is not None:
        starts.append(trace.account.frames_ns[0])
        ends.append(trace.account.frames_ns[1])
    return max(ends) - min(starts) if starts else 0


def device_names(trace: Trace, work: DeviceWork) -> dict[int, str]:
    """The names of the devices that did something, by the codes of their numbers, and in the order of these.

    AMD's numbers need not be those of the listed properties; where all listed are of one name, it is that.
    """
    codes: set[int] = set()
    for piece in slices(len(work)):
        codes.update(np.unique(trace.events.pid[work.rows[piece]]).tolist())
    used = {trace.pids[code]: code for code in codes}
    listed = _listed_names(trace.metadata.get("deviceProperties"))
    names = set(listed.values())
    only = names.pop() if len(names) == 1 else None
    return {
        used[device]: listed.get(device) or only or _unlisted(device)
        for device in sorted(used, key=lambda device: (isinstance(device, str), device))
    }


def _unlisted(device: int | str) -> str:
    return "device without a number" if device == -1 else f"device {device}"


def _listed_names(properties: Any) -> dict[Any, str]:
    if not isinstance(properties, list):
        return {}
    return {
        device.get("id"): device["name"]
        for device in properties
        if isinstance(device, dict) and isinstance(device.get("name"), str) and device["name"]
    }
