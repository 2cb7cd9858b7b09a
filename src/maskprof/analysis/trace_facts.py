"""Where a trace comes from and what it holds."""

from typing import Any

import numpy as np

from maskprof.analysis.device_work import DeviceWork
from maskprof.results.trace_summary import TraceFacts
from maskprof.traces.columns import Trace

_PIECE = 2**18


def trace_facts(trace: Trace, work: DeviceWork) -> TraceFacts:
    """The trace's own figures, and what its metadata says of devices and job."""
    job = trace.metadata.get("distributedInfo")
    job = job if isinstance(job, dict) else {}
    rank, world = job.get("rank"), job.get("world_size")
    return TraceFacts(
        path=trace.path,
        events=len(trace.events),
        span_us=_span_ns(trace) / 1000,
        devices=_devices(trace, work),
        ranks=(rank,) if type(rank) is int else (),
        world_size=world if type(world) is int else None,
        shapes=bool(trace.inputs),
        stacks="python_function" in trace.categories,
        modules=any(name.startswith("nn.Module: ") for name in trace.names),
    )


def _span_ns(trace: Trace) -> int:
    events = trace.events
    if not len(events):
        return 0
    end = max(
        int((events.ts_ns[i : i + _PIECE] + events.dur_ns[i : i + _PIECE]).max())
        for i in range(0, len(events), _PIECE)
    )
    return max(end, int(events.ts_ns.max())) - int(events.ts_ns.min())


def _devices(trace: Trace, work: DeviceWork) -> tuple[str, ...]:
    """The names of the devices that did something, by their numbers.

    AMD's numbers need not be those of the listed properties; where all listed are of one name, it is that.
    """
    used = [trace.pids[code] for code in np.unique(trace.events.pid[work.rows]).tolist()]
    listed = _listed_names(trace.metadata.get("deviceProperties"))
    names = set(listed.values())
    only = names.pop() if len(names) == 1 else None
    return tuple(
        listed.get(device) or only or f"device {device}"
        for device in sorted(used, key=lambda device: (isinstance(device, str), device))
    )


def _listed_names(properties: Any) -> dict[Any, str]:
    if not isinstance(properties, list):
        return {}
    return {
        device.get("id"): device["name"]
        for device in properties
        if isinstance(device, dict) and isinstance(device.get("name"), str) and device["name"]
    }
