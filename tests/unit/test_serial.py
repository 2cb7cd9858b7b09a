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


OF_ONE_SERIES = [
    serial.median_interval,
    serial.lower_quartile,
    serial.effective_samples,
    lambda series: serial.change_point(series, 0.1),
    lambda series: serial.median_errors([range(len(series))], [series]),
    stats.describe,
]


@pytest.mark.parametrize("function", [*OF_ONE_SERIES[:4], stats.describe])
def test_no_values(function):
    with pytest.raises(ValueError, match=r"^needs at least one value, got none$"):
        function([])


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("function", OF_ONE_SERIES)
def test_a_value_that_is_not_finite_is_named_not_computed_with(function, odd):
    with pytest.raises(ValueError, match=f"^needs finite values, got {odd}$"):
        function([1.0, 2.0, odd, math.nan, 3.0, 4.0])


def test_whole_numbers_are_computed_with_as_floats_however_large():
    found = serial.finite_series([2**70, 1])
    assert found.dtype == np.float64
    assert found.tolist() == [float(2**70), 1.0]


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


def test_of_five_samples_the_effective_number_is_worked_by_hand():
    # Above the median: -, +, 0, +, -, without mean or trend, so all of their 4 / 4 is in the 3 oscillations: a
    # long-run variance of 1/3 beside one of 1/5.
    assert serial.effective_samples([1.0, 4.0, 3.0, 5.0, 2.0]) == pytest.approx(3.0)


def test_samples_equal_to_the_median_count_as_neither_above_nor_below():
    # 0, 1/2, 0, 1/2, 0 varies by 0.06 around its mean of 0.2; in the 3 oscillations are 0.5 - 5 * 0.2 ** 2 = 0.3.
    assert serial.effective_samples([1.0, 2.0, 1.0, 2.0, 1.0]) == pytest.approx(5 * 0.06 / 0.1)


@pytest.mark.parametrize(("length", "count"), [(5, 3), (30, 3), (50, 4), (216, 11), (1000, 30)])
def test_the_oscillations_are_the_slowest_cosines_without_mean_and_trend(length, count):
    oscillations = serial.slowest_oscillations(length)
    assert oscillations.shape == (count, length)
    assert oscillations @ oscillations.T == pytest.approx(np.eye(count), abs=1e-9)
    assert oscillations.sum(axis=1) == pytest.approx(np.zeros(count), abs=1e-9)
    assert oscillations @ np.arange(length) == pytest.approx(np.zeros(count), abs=1e-6)
    # Together with mean and trend they make up each of so many cosines, but not the next one.
    middle = np.arange(length) + 0.5
    known = np.vstack([oscillations, np.full(length, length**-0.5)])
    trend = middle - middle.mean()
    known = np.vstack([known, trend / np.linalg.norm(trend)])
    left = [
        np.linalg.norm(cosine - known.T @ (known @ cosine)) / np.linalg.norm(cosine)
        for cosine in (
            np.cos(np.pi * number * middle / length) for number in range(1, min(count + 2, length))
        )
    ]
    assert left[:count] == pytest.approx([0.0] * count, abs=1e-9)
    assert length == 5 or left[count] > 0.5


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


def test_a_round_moves_a_median_by_half_over_the_density_there():
    # The interval of five is their range, 4 wide, which holds 2 * 0.98 / sqrt(5) of the distribution.
    (influences,) = serial.median_errors([range(5)], [[1.0, 2.0, 3.0, 4.0, 5.0]]).influences.T
    moved = 4 / (4 * 0.979982 / math.sqrt(5))
    assert influences == pytest.approx([-moved, -moved, 0.0, moved, moved], rel=1e-6)


def test_several_values_of_one_round_move_the_median_together():
    apart = serial.median_errors([range(8)], [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]).influences[:, 0]
    rounds = [0, 1, 2, 3, 4, 5, 6, 6]
    together = serial.median_errors([rounds], [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]).influences[:, 0]
    expected = [*apart[:6], apart[6] + apart[7]]
    assert together == pytest.approx([value * 7 / 8 for value in expected])


