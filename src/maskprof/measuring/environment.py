"""The machine that the figures are of."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from maskprof.version import __version__


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Device, driver, versions, threads and time, as plain values for the result file."""
    return {
        "time": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "maskprof": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": _version_of("transformers"),
        "os": platform.platform(),
        "host": platform.node(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "garbage_collection": "off inside samples",
        **_describe_device(device),
    }


def machine_of(environment: dict[str, Any]) -> dict[str, Any]:
    """The part of it that must be the same for samples to be put side by side."""
    keys = ("host", "cpu", "device", "driver", "torch", "transformers", "threads")
    return {key: environment.get(key) for key in keys}


def _describe_device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"device": _cpu_name(), "device_type": device.type, "driver": None}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "device_type": "cuda",
        "driver": _driver(),
        "cuda": torch.version.cuda or torch.version.hip,
        "device_memory_bytes": properties.total_memory,
        "device_capability": f"{properties.major}.{properties.minor}",
    }


def _driver() -> str | None:
    """The kernel driver's version, from where Linux shows it; None elsewhere."""
    try:
        first = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return None
    return next((word for word in first.split() if word[:1].isdigit() and "." in word), None)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
