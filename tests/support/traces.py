"""Small hand-made traces in Kineto's format, and the foreign ones beside the checkout."""

import gzip
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from maskprof.traces.columns import Trace
from maskprof.traces.reader import read_trace

SHARED_TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"

HOST, THREAD, DEVICE, STREAM = 100, 100, 0, 7


def shared_truth() -> list[Any]:
    """Each foreign trace's figures as pytest parameters; where they are absent, one that skips and says why."""
    truth = SHARED_TRACES / "truth.json"
    if not truth.is_file():
        reason = f"no foreign traces at {SHARED_TRACES}"
        return [
            pytest.param(None, marks=[pytest.mark.skip(reason=reason), pytest.mark.shared_data], id="absent")
        ]
    return [
        pytest.param(entry, marks=pytest.mark.shared_data, id=entry["file"])
        for entry in json.loads(truth.read_text())["traces"]
    ]


class TraceBuilder:
    """Collects events; times are microseconds, as integers or decimal texts. Calls can be chained."""

    def __init__(self, **metadata: Any) -> None:
        self.metadata = {"schemaVersion": 1, "deviceProperties": [], **metadata}
        self.events: list[Any] = []

    def event(self, cat, name, ts, dur, *, pid=HOST, tid=THREAD, ph="X", **args):
        event = {
            "ph": ph,
            "cat": cat,
            "name": name,
            "pid": pid,
            "tid": tid,
            "ts": _Number(ts),
            "dur": _Number(dur),
        }
        if ph != "X":
            del event["dur"]
        self.events.append(event | ({"args": args} if args else {}))
        return self

    def op(self, name, ts, dur, **fields):
        return self.event("cpu_op", name, ts, dur, **fields)

    def annotation(self, name, ts, dur, **fields):
        """A `record_function` range on the host."""
        return self.event("user_annotation", name, ts, dur, **fields)

    def device_annotation(self, name, ts, dur):
        """The copy of such a range that the profiler puts on a device's timeline."""
        return self.event("gpu_user_annotation", name, ts, dur, pid=DEVICE, tid=STREAM)

    def launch(self, ts, correlation, *, dur=1, name="cudaLaunchKernel", cat="cuda_runtime", **fields):
        return self.event(cat, name, ts, dur, correlation=correlation, **fields)

    def graph_launch(self, ts, correlation, **fields):
        return self.launch(ts, correlation, name="cudaGraphLaunch", **fields)

    def kernel(self, name, ts, dur, correlation, *, stream=STREAM, device=DEVICE, cat="kernel"):
        args = {"correlation": correlation, "stream": stream, "device": device}
        return self.event(cat, name, ts, dur, pid=device, tid=stream, **args)

    def memset(self, ts, dur, correlation):
        return self.kernel("Memset (Device)", ts, dur, correlation, cat="gpu_memset")

    def empty_turns(self, *, count=3, at=1_000_000, turn=7, inner=1, inner_total=2):
        """Empty ranges with exact costs: turns of `turn`, inner ranges that add `inner_total`."""
        for i in range(count):
            start = at + 100 * i
            self.annotation("instrument.turn", start, turn + 2 * inner_total)
            self.op("instrument.inner", start + 2, inner).op("instrument.inner", start + 5, inner)
            self.annotation("instrument.empty_turn", start + 50, turn)
        return self

    def text(self, *, bare: bool = False, **layout: Any) -> str:
        content = self.events if bare else self.metadata | {"traceEvents": self.events}
        return _Number.restored(json.dumps(content, default=_Number.marked, **layout))

    def write(self, path: Path, **layout: Any) -> Path:
        text = self.text(**layout).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return path

    def read(self, folder: Path, **layout: Any) -> Trace:
        return read_trace(self.write(folder / "trace.json", **layout))


class _Number:
    """A number written with exactly its digits, which json.dumps would not do for a decimal."""

    def __init__(self, value: int | str | Decimal) -> None:
        self.text = str(value)

    def marked(self) -> str:
        return f"<number>{self.text}</number>"

    @classmethod
    def restored(cls, text: str) -> str:
        return re.sub(r'"<number>(.*?)</number>"', lambda m: json.loads(f'"{m[1]}"'), text)


def event_rows(trace: Trace) -> list[tuple[str, str, int | str, int | str, int, int]]:
    """(category, name, pid, tid, start, duration) of every event, times in nanoseconds."""
    e = trace.events
    return [
        (trace.categories[c], trace.names[n], trace.pids[p], trace.tids[t], ts, dur)
        for c, n, p, t, ts, dur in zip(
            *(column.tolist() for column in (e.category, e.name, e.pid, e.tid, e.ts_ns, e.dur_ns)),
            strict=True,
        )
    ]
