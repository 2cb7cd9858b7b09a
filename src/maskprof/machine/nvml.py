"""NVIDIA's management library, as far as a measurement needs it: clocks, temperature, what slows a GPU down.

Called through ctypes, since it comes with the driver; the Python packages around it are the same calls. Where there is
no driver, nothing is found and nothing fails. Names and numbers are those of NVIDIA's nvml.h.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maskprof.results.circumstances import GpuState

_LIBRARIES = ("libnvidia-ml.so.1", "libnvidia-ml.so")
_SUCCESS = 0
_CLOCK_SM = 1
_TEMPERATURE_GPU = 0
_MILLIWATTS = 1000.0
_NAME_BYTES = 96
_MOST_PROCESSES = 64

# nvmlClocksThrottleReason*: those that make a GPU slower than it could be while it works.
SLOWDOWNS = {
    0x0000000000000002: "application clocks setting",
    0x0000000000000004: "power cap",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000010: "sync boost",
    0x0000000000000020: "software thermal slowdown",
    0x0000000000000040: "hardware thermal slowdown",
    0x0000000000000080: "power brake",
    0x0000000000000100: "display clock setting",
}


class _ProcessInfo(ctypes.Structure):
    # nvmlProcessInfo_v2_t, which the functions without a suffix _v1 and with _v2 and _v3 all fill.
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used_memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFacts:
    """A GPU and how it is set; None is what its driver does not tell."""

    name: str
    driver: str | None
    max_sm_mhz: int | None
    persistence: bool | None
    slowdown_c: int | None
    process_ids: tuple[int, ...]
    busy_percent: int | None


class Gpu:
    """One GPU, by its number for the driver or its address on the bus."""

    def __init__(self, library: Any, handle: Any) -> None:
        """Keep the device's handle; `open_gpu` and `open_gpus` make these."""
        self._library, self._handle = library, handle

    def state(self) -> GpuState:
        """The GPU now."""
        reasons = self._number("nvmlDeviceGetCurrentClocksThrottleReasons", ctypes.c_ulonglong)
        power = self._number("nvmlDeviceGetPowerUsage", ctypes.c_uint)
        return GpuState(
            sm_mhz=self._number("nvmlDeviceGetClockInfo", ctypes.c_uint, _CLOCK_SM),
            temperature_c=self._number("nvmlDeviceGetTemperature", ctypes.c_uint, _TEMPERATURE_GPU),
            power_w=None if power is None else power / _MILLIWATTS,
            slowed_by=tuple(name for bit, name in SLOWDOWNS.items() if (reasons or 0) & bit),
        )

    def facts(self) -> GpuFacts:
        """What the GPU is, and who works on it."""
        persistence = self._number("nvmlDeviceGetPersistenceMode", ctypes.c_uint)
        utilization = _Utilization()
        known = self._call("nvmlDeviceGetUtilizationRates", self._handle, ctypes.byref(utilization))
        return GpuFacts(
            name=self._text("nvmlDeviceGetName", self._handle) or "GPU",
            driver=self._text("nvmlSystemGetDriverVersion"),
            max_sm_mhz=self._number("nvmlDeviceGetMaxClockInfo", ctypes.c_uint, _CLOCK_SM),
            persistence=None if persistence is None else bool(persistence),
            # NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
            slowdown_c=self._number("nvmlDeviceGetTemperatureThreshold", ctypes.c_uint, 1),
            process_ids=self._process_ids(),
            busy_percent=utilization.gpu if known else None,
        )

    def _process_ids(self) -> tuple[int, ...]:
        count, found = ctypes.c_uint(_MOST_PROCESSES), (_ProcessInfo * _MOST_PROCESSES)()
        for name in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"):
            if self._call(name, self._handle, ctypes.byref(count), found):
                return tuple(found[place].pid for place in range(min(count.value, _MOST_PROCESSES)))
        return ()

    def _number(self, name: str, kind: Callable[[], Any], *words: int) -> int | None:
        value = kind()
        return value.value if self._call(name, self._handle, *words, ctypes.byref(value)) else None

    def _text(self, name: str, *words: Any) -> str | None:
        text = ctypes.create_string_buffer(_NAME_BYTES)
        return text.value.decode(errors="replace") if self._call(name, *words, text, _NAME_BYTES) else None

    def _call(self, name: str, *words: Any) -> bool:
        return _call(self._library, name, *words)


def open_gpus(library: Any = None) -> tuple[Gpu, ...]:
    """All GPUs that the driver knows; none where there is no driver."""
    library = library if library is not None else _loaded()
    count = ctypes.c_uint()
    if library is None or not _call(library, "nvmlDeviceGetCount_v2", ctypes.byref(count)):
        return ()
    found = []
    for number in range(count.value):
        handle = ctypes.c_void_p()
        if _call(library, "nvmlDeviceGetHandleByIndex_v2", number, ctypes.byref(handle)):
            found.append(Gpu(library, handle))
    return tuple(found)


def open_gpu(uuid: str, library: Any = None) -> Gpu | None:
    """The GPU of this identifier, with or without the prefix `GPU-`; None where the driver knows none such.

    By its identifier and not by its number, since CUDA may count in another order, and may be shown fewer.
    """
    library = library if library is not None else _loaded()
    if library is None:
        return None
    handle = ctypes.c_void_p()
    full = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    found = _call(library, "nvmlDeviceGetHandleByUUID", full.encode(), ctypes.byref(handle))
    return Gpu(library, handle) if found else None


def _loaded() -> Any:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        # May be called any number of times; the library counts.
        return library if _call(library, "nvmlInit_v2") else None
    return None


def _call(library: Any, name: str, *words: Any) -> bool:
    """Whether the driver has the function and it succeeded."""
    function = getattr(library, name, None)
    return function is not None and function(*words) == _SUCCESS
