from dataclasses import replace

import pytest

from maskprof.analysis.circumstances import findings, round_effects
from maskprof.analysis.summary import summarize
from maskprof.counted_nouns import count
from maskprof.results.circumstances import Finding, MachineState, Sitting, Warmup
from tests.support.results import make_configuration, make_sample

FOUR, EIGHT = make_configuration(4), make_configuration(8)
PROCESSOR = {
    **{"name": "cpu", "logical": 2, "physical": 1, "usable": 2, "quota": None, "governors": []},
    **{"turbo": True, "virtual": True, "max_mhz": None, "memory_bytes": None},
    **{"memory_free_bytes": None, "thread_variables": {}},
}
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
    # In the order of rounds, whatever that of the samples; of two configurations the middle between both.
    assert round_effects(samples_of([2.0, 1.0, 1.0])[::-1]) == pytest.approx([2.0, 1.0, 1.0])
    halves = [*samples_of([1.0, 1.0, 3.0], (FOUR,)), *samples_of([1.0, 1.0, 1.0], (EIGHT,))]
    assert round_effects(halves) == pytest.approx([1.0, 1.0, 2.0])
    # However short they are.
    short = [replace(sample, total_ms=sample.total_ms / 1000) for sample in samples_of([1.0, 1.0, 1.5])]
    assert round_effects(short) == pytest.approx([1.0, 1.0, 1.5])


def test_rounds_that_take_no_time_are_as_usual():
    assert round_effects([replace(sample, total_ms=0.0) for sample in samples_of([1.0, 1.0])]) == [1.0, 1.0]


def test_a_warm_up_that_did_not_settle():
    unsettled = replace(SETTLED, warmup=Warmup(rounds=10, changed_at=8, ended="cap", round_ms=(1.0,) * 10))
    assert said([1.0, 1.01] * 10, sittings=(SETTLED, unsettled)) == (
        Finding(
            topic="warm-up",
            is_warning=True,
            text="times still changed after 10 rounds, and measuring began before they had settled",
            advice="a larger --num_warmup, on a quieter machine",
        ),
    )


def test_a_single_round_and_a_single_sample_are_named_as_one():
    (found,) = said([1.5, *[1.0, 1.01, 0.99] * 9])
    assert found.text == "the first measured round was 50 % slower than the others"
    assert count(1, "sample") == "1 sample"
    assert count(0, "sample") == "0 samples"


def test_measured_rounds_that_were_still_warming_up():
    assert said([1.5, 1.3, 1.2, *[1.0, 1.01, 0.99] * 9]) == (
        Finding(
            topic="warm-up",
            is_warning=True,
            text="the first 3 measured rounds were 30 % slower than the others",
            advice="--num_warmup 6 or more",
        ),
    )


@pytest.mark.parametrize(
    ("effects", "is_said"),
    [
        ([1.3, *[1.0] * 11], True),
        ([1.3, *[1.0] * 10], False),  # 11 rounds are too few to tell
        ([1.05, *[1.0] * 11], False),  # no more than 5 %
        ([0.7, *[1.0] * 11], False),  # faster ones have nothing to do with warming up
        ([*[1.3] * 6, *[1.0] * 6], False),  # half of all is no beginning
        ([*[1.3] * 5, *[1.0] * 7], True),
    ],
)
def test_warming_up_is_a_slow_beginning_of_a_long_enough_run(effects, is_said):
    assert ("warm-up" in {finding.topic for finding in said(effects)}) == is_said


def test_how_much_slower_the_beginning_was_is_a_share_of_the_rest():
    # 1.3 / 0.98; the median of all is 1.
    (found,) = (f for f in said([*[1.3] * 5, *[0.98] * 4, *[1.0] * 3]) if f.topic == "warm-up")
    assert found.text == "the first 5 measured rounds were 33 % slower than the others"


def test_a_few_stalls_in_a_row_do_not_hide_that_most_rounds_have_changed():
    first = [*[0.9] * 6, *[1.1] * 5, *[0.9] * 9]
    last = [*[1.1] * 9, *[0.9] * 5, *[1.1] * 6]
    (found,) = (f for f in said([*first, *[1.0] * 20, *last]) if f.topic == "drift")
    assert found.text == "the machine became 22 % slower in the course of the run"


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        # The middle third is between both, so that the usual round is one of it.
        ([0.90, 0.91, 0.90, 0.89], [1.08, 1.07, 1.08, 1.09], "20 % slower"),
        ([1.08, 1.07, 1.08, 1.09], [0.90, 0.91, 0.90, 0.89], "17 % faster"),
        ([0.99, 0.98, 0.98, 0.97], [1.01, 1.02, 1.02, 1.01], None),  # apart, but by less than 5 %
        ([0.90, 0.91, 0.90, 1.10], [1.08, 1.07, 1.08, 0.89], None),  # more than 5 %, but not apart
        ([0.90, 0.90, 0.90, 1.00], [1.00, 1.08, 1.08, 1.08], None),  # they touch
        ([1.00, 1.08, 1.08, 1.08], [0.90, 0.90, 0.90, 1.00], None),
    ],
)
def test_a_machine_that_changes_from_the_first_third_to_the_last(first, last, text):
    found = [finding for finding in said([*first, *[1.0] * 4, *last]) if finding.topic == "drift"]
    assert found == [
        Finding(
            topic="drift",
            is_warning=True,
            text=f"the machine became {text} in the course of the run",
            advice="compare within this run, not with others",
        )
        for _ in range(text is not None)
    ]


