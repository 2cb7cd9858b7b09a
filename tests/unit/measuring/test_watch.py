import torch

from maskprof.machine import activity
from maskprof.machine.activity import Counters
from maskprof.measuring import watch as module
from maskprof.measuring.watch import MachineWatch, gpu_of, watch_of
from maskprof.results.circumstances import GpuState


def test_a_round_is_looked_at_once_and_shares_are_since_the_last(monkeypatch):
    counters = [
        Counters(busy=b, idle=i, stolen=0.0, own=0.0) for b, i in ((0, 0), (50, 50), (50, 50), (90, 150))
    ]
    monkeypatch.setattr(activity, "read_counters", lambda: counters.pop(0))
    monkeypatch.setattr(activity, "probe_us", lambda: 42.0)
    monkeypatch.setattr(activity, "load_average", lambda: 1.5)
    monkeypatch.setattr(module, "current_mhz", lambda: 2000.0)
    watch = MachineWatch()
    first, again, *rest = [watch.look(number) for number in (0, 0, 1, 2, 2)]
    assert [(s.round, s.others_share) for s in (first, *rest[:2])] == [(0, 0.5), (1, None), (2, 40 / 140)]
    assert (again, rest[2]) == (None, None)
    assert (first.cpu_mhz, first.probe_us, first.load, first.gpu) == (2000.0, 42.0, 1.5, None)


def test_a_gpu_is_looked_at_too():
    class Gpu:
        def state(self):
            return GpuState(sm_mhz=1000, temperature_c=50, power_w=None, slowed_by=())

    watch = MachineWatch(Gpu())
    assert watch.look(3).gpu.sm_mhz == 1000


def test_a_cpu_has_no_gpu():
    assert gpu_of(torch.device("cpu")) is None
    assert watch_of(torch.device("cpu")).look(0).gpu is None
