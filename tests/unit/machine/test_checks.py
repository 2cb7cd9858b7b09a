from dataclasses import replace

import pytest

from maskprof.machine import checks
from maskprof.machine.nvml import GpuFacts
from maskprof.machine.processor import Processor
from maskprof.results.circumstances import GpuState, MachineState

PROCESSOR = Processor(
    name="cpu",
    logical=8,
    physical=8,
    usable=8,
    quota=None,
    governors=("performance",),
    turbo=False,
    virtual=False,
    max_mhz=3000.0,
    memory_bytes=100,
    memory_free_bytes=50,
    thread_variables={},
)
GPU = GpuFacts(
    name="H100",
    driver="555",
    max_sm_mhz=1980,
    persistence=True,
    slowdown_c=87,
    process_ids=(),
    busy_percent=0,
)


def state(number, **changes):
    settings = {"cpu_mhz": None, "probe_us": 100.0, "others_share": 0.0, "stolen_share": 0.0, "load": 0.5}
    return MachineState(**{"round": number, **settings, **changes})


def said(findings):
    return [(finding.topic, finding.is_warning, finding.text) for finding in findings]


def test_a_machine_as_it_should_be():
    assert checks.of_processor(PROCESSOR, 8) == []
    assert checks.of_gpu(GPU) == []
    assert checks.of_states([state(number) for number in range(9)], 8) == []
    assert checks.near_limit(GPU, 60) is None


@pytest.mark.parametrize(
    ("changes", "threads", "topic", "is_warning", "words"),
    [
        ({"governors": ("powersave",)}, 8, "clocks", True, ("governor is powersave", "performance")),
        ({"turbo": True}, 8, "clocks", False, ("turbo is on", "switch it off")),
        ({"virtual": True}, 8, "clocks", False, ("virtual machine", "within one run")),
        ({"physical": 4}, 8, "threads", True, ("8 threads on 4 cores", "OMP_NUM_THREADS=4")),
        ({}, 16, "threads", True, ("16 threads on 8 processors", "OMP_NUM_THREADS=8")),
        (
            {"quota": 2.5},
            None,
            "threads",
            True,
            ("limits this process to 2.5 processors", "OMP_NUM_THREADS=2"),
        ),
        ({"usable": 4, "physical": 4}, 4, "threads", False, ("may run on 4 of 8", "")),
        ({"memory_free_bytes": 5}, 8, "memory", True, ("only 5 % of the memory", "end what holds it")),
        ({"thread_variables": {"OMP_NUM_THREADS": "2"}}, 2, "threads", False, ("OMP_NUM_THREADS=2", "")),
    ],
)
def test_what_is_said_of_settings(changes, threads, topic, is_warning, words):
    (found,) = checks.of_processor(replace(PROCESSOR, **changes), threads)
    assert (found.topic, found.is_warning) == (topic, is_warning)
    text, advice = words
    assert text in found.text
    assert advice in found.advice


def test_a_limit_is_said_and_too_many_threads_for_it_too():
    found = checks.of_processor(replace(PROCESSOR, quota=2.0), 8)
    assert [finding.topic for finding in found] == ["threads", "threads"]
    assert "8 threads on 2 processors" in found[1].text


def test_other_load_is_said_in_processors():
    states = [state(number, others_share=share) for number, share in enumerate((None, 0.2, 0.3))]
    assert said(checks.of_states(states, 8)) == [
        ("load", True, "other processes kept 2.0 of 8 processors busy meanwhile")
    ]


def test_time_that_the_host_took():
    (found,) = checks.of_states([state(0, stolen_share=0.25)], 2)
    assert "gave 25 % of its processors' time to others" in found.text


def test_clocks_that_fall():
    falling = [state(number, cpu_mhz=mhz) for number, mhz in enumerate((3000, 3000, 2900, 2400, 2400, 2400))]
    assert said(checks.of_states(falling, 8)) == [
        ("clocks", True, "the processors' clocks went from 3000 to 2400 MHz in the course of it")
    ]


def test_where_clocks_are_hidden_the_fixed_calculation_tells():
    slower = [state(number, probe_us=us) for number, us in enumerate((100, 100, 101, 118, 120, 120))]
    assert said(checks.of_states(slower, 8)) == [
        ("clocks", True, "the processor became 20 % slower in the course of it")
    ]
    (found,) = checks.of_states(slower[::-1], 8)
    assert "17 % faster" in found.text


def gpu_state(mhz=1980, slowed_by=(), celsius=60):
    return GpuState(sm_mhz=mhz, temperature_c=celsius, power_w=300.0, slowed_by=slowed_by)


def test_a_gpu_that_is_slowed_down():
    states = [
        state(0, gpu=gpu_state()),
        state(1, gpu=gpu_state(slowed_by=("power cap",))),
        state(2, gpu=gpu_state(1700, ("power cap", "software thermal slowdown"), 86)),
        state(3, gpu=gpu_state(1600, ("power cap",), 88)),
    ]
    assert [text for *_, text in said(checks.of_states(states, 8))] == [
        "the GPU was slowed down by its power cap in 3 of 4 rounds",
        "the GPU was slowed down by its software thermal slowdown in 1 of 4 rounds, at up to 88 degrees Celsius",
        "the GPU's clock went from 1980 to 1600 MHz in the course of it",
    ]


def test_who_else_works_on_a_gpu():
    (found,) = checks.of_gpu(replace(GPU, process_ids=(7, 8)), own_ids=(7,))
    assert found.text == "other processes hold H100: 8"
    # In a container the numbers are the host's: one of them is this process, whichever.
    assert checks.of_gpu(replace(GPU, process_ids=(999,)), own_ids=(7,)) == []
    (found,) = checks.of_gpu(replace(GPU, busy_percent=40))
    assert "busy 40 %" in found.text
    (found,) = checks.of_gpu(replace(GPU, persistence=False))
    assert not found.is_warning


def test_a_gpu_that_is_about_too_hot():
    assert "at 83 degrees Celsius" in checks.near_limit(GPU, 83).text
    assert checks.near_limit(GPU, None) is None
    assert checks.near_limit(replace(GPU, slowdown_c=None), 99) is None
