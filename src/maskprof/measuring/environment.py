"""The machine that the figures are of."""

import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from maskprof.machine.processor import read_processor
from maskprof.measuring.watch import gpu_of
from maskprof.version import __version__


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Device, driver, versions, threads and time, as plain values for the result file."""
    processor = read_processor()
    return {
        "time": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "maskprof": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": _version_of("transformers"),
        "os": platform.platform(),
        "host": platform.node(),
        "cpu": processor.name,
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "processor": _plain(asdict(processor)),
        "garbage_collection": "off inside samples",
        **_describe_device(device),
    }


def machine_of(environment: dict[str, Any]) -> dict[str, Any]:
    """The part of it that must be the same for samples to be put side by side."""
    keys = ("host", "cpu", "device", "driver", "torch", "transformers", "threads")
    return {key: environment.get(key) for key in keys}


def _describe_device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"device": read_processor().name, "device_type": device.type, "driver": None}
    properties, gpu = torch.cuda.get_device_properties(device), gpu_of(device)
    return {
        "device": properties.name,
        "device_type": "cuda",
        "driver": _driver(),
        "cuda": torch.version.cuda or torch.version.hip,
        "device_memory_bytes": properties.total_memory,
        "device_capability": f"{properties.major}.{properties.minor}",
    } | ({"gpu": _plain(asdict(gpu.facts())), "process_ids": [os.getpid()]} if gpu else {})


def _driver() -> str | None:
    """The kernel driver's version, from where Linux shows it; None elsewhere."""
    try:
        first = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return None
    return next((word for word in first.split() if word[:1].isdigit() and "." in word), None)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As they come back from a file."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