def test_a_machine_that_changes_in_few_rounds_is_not_known_to_drift():
    assert "drift" not in {finding.topic for finding in said([*[0.8] * 4, *[1.0] * 3, *[1.2] * 4])}


def test_neighbours_that_are_alike():
    found = {
        finding.topic: finding for finding in said([*[1.0] * 20, *[1.2] * 20, *[1.0] * 20, *[1.21] * 20])
    }
    assert "80 of them tell about as much as" in found["samples"].text


@pytest.mark.parametrize(
    ("effective", "text"),
    [
        # Below a quarter of five: most of the configurations, and the middle one of those.
        ((1.0, 0.2, 1.1), "1 independent ones (first-04-of-16)"),
        ((1.0, 0.6, 4.0), "1 independent ones (first-04-of-16)"),
        ((1.0, 4.0, 4.0), None),
        ((1.0, 1.25, None), None),  # half of those that tell anything
        ((1.0, None, None), "1 independent ones (first-04-of-16)"),
        ((None, None, None), None),
    ],
)
def test_neighbours_are_alike_where_most_configurations_say_so(effective, text):
    configurations = (FOUR, EIGHT, make_configuration(12))
    samples = samples_of([1.0] * 5, configurations)
    summaries = [
        replace(found, total=replace(found.total, effective_samples=number))
        for found, number in zip((summarize(c, samples) for c in configurations), effective, strict=True)
    ]
    start = "neighbouring samples are alike: 5 of them tell about as much as"
    assert findings({}, (), samples, summaries) == tuple(
        Finding(
            topic="samples",
            is_warning=True,
            text=f"{start} {text}",
            advice="more --num_samples; the intervals are wider for it already",
        )
        for _ in range(text is not None)
    )


def test_what_the_machine_did_and_how_it_is_set():
    busy = MachineState(
        round=0, cpu_mhz=None, probe_us=1.0, others_share=0.5, stolen_share=0.0, load=3.0, gpu=None
    )
    environment = {"cpu_count": 2, "threads": 2, "processor": PROCESSOR}
    found = said(sittings=(replace(SETTLED, states=(busy,)),) * 2, environment=environment)
    assert [finding.text for finding in found] == [
        "torch computes with 2 threads on 1 core: two of them share a core",
        "other processes kept 1.0 of 2 processors busy meanwhile",
    ]
    # Where nobody said how many processors there are, one is assumed.
    (found,) = said(sittings=(replace(SETTLED, states=(busy,)),), environment={"processor": None})
    assert found.text == "other processes kept 0.5 of 1 processor busy meanwhile"


def test_another_process_on_the_gpu():
    gpu = {
        **{"name": "H100", "driver": None, "max_sm_mhz": None, "persistence": False},
        **{"slowdown_c": None, "process_ids": (7, 9), "busy_percent": None},
    }
    (found,) = said(environment={"gpu": gpu, "process_ids": (7,)})
    assert found.text == "other processes hold H100: 9"
    (found,) = said(environment={"gpu": gpu})
    assert found.text == "other processes hold H100: 7, 9"
    assert [
        finding.topic for finding in said(environment={"gpu": gpu, "processor": PROCESSOR, "threads": 2})
    ] == [
        "threads",
        "load",
    ]


def test_what_the_machine_did_comes_before_how_the_run_went():
    states = tuple(
        MachineState(
            round=number, cpu_mhz=None, probe_us=1.0, others_share=0.5, stolen_share=0.0, load=3.0, gpu=None
        )
        for number in range(3)
    )
    found = said([*[1.3] * 3, *[1.0] * 20], sittings=(replace(SETTLED, states=states),))
    assert [finding.topic for finding in found] == ["load", "warm-up"]


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
    assert [finding.text for finding in drift] == ["sitting 2 ran 20 % slower than sitting 1"]


