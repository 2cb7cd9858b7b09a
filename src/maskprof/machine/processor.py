"""The processors that this process may use, as Linux shows them; None is what cannot be seen."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "KMP_AFFINITY",
    "GOMP_CPU_AFFINITY",
)
_KIB = 1024
_KHZ_PER_MHZ = 1000
_V1_UNLIMITED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """What the processors are and how they are set.

    Attributes:
        logical: processors of the machine.
        physical: cores of the machine; fewer than `logical` where each runs two threads.
        usable: processors that this process may run on.
        quota: how many processors' time a container may use up; None where it is not limited.
        governors: the frequency governors in use.
        turbo: whether clocks may rise above the nominal one.
        virtual: runs in a virtual machine.
        max_mhz: the highest clock.
        memory_bytes, memory_free_bytes: of the machine; free is what can be had without swapping.
        thread_variables: environment variables that set numbers of threads, as they are.
    """

    name: str
    logical: int
    physical: int | None
    usable: int
    quota: float | None
    governors: tuple[str, ...]
    turbo: bool | None
    virtual: bool | None
    max_mhz: float | None
    memory_bytes: int | None
    memory_free_bytes: int | None
    thread_variables: dict[str, str]


def read_processor(root: Path = ROOT) -> Processor:
    """What can be seen under `root`."""
    cpuinfo = _text(root / "proc/cpuinfo")
    logical = os.cpu_count() or 1
    meminfo = dict(_pairs(_text(root / "proc/meminfo").splitlines()))
    return Processor(
        name=_first(cpuinfo, "model name") or platform.processor() or platform.machine(),
        logical=logical,
        physical=_physical(cpuinfo),
        usable=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else logical,
        quota=_quota(root),
        governors=_governors(root),
        turbo=_turbo(root),
        virtual=" hypervisor" in (_first(cpuinfo, "flags") or "") if cpuinfo else None,
        max_mhz=_max_mhz(root),
        memory_bytes=_kib(meminfo.get("MemTotal")),
        memory_free_bytes=_kib(meminfo.get("MemAvailable")),
        thread_variables={name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
    )


def current_mhz(root: Path = ROOT) -> float | None:
    """The mean clock of all processors now."""
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [value / _KHZ_PER_MHZ for path in folders if (value := _number(path)) is not None]
    if not clocks and not _is_virtual(root):
        # In a virtual machine this line never changes.
        clocks = [float(v) for k, v in _pairs(_text(root / "proc/cpuinfo").splitlines()) if k == "cpu MHz"]
    return sum(clocks) / len(clocks) if clocks else None


def _is_virtual(root: Path) -> bool:
    return " hypervisor" in (_first(_text(root / "proc/cpuinfo"), "flags") or "")


def _physical(cpuinfo: str) -> int | None:
    cores = set()
    for entry in cpuinfo.split("\n\n"):
        values = dict(_pairs(entry.splitlines()))
        if "core id" in values:
            cores.add((values.get("physical id"), values["core id"]))
    return len(cores) or None


def _governors(root: Path) -> tuple[str, ...]:
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return tuple(sorted({text for path in paths if (text := _text(path).strip())}))


def _turbo(root: Path) -> bool | None:
    forbidden = _number(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    if forbidden is not None:
        return not forbidden
    allowed = _number(root / "sys/devices/system/cpu/cpufreq/boost")
    return None if allowed is None else bool(allowed)


def _max_mhz(root: Path) -> float | None:
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    clocks = [value / _KHZ_PER_MHZ for path in paths if (value := _number(path)) is not None]
    return max(clocks, default=None)


def _quota(root: Path) -> float | None:
    """The least limit on the way from this process's group up, by either version of control groups."""
    limits = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        base = root / "sys/fs/cgroup"
        bases = [base] if not controllers else [base / controllers, base / "cpu"]
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = [part for part in group.split("/") if part]
        for depth in range(len(parts) + 1):
            for one in bases:
                limits += _limit(one.joinpath(*parts[:depth]))
    return min(limits, default=None)


def _limit(folder: Path) -> list[float]:
    words = _text(folder / "cpu.max").split()
    if len(words) == 2 and words[0] != "max":  # noqa: PLR2004 - quota and period
        return [float(words[0]) / float(words[1])]
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return [quota / period] if quota is not None and period and quota != _V1_UNLIMITED else []


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        key, colon, value = line.partition(":")
        if colon:
            yield key.strip(), value.strip()


def _first(text: str, key: str) -> str | None:
    return next((value for found, value in _pairs(text.splitlines()) if found == key), None)


def _kib(text: str | None) -> int | None:
    return int(text.split()[0]) * _KIB if text else None


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
