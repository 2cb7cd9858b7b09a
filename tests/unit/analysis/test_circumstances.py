from dataclasses import replace

import pytest

from maskprof.analysis.circumstances import findings, round_effects
from maskprof.analysis.summary import summarize
from maskprof.results.circumstances import MachineState, Sitting, Warmup
from tests.support.results import make_configuration, make_sample

FOUR, EIGHT = make_configuration(4), make_configuration(8)
SETTLED = Sitting(warmup=Warmup(rounds=3, changed_at=0, ended="settled", round_ms=(9.0,) * 3), states=())


def samples_of(effects, configurations=(FOUR, EIGHT)):
    return [
        replace(make_sample(c, number), total_ms=100.0 * c.num_active_blocks * effect)
        for number, effect in enumerate(effects)
        for c in configurations
    ]


def said(effects=(), sittings=(SETTLED,), environment=None):
    samples = samples_of(effects)
    summaries = [summarize(c, samples) for c in (FOUR, EIGHT)] if samples else []
    return findings(environment or {"cpu_count": 2}, sittings, samples, summaries)


def test_nothing_is_said_of_a_run_that_went_well():
    assert said([1.0, 1.01, 0.99, 1.0, 1.02, 0.98] * 5) == ()
    assert said() == ()


def test_rounds_compared_with_what_is_usual():
    assert round_effects(samples_of([1.0, 1.0, 1.5])) == pytest.approx([1.0, 1.0, 1.5])
    reference = replace(make_sample(FOUR, 9, reference=True), total_ms=1e9)
    assert round_effects([*samples_of([1.0]), reference]) == [1.0]


def test_a_warm_up_that_did_not_settle():
    unsettled = replace(SETTLED, warmup=Warmup(rounds=10, changed_at=8, ended="cap", round_ms=(1.0,) * 10))
    (found,) = said([1.0, 1.01] * 10, sittings=(unsettled,))
    assert (found.topic, found.is_warning) == ("warm-up", True)
    assert "still changed after 10 rounds" in found.text


def test_measured_rounds_that_were_still_warming_up():
    (found,) = said([1.5, 1.3, 1.2, *[1.0, 1.01, 0.99] * 9])
    assert found.text == "the first 3 measured rounds were 30% slower than the others"
    assert found.advice == "--num_warmup 6 or more"


def test_a_machine_that_becomes_slower():
    found = {finding.topic: finding for finding in said([1.0 + number / 100 for number in range(40)])}
    assert "slower in the course of the run" in found["drift"].text


def test_neighbours_that_are_alike():
    found = {
        finding.topic: finding for finding in said([*[1.0] * 20, *[1.2] * 20, *[1.0] * 20, *[1.21] * 20])
    }
    assert "80 of them tell about as much as" in found["samples"].text


def test_what_the_machine_did_and_how_it_is_set():
    busy = MachineState(
        round=0, cpu_mhz=None, probe_us=1.0, others_share=0.5, stolen_share=0.0, load=3.0, gpu=None
    )
    processor = {
        **{"name": "cpu", "logical": 2, "physical": 1, "usable": 2, "quota": None, "governors": []},
        **{"turbo": True, "virtual": True, "max_mhz": None, "memory_bytes": None},
        **{"memory_free_bytes": None, "thread_variables": {}},
    }
    environment = {"cpu_count": 2, "threads": 2, "processor": processor}
    found = said(sittings=(replace(SETTLED, states=(busy,)),) * 2, environment=environment)
    assert [finding.text for finding in found] == [
        "torch computes with 2 threads on 1 cores: two of them share a core",
        "other processes kept 1.0 of 2 processors busy meanwhile",
    ]


BUSY = MachineState(round=0, cpu_mhz=None, probe_us=1.0, others_share=0.5, stolen_share=0.0, load=3.0)


def several_sittings(effects, sittings):
    """One list of effects per sitting, rounds counted on."""
    samples = samples_of([effect for own in effects for effect in own])
    numbers = [number for number, own in enumerate(effects, start=1) for _ in own]
    samples = [replace(sample, sitting=numbers[sample.round]) for sample in samples]
    return findings({"cpu_count": 2}, sittings, samples, [])


def test_a_run_of_several_sittings_says_so_and_of_each_what_was_wrong():
    at = [{"cpu_count": 2, "time": f"2026-11-2{day}T10:15:30+00:00"} for day in (4, 5)]
    unsettled = Warmup(rounds=10, changed_at=8, ended="cap", round_ms=(1.0,) * 10)
    found = several_sittings(
        ([1.0, 1.01] * 3, [1.01, 1.0] * 4),
        (
            replace(SETTLED, environment=at[0], states=(BUSY,)),
            Sitting(number=2, environment=at[1], warmup=unsettled, states=(BUSY,)),
            Sitting(number=3, environment=at[1], warmup=None, states=()),
        ),
    )
    told = (
        "sitting 1, begun 2026-11-24 10:15, with 12 samples; sitting 2",
        "begun 2026-11-25 10:15",
        "with 16 samples",
    )
    assert [(finding.topic, finding.is_warning, finding.text) for finding in found] == [
        ("load", True, "in sittings 1 and 2, other processes kept 1.0 of 2 processors busy meanwhile"),
        (
            *("warm-up", True),
            "in sitting 2, times still changed after 10 rounds, and measuring began before they had settled",
        ),
        (
            *("sittings", False),
            *(f"measured in 2 sittings, by --resume: {', '.join(told)}",),
        ),
    ]


def test_many_sittings_are_counted():
    sittings = [
        replace(SETTLED, number=n, environment={"time": f"2026-11-24T1{n}:00:00+00:00"}) for n in range(1, 7)
    ]
    (found,) = several_sittings([[1.0]] * 6, sittings)
    assert found.text == ("measured in 6 sittings, by --resume, begun 2026-11-24 11:00 to 2026-11-24 16:00")


def test_sittings_of_which_nothing_was_kept():
    (found,) = several_sittings(([1.0], [1.0]), (replace(SETTLED, number=2),))
    assert found.text == (
        "measured in 2 sittings, by --resume: sitting 1 with 2 samples; sitting 2 with 2 samples"
    )


def test_a_sitting_on_a_slower_machine():
    found = several_sittings(([1.0, 1.01] * 6, [1.2, 1.21] * 6), (SETTLED, replace(SETTLED, number=2)))
    drift = [finding for finding in found if finding.topic == "drift"]
    assert [finding.text for finding in drift] == ["sitting 2 ran 20% slower than sitting 1"]


def test_the_processes_of_one_sitting_are_one():
    stretches = [replace(SETTLED, configuration=c.name, states=(BUSY,)) for c in (FOUR, EIGHT)]
    (found,) = said([1.0, 1.01] * 3, sittings=stretches)
    assert found.text == "other processes kept 1.0 of 2 processors busy meanwhile"
