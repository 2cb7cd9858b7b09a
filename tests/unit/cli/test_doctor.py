import json

import pytest

from maskprof.cli import doctor, main
from maskprof.machine import activity, nvml
from maskprof.machine.activity import Counters
from tests.unit.machine.test_checks import PROCESSOR


@pytest.fixture
def machine(monkeypatch):
    """A machine that is as it should be; what is set on the fixture changes it."""

    class Machine:
        processor = PROCESSOR
        counters = Counters(busy=0.0, idle=0.0, stolen=0.0, own=0.0)
        busy_ticks = 0.0
        probes = (100.0,)

        def read_counters(self):
            before = self.counters
            self.counters = Counters(
                busy=before.busy + self.busy_ticks, idle=before.idle + 100.0, stolen=0.0, own=0.0
            )
            return before

        def probe_us(self):
            first, *rest = self.probes
            self.probes = (*rest, first)
            return first

    machine = Machine()
    monkeypatch.setattr(doctor, "read_processor", lambda: machine.processor)
    monkeypatch.setattr(doctor, "current_mhz", lambda: 3000.0)
    monkeypatch.setattr(activity, "read_counters", machine.read_counters)
    monkeypatch.setattr(activity, "probe_us", machine.probe_us)
    monkeypatch.setattr(nvml, "open_gpus", lambda: ())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return machine


def test_a_good_machine(machine, capsys):
    assert main.main(["doctor", "--seconds", "0"]) == 0
    out = capsys.readouterr().out
    assert "cpu: 8 cores, 8 processors, 8 usable" in out
    assert out.splitlines()[-1] == "Nothing here would spoil figures."


def test_a_busy_one(machine, capsys):
    machine.busy_ticks = 100.0
    assert main.main(["doctor", "--seconds", "0"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "! Load: other processes kept 4.0 of 8 processors busy meanwhile (measure when nothing else runs)."
        in out
    )
    assert out.endswith("One thing here would spoil figures.")


def test_an_uneven_one(machine, capsys):
    machine.probes = (100.0, 150.0)
    assert main.main(["doctor", "--seconds", "0.2", "--json", "-"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [finding["topic"] for finding in document["findings"]] == ["noise"]
    assert not document["ok"]


def test_the_document(machine, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert main.main(["doctor", "--seconds", "0", "--json", str(tmp_path / "d.json")]) == 0
    assert "would spoil figures" in capsys.readouterr().out
    document = json.loads((tmp_path / "d.json").read_text(encoding="utf-8"))
    assert document["ok"]
    assert document["torch_threads"] == 2
    assert document["processor"]["logical"] == 8
    assert [state["round"] for state in document["states"]] == [0, 1, 2]
    assert set(document["versions"]) == {"maskprof", "torch", "transformers"}
    assert document["gpus"] == []


def test_a_gpu_that_is_asked_for_and_is_not_there(machine, capsys):
    assert main.main(["doctor", "--seconds", "0", "--device", "cuda"]) == 1
    assert "no NVIDIA driver was found" in " ".join(capsys.readouterr().out.split())


def test_a_file_that_cannot_be_written(machine, tmp_path, capsys):
    assert main.main(["doctor", "--seconds", "0", "--json", str(tmp_path / "no" / "d.json")]) == 2
    assert capsys.readouterr().err == f"maskprof: --json: there is no folder {tmp_path / 'no'} for d.json\n"
