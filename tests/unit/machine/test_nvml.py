"""The driver's library, played by a Python object with functions of the same names and arguments."""

# ruff: noqa: N802 - the names are the driver's

import ctypes

from maskprof.machine.nvml import Gpu, open_gpu, open_gpus
from maskprof.results.circumstances import GpuState

NOT_SUPPORTED = 3


class Driver:
    """Two GPUs, the second of which tells nothing."""

    def __init__(self):
        self.numbers = {
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x44,
            "nvmlDeviceGetPowerUsage": 301_500,
            "nvmlDeviceGetPersistenceMode": 0,
        }
        self.numbers_of = {
            ("nvmlDeviceGetClockInfo", 1): 1410,
            ("nvmlDeviceGetMaxClockInfo", 1): 1980,
            ("nvmlDeviceGetTemperature", 0): 84,
            ("nvmlDeviceGetTemperatureThreshold", 1): 87,
        }

    def __getattr__(self, name):
        numbers, numbers_of = self.__dict__["numbers"], self.__dict__["numbers_of"]
        if name in numbers:
            return lambda handle, place: self._give(handle, place, numbers[name])
        if any(name == known for known, _ in numbers_of):
            return lambda handle, kind, place: self._give(handle, place, numbers_of[name, kind])
        raise AttributeError(name)

    @staticmethod
    def _give(handle, place, value):
        if handle.value != 1:
            return NOT_SUPPORTED
        place._obj.value = value
        return 0

    def nvmlDeviceGetCount_v2(self, place):
        place._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number, place):
        place._obj.value = number + 1
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid, place):
        if uuid != b"GPU-abc":
            return 6
        place._obj.value = 1
        return 0

    def nvmlDeviceGetName(self, handle, text, length):
        assert len(text) == length
        text.value = b"NVIDIA H100"
        return 0 if handle.value == 1 else NOT_SUPPORTED

    def nvmlSystemGetDriverVersion(self, text, length):
        assert len(text) == length
        text.value = b"555.42"
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle, place):
        place._obj.gpu = 12
        return 0 if handle.value == 1 else NOT_SUPPORTED

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle, count, found):
        if handle.value != 1:
            return NOT_SUPPORTED
        count._obj.value = 2
        found[0].pid, found[1].pid = 4242, 4243
        return 0


def test_a_gpus_state():
    first, second = open_gpus(Driver())
    assert first.state() == GpuState(
        sm_mhz=1410, temperature_c=84, power_w=301.5, slowed_by=("power cap", "hardware thermal slowdown")
    )
    assert second.state() == GpuState(sm_mhz=None, temperature_c=None, power_w=None, slowed_by=())


def test_a_gpus_facts():
    first, second = open_gpus(Driver())
    facts = first.facts()
    assert (facts.name, facts.driver, facts.max_sm_mhz) == ("NVIDIA H100", "555.42", 1980)
    assert (facts.persistence, facts.slowdown_c) == (False, 87)
    assert (facts.process_ids, facts.busy_percent) == ((4242, 4243), 12)
    assert (second.facts().name, second.facts().process_ids) == ("GPU", ())
    assert (second.facts().persistence, second.facts().busy_percent) == (None, None)


def test_by_its_identifier():
    assert isinstance(open_gpu("abc", Driver()), Gpu)
    assert isinstance(open_gpu("GPU-abc", Driver()), Gpu)
    assert open_gpu("xyz", Driver()) is None


def test_an_old_driver_lacks_functions():
    class Old:
        pass

    assert open_gpus(Old()) == ()
    assert open_gpu("abc", Old()) is None
    assert Gpu(Old(), ctypes.c_void_p(1)).state().slowed_by == ()


def test_without_a_driver_nothing_is_found(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert open_gpus() == ()
    assert open_gpu("abc") is None