def test_a_median_among_equal_values_is_certain():
    errors = serial.median_errors([range(6)] * 2, [[3.0] * 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    assert errors.influences[:, 0].tolist() == [0.0] * 6
    assert errors.reach((1.0, 0.0)) == 0.0


def test_fewer_than_five_rounds_tell_nothing_of_what_they_share():
    data = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert serial.median_errors([[0, 0, 1, 1, 2, 3]], [data]) is None
    assert serial.median_errors([[0, 0, 1, 2, 3, 4]], [data]) is not None
    assert serial.median_errors([], []) is None


@pytest.mark.parametrize(
    ("rounds", "series"), [([range(5)], [[1.0] * 6]), ([range(5)], []), ([], [[1.0] * 5])]
)
def test_rounds_and_series_must_match(rounds, series):
    with pytest.raises(ValueError, match=r"^each series needs one round for each of its values$"):
        serial.median_errors(rounds, series)


def test_the_lower_quartile_and_its_interval():
    data = [float(value) for value in np.random.default_rng(8).permutation(400)]
    quartile, (low, high) = serial.lower_quartile(data)
    assert quartile == pytest.approx(99.5)
    # Independent: 1.96 * sqrt(1/4 * 3/4 / 400) of 400, which is 17, or more.
    assert low <= 99.5 - 16.9
    assert high >= 99.5 + 16.9
    wider = serial.lower_quartile(data, confidence=0.999)[1]
    assert wider[0] < low < high < wider[1]
    assert serial.lower_quartile(data[:19])[1] is None
    assert serial.lower_quartile([1.0, 2.0]) == (1.0, None)
    # However slow the slower half is.
    slow = [value if value < 200 else value * 1000 for value in data]
    assert serial.lower_quartile(slow) == (quartile, (low, high))


def spread(low, high):
    """20 values, every fourth of which is a low one, so that no part of the series has more of them."""
    low, high = list(low), list(high)
    return [float(low.pop() if number % 4 == 2 else high.pop()) for number in range(20)]


def test_of_twenty_the_quartiles_interval_is_the_first_and_that_of_independent_ones():
    # 20 * 1.959964 * sqrt(1/4 * 3/4 / 20) places on either side, a quarter of them being at 4.5.
    data = spread(range(5), range(5, 20))
    quartile, interval = serial.lower_quartile(data)
    assert quartile == 4.5
    places = 20 * 1.959964 * math.sqrt(3 / 16 / 20)
    assert interval == pytest.approx((4.5 - places, 4.5 + places), rel=1e-6)
    assert serial.lower_quartile(data[:19])[1] is None


def test_equal_values_at_the_quartile_do_not_narrow_its_interval():
    # Two below and one above 17 equal ones: as shares of 20, the bounds lie at 0.06, among the two, and at 0.44.
    data = [1.0] * 20
    data[5], data[14], data[10] = 0.0, 0.0, 2.0
    assert serial.lower_quartile(data) == (1.0, (0.0, 1.0))


@pytest.mark.parametrize(
    ("series", "tolerance", "start"),
    [
        ([5.0], 0.02, 0),
        ([10.0, 1.0], 0.02, 0),
        ([9.0, 1.0, 1.0], 0.02, 1),
        ([9.0, 5.0, 1.0, 1.0], 0.02, 2),
        ([1.0, 1.0, 1.0, 1.0], 0.02, 0),
        # (3/64 + 1/4) / 4 is less than 1/4 / 3: leaving the first out would not pay.
        ([0.5, 0.0, 0.0, 0.0], 0.5, 0),
        ([0.5, 0.0, 0.0, 0.0], 0.3, 1),
    ],
)
def test_what_is_left_out_is_a_beginning_that_differs_by_more_than_is_tolerated(series, tolerance, start):
    assert serial.change_point(series, tolerance) == start


def test_the_lower_quartiles_interval_holds_the_truth():
    generator = np.random.default_rng(9)
    truth = math.log(4 / 3)
    held = 0
    for _ in range(500):
        low, high = serial.lower_quartile(generator.exponential(size=200))[1]
        held += low <= truth <= high
    assert 0.93 <= held / 500 <= 0.99


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
    assert serial.student_t_quantile(0.9995, 1) == pytest.approx(636.619, rel=1e-6)


@pytest.mark.parametrize(
    ("probability", "freedom"), [(0.975, 0), (0.499, 3), (1.0, 3), (1.5, 3), (math.nan, 3)]
)
def test_students_t_is_for_upper_probabilities_and_some_freedom(probability, freedom):
    message = f"^needs 0.5 <= probability < 1 and freedom >= 1, got {probability} and {freedom}$"
    with pytest.raises(ValueError, match=message):
        serial.student_t_quantile(probability, freedom)