def test_the_processes_of_one_sitting_are_one():
    stretches = [replace(SETTLED, configuration=c.name, states=(BUSY,)) for c in (FOUR, EIGHT)]
    # Of all of them, or of the first.
    for own in (stretches, [stretches[0], replace(stretches[1], states=())]):
        (found,) = said([1.0, 1.01] * 3, sittings=own)
        assert found.text == "other processes kept 1.0 of 2 processors busy meanwhile"


def drifts(effects):
    sittings = [replace(SETTLED, number=number + 1) for number in range(len(effects))]
    return [finding for finding in several_sittings(effects, sittings) if finding.topic == "drift"]


def test_each_sitting_is_compared_with_the_first_of_enough_rounds():
    first, faster, slower = (
        [1.0, 1.01, 0.99, 1.0, 1.0],
        [0.9, 0.91, 0.89, 0.9, 0.9],
        [1.5, 1.51, 1.49, 1.5, 1.5],
    )
    assert drifts([[7.0] * 4, first, [9.0] * 4, faster, first, slower]) == [
        Finding(
            topic="drift",
            is_warning=True,
            text=f"sitting {number} ran {change} than sitting 2",
            advice="measure in one sitting what is to be compared closely",
        )
        for number, change in ((4, "10 % faster"), (6, "50 % slower"))
    ]


def test_where_no_sitting_stands_out_drift_is_looked_for_over_all():
    (found,) = drifts([[0.9, 0.91, 0.9, 0.89], [1.0, 1.0, 1.0, 1.0], [1.08, 1.07, 1.08, 1.09]])
    assert found.text == "the machine became 20 % slower in the course of the run"
    assert drifts([[1.0] * 6, [1.01] * 6]) == []


def test_the_whole_run_has_no_drift_where_a_sitting_stands_out():
    (found,) = drifts([[1.0] * 10, [1.3] * 10])
    assert found.text == "sitting 2 ran 30 % slower than sitting 1"


def test_reference_samples_are_of_no_sitting_that_is_compared():
    samples = [replace(sample, sitting=1 + sample.round // 5) for sample in samples_of([1.0] * 5 + [1.2] * 5)]
    # The rounds of the reference go on by themselves; its sitting is not that of the same round of others.
    references = [replace(make_sample(FOUR, number, reference=True), sitting=2) for number in range(10)]
    found = findings({}, (), [*samples, *references], [])
    assert "sitting 2 ran 20 % slower than sitting 1" in {finding.text for finding in found}


def test_sittings_are_listed_up_to_four():
    def told(*times):
        sittings = [
            replace(SETTLED, number=number + 1, environment={"time": time} if time else {})
            for number, time in enumerate(times)
        ]
        (found,) = several_sittings([[1.0]] * len(times), sittings)
        return found

    early, late = "2026-11-24T10:00:59+00:00", "2026-11-25T09:30:00+00:00"
    assert told(early, None, None, late) == Finding(
        topic="sittings",
        is_warning=False,
        text="measured in 4 sittings, by --resume: sitting 1, begun 2026-11-24 10:00, with 2 samples; sitting 2 with "
        "2 samples; sitting 3 with 2 samples; sitting 4, begun 2026-11-25 09:30, with 2 samples",
    )
    assert told(None, early, late, None, None).text == (
        "measured in 5 sittings, by --resume, begun 2026-11-24 10:00 to 2026-11-25 09:30"
    )
    assert told(*[None] * 5).text == "measured in 5 sittings, by --resume"
    assert told(7, None).text == (
        "measured in 2 sittings, by --resume: sitting 1 with 2 samples; sitting 2 with 2 samples"
    )


def test_what_was_seen_in_three_sittings():
    sittings = [replace(SETTLED, number=number, states=(BUSY,)) for number in (1, 2, 3)]
    found, _ = several_sittings([[1.0]] * 3, sittings)
    assert found.text == "in sittings 1, 2 and 3, other processes kept 1.0 of 2 processors busy meanwhile"


def test_a_sitting_whose_environment_was_not_kept_had_that_of_the_run():
    environment = {"cpu_count": 4, "threads": 2, "processor": PROCESSOR}
    sittings = [replace(SETTLED, states=(BUSY,)), replace(SETTLED, number=2, environment={"cpu_count": 8})]
    found = findings(environment, (sittings[0],), (), ())
    assert [finding.text for finding in found] == [
        "torch computes with 2 threads on 1 core: two of them share a core",
        "other processes kept 2.0 of 4 processors busy meanwhile",
    ]
    # Without samples the last sitting is what there is to tell of, and without sittings the run's own.
    assert findings(environment, [sittings[0], *sittings], (), ()) == ()
    assert [finding.topic for finding in findings(environment, (), (), ())] == ["threads"]
