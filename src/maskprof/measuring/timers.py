"""Clocks of a pass: the host's, and on a GPU events in the stream beside it."""

import time
from dataclasses import dataclass
from typing import Protocol

import torch

from maskprof.ranges import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTimes:
    """What one pass took, in milliseconds.

    `prefill_ms` is the first forward without its vision part. On a GPU the phases are device time between
    events in the stream, `host_*` the host's time for issuing the same; on a CPU both are the same.
    `total_ms` is the host's time from the first call to the end of all work.
    """

    vision_ms: float
    projector_ms: float
    prefill_ms: float
    decode_step_ms: tuple[float, ...]
    total_ms: float
    host_vision_ms: float
    host_prefill_ms: float
    host_decode_ms: float


class PassTimer(Protocol):
    """A phase watch that reports."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def enter(self, phase: Phase) -> None: ...

    def leave(self, phase: Phase) -> None: ...

    def times(self) -> PassTimes: ...


def timer_for(device: torch.device) -> PassTimer:
    """The timer that fits a device; it may be used for any number of passes, one after the other."""
    return StreamTimer(device) if device.type == "cuda" else HostTimer()


class _Spans:
    """Begin and end of each phase on one clock, in milliseconds."""

    def __init__(self) -> None:
        self.closed: dict[str, list[float]] = {}

    def add(self, phase: str, begin_ms: float, end_ms: float) -> None:
        self.closed.setdefault(phase, []).append(end_ms - begin_ms)

    def sum(self, phase: str) -> float:
        return sum(self.closed.get(phase, ()))


class HostTimer:
    """`time.perf_counter_ns` at each mark: for CPUs, where work is done when the call returns."""

    def begin(self) -> None:
        self._marks: list[tuple[Phase, bool, int]] = []
        self._begin_ns = time.perf_counter_ns()

    def enter(self, phase: Phase) -> None:
        self._marks.append((phase, True, time.perf_counter_ns()))

    def leave(self, phase: Phase) -> None:
        self._marks.append((phase, False, time.perf_counter_ns()))

    def end(self) -> None:
        self._end_ns = time.perf_counter_ns()

    def times(self) -> PassTimes:
        spans = _paired([(phase, entering, ns / 1e6) for phase, entering, ns in self._marks])
        return _times(spans, spans, (self._end_ns - self._begin_ns) / 1e6)


class StreamTimer:
    """Events in the current CUDA stream at each mark, with the host's clock beside them.

    The device is waited for before the first mark and after the last one, never between. Events come from a
    pool, since making one costs more than recording it.
    """

    def __init__(self, device: torch.device) -> None:
        """Time passes on this device."""
        self._device = device
        self._pool: list[torch.cuda.Event] = []

    def begin(self) -> None:
        self._marks: list[tuple[Phase, bool, int]] = []
        self._free = iter(self._pool)
        self._used: list[torch.cuda.Event] = []
        # Of this device: another one may be the current one of the process.
        self._stream = torch.cuda.current_stream(self._device)
        torch.cuda.synchronize(self._device)
        self._begin_ns = time.perf_counter_ns()

    def _mark(self, phase: Phase, *, entering: bool) -> None:
        event = next(self._free, None)
        if event is None:
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._pool.append(event)
            self._free = iter(())
        event.record(self._stream)
        self._used.append(event)
        self._marks.append((phase, entering, time.perf_counter_ns()))

    def enter(self, phase: Phase) -> None:
        self._mark(phase, entering=True)

    def leave(self, phase: Phase) -> None:
        self._mark(phase, entering=False)

    def end(self) -> None:
        torch.cuda.synchronize(self._device)
        self._end_ns = time.perf_counter_ns()

    def times(self) -> PassTimes:
        first = self._used[0]
        device_ms = [first.elapsed_time(event) for event in self._used]
        on_device = _paired(
            [(phase, entering, ms) for (phase, entering, _), ms in zip(self._marks, device_ms, strict=True)]
        )
        on_host = _paired([(phase, entering, ns / 1e6) for phase, entering, ns in self._marks])
        return _times(on_device, on_host, (self._end_ns - self._begin_ns) / 1e6)


def _paired(marks: list[tuple[Phase, bool, float]]) -> _Spans:
    spans, open_at = _Spans(), dict[str, float]()
    for phase, entering, at_ms in marks:
        if entering:
            open_at[phase] = at_ms
        else:
            spans.add(phase, open_at.pop(phase), at_ms)
    return spans


def _times(spans: _Spans, host: _Spans, total_ms: float) -> PassTimes:
    return PassTimes(
        vision_ms=spans.sum("vision"),
        projector_ms=spans.sum("projector"),
        prefill_ms=spans.sum("prefill") - spans.sum("vision"),
        decode_step_ms=tuple(spans.closed.get("decode", ())),
        total_ms=total_ms,
        host_vision_ms=host.sum("vision"),
        host_prefill_ms=host.sum("prefill") - host.sum("vision"),
        host_decode_ms=host.sum("decode"),
    )
