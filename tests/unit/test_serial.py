"""Intervals of medians from samples that follow each other; that they hold the truth is simulated."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof import serial, stats

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
values = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False, allow_subnormal=False)
series = st.lists(values, min_size=5, max_size=60)


@pytest.fixture
def simulated(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import simulated_machine

    yield simulated_machine
    sys.modules.pop("simulated_machine", None)


@given(series)
@settings(max_examples=60, deadline=None)
def test_the_interval_contains_the_median_and_stays_within_the_samples(data):
    low, high = serial.median_interval(data)
    assert min(data) <= low <= np.median(data) <= high <= max(data)


@given(series)
@settings(max_examples=60, deadline=None)
def test_time_backwards_gives_the_same_interval(data):
    forwards, backwards = serial.median_interval(data), serial.median_interval(data[::-1])
    assert forwards == pytest.approx(backwards, rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(-1000, 1000), min_size=5, max_size=60), st.sampled_from((0.25, 2.0, 1024.0)))
@settings(max_examples=60, deadline=None)
def test_the_unit_does_not_matter(data, factor):
    low, high = serial.median_interval(data)
    assert serial.median_interval([factor * value for value in data]) == (factor * low, factor * high)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_below_five_samples_there_is_no_interval(count):
    assert serial.median_interval([1.0] * count) is None
    assert serial.effective_samples([1.0] * count) is None
    assert stats.describe([1.0] * count).p50_ci95 is None
    assert serial.median_errors([range(5), range(count)], [[1.0] * 5, [1.0] * count]) is None


def test_five_samples_give_their_range():
    assert serial.median_interval([3.0, 1.0, 5.0, 2.0, 4.0]) == (1.0, 5.0)


def test_no_values():
    with pytest.raises(ValueError, match="at least one"):
        serial.median_interval([])


def test_equal_values_leave_no_doubt():
    assert serial.median_interval([2.5] * 20) == (2.5, 2.5)
    assert serial.effective_samples([2.5] * 20) == pytest.approx(20.0)


def test_how_far_an_outlier_lies_does_not_matter():
    data = [float(value) for value in np.random.default_rng(1).normal(10, 1, 50)]
    data[20] = 100.0
    far = [*data[:20], 1e9, *data[21:]]
    assert serial.median_interval(data) == serial.median_interval(far)


def test_neighbours_that_are_alike_widen_the_interval_and_a_shuffle_would_hide_it():
    alike = [10.0 + math.sin(number / 4) for number in range(50)]
    mixed = list(np.random.default_rng(3).permutation(alike))
    low, high = serial.median_interval(alike)
    narrower = serial.median_interval(mixed)
    assert low < narrower[0] < narrower[1] < high
    assert serial.effective_samples(alike) < 20 < serial.effective_samples(mixed)
    # The order means nothing where it is known to mean nothing.
    assert serial.median_interval(alike, independent=True) == serial.median_interval(mixed, independent=True)


def test_neighbours_that_alternate_do_not_narrow_it():
    # The median lies between the 25th and the 26th of 50, the bounds 50 * 0.98 / sqrt(50) = 6.93 of them away.
    alternating = [float(value) for pair in zip(range(1, 26), range(26, 51), strict=True) for value in pair]
    assert serial.median_interval(alternating) == pytest.approx((25.5 - 6.929519, 25.5 + 6.929519))
    assert serial.effective_samples(alternating) == pytest.approx(50.0)


def test_a_steady_drift_is_not_taken_for_chance():
    # Of a straight line nothing is left after the trend is taken out but the step at the median.
    assert serial.effective_samples([float(number) for number in range(200)]) > 20


def test_errors_of_medians_move_together_by_round():
    shared = list(np.random.default_rng(5).normal(size=40))
    twice = [2 * value for value in shared]
    errors = serial.median_errors([range(40)] * 2, [shared, twice])
    assert errors.reach((2.0, -1.0)) == pytest.approx(0.0, abs=1e-12)
    assert errors.reach((1.0, 1.0)) == pytest.approx(3 * errors.reach((1.0, 0.0)))


def test_errors_of_one_median_are_about_its_interval():
    data = list(np.random.default_rng(5).normal(size=200))
    low, high = serial.median_interval(data)
    reach = serial.median_errors([range(200)], [data]).reach((1.0,))
    assert 2 * reach == pytest.approx(high - low, rel=0.35)


def test_rounds_that_a_series_lacks_do_not_shift_the_others():
    generator = np.random.default_rng(6)
    whole, part = list(generator.normal(size=40)), list(generator.normal(size=20))
    errors = serial.median_errors([range(40), range(20, 40)], [whole, part])
    assert errors.influences.shape == (40, 2)
    assert not errors.influences[:20, 1].any()
    assert errors.influences[20:, 1].all()
    alone = serial.median_errors([range(40)], [whole])
    assert errors.reach((1.0, 0.0)) == pytest.approx(alone.reach((1.0,)))


def test_rounds_and_series_must_match():
    with pytest.raises(ValueError, match="one round for each"):
        serial.median_errors([range(5)], [[1.0] * 6])
    with pytest.raises(ValueError, match="one round for each"):
        serial.median_errors([range(5)], [])


@pytest.mark.parametrize(("rounds", "least", "most"), [(20, 0.92, 0.98), (50, 0.93, 0.97)])
@pytest.mark.parametrize("name", ["quiet", "shared", "loaded"])
def test_intervals_hold_the_truth_as_often_as_they_say(simulated, name, rounds, least, most):
    machine = next(machine for machine in simulated.MACHINES if machine.name == name)
    runs = simulated.simulate(machine, experiments=1000, rounds=rounds, configurations=6, seed=11)
    depths = np.arange(1.0, 7.0)
    own_ms = 10.0 + 5.0 * depths
    factors = simulated.true_factors(machine, runs.drift[:, :, 0])
    difference = simulated.true_difference(machine, own_ms[1] + 0.3, own_ms[1])
    held = {"median": 0, "difference": 0, "slope": 0}
    for run, factor in enumerate(factors):
        masked = own_ms * np.exp(runs.masked[run])
        low, high = serial.median_interval(masked[:, 0])
        held["median"] += low <= own_ms[0] * factor <= high
        pairs = (
            (own_ms[1] + 0.3) * np.exp(runs.masked[run, :, 1]),
            own_ms[1] * np.exp(runs.removed[run, :, 1]),
        )
        low, high = stats.paired_difference(*pairs).ci95
        held["difference"] += low <= difference <= high
        errors = serial.median_errors([range(rounds)] * 6, list(masked.T))
        low, high = stats.fit_line(depths, np.median(masked, axis=0), errors).slope_ci95
        held["slope"] += low <= 5.0 * factor <= high
    assert {
        what: round(count / 1000, 3) for what, count in held.items() if not least <= count / 1000 <= most
    } == {}


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (4, 2.7764),
        (5, 2.5706),
        (10, 2.2281),
        (30, 2.0423),
        (120, 1.9799),
    ],
)
def test_students_t_is_that_of_printed_tables(freedom, quantile):
    assert serial.student_t_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-5)


def test_students_t_at_other_probabilities():
    assert serial.student_t_quantile(0.5, 4) == pytest.approx(0.0, abs=1e-12)
    assert serial.student_t_quantile(0.95, 7) == pytest.approx(1.8946, abs=5e-5)
    with pytest.raises(ValueError, match="freedom"):
        serial.student_t_quantile(0.975, 0)
