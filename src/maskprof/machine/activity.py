"""What the processors are busy with: this process, others, or other virtual machines."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from maskprof.machine.processor import ROOT

# Of the first line of /proc/stat; iowait and idle are idle, guest time is in user and nice already.
_BUSY, _IDLE, _STEAL = (0, 1, 2, 5, 6), (3, 4), 7
_FIELDS = 8
_PROBE_TRIES = 5
_PROBE_STEPS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Processor time since the machine's start, in clock ticks; `own` is this process's."""

    busy: float
    idle: float
    stolen: float
    own: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Of the time of all processors between two counts."""

    others: float
    stolen: float


def read_counters(root: Path = ROOT) -> Counters | None:
    """The counts now; None where the system does not show them."""
    try:
        words = (root / "proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
        ticks = [float(word) for word in words]
    except (OSError, ValueError):
        return None
    if len(ticks) < _FIELDS:
        return None
    used = os.times()
    own_s = used.user + used.system + used.children_user + used.children_system
    return Counters(
        busy=sum(ticks[place] for place in _BUSY),
        idle=sum(ticks[place] for place in _IDLE),
        stolen=ticks[_STEAL],
        own=own_s * os.sysconf("SC_CLK_TCK"),
    )


def shares(before: Counters | None, now: Counters | None) -> Shares | None:
    """What happened between two counts; None where they are too close together to tell."""
    if before is None or now is None:
        return None
    busy, stolen = now.busy - before.busy, now.stolen - before.stolen
    total = busy + stolen + now.idle - before.idle
    if total <= 0:
        return None
    # The two clocks tick apart, by a tick or two.
    return Shares(others=max(0.0, busy - (now.own - before.own)) / total, stolen=max(0.0, stolen) / total)


def load_average() -> float | None:
    """Of the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def probe_us() -> float:
    """How long a fixed piece of arithmetic takes: the fastest of a few tries, half a millisecond in all."""
    best = float("inf")
    for _ in range(_PROBE_TRIES):
        begin = time.perf_counter_ns()
        total = 0
        for number in range(_PROBE_STEPS):
            total += number & 3
        best = min(best, (time.perf_counter_ns() - begin) / 1000)
    return best
