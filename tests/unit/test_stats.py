import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof import stats

values = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False, allow_subnormal=False)
samples = st.lists(values, min_size=1, max_size=40)


@given(samples)
@settings(max_examples=60, deadline=None)
def test_the_seven_statistics_are_numpys(data):
    described = stats.describe(data)
    for name, q in (("p50", 50), ("p95", 95), ("p99", 99)):
        assert getattr(described, name) == pytest.approx(np.percentile(data, q), abs=1e-9)
    assert described.mean == pytest.approx(np.mean(data))
    assert described.std == pytest.approx(np.std(data))
    assert (described.min, described.max) == (min(data), max(data))


def test_percentiles_interpolate_linearly_and_std_is_the_populations():
    described = stats.describe([1.0, 2.0, 3.0, 4.0])
    assert described.p50 == 2.5
    assert described.p95 == pytest.approx(3.85)
    assert described.std == pytest.approx(math.sqrt(1.25))


@given(st.lists(values, min_size=3, max_size=40))
@settings(max_examples=60, deadline=None)
def test_the_interval_contains_the_median_and_stays_within_the_samples(data):
    low, high = stats.median_interval(data)
    assert low <= np.median(data) <= high
    assert min(data) <= low
    assert high <= max(data)


@pytest.mark.parametrize("data", [[1.0], [1.0, 2.0]])
def test_two_samples_have_no_interval(data):
    assert stats.median_interval(data) is None
    assert stats.describe(data).p50_ci95 is None


def test_the_interval_is_the_same_every_time():
    data = list(np.random.default_rng(1).normal(10, 1, 30))
    assert stats.median_interval(data) == stats.median_interval(list(data))


def test_batches_of_draws_change_no_shape(monkeypatch):
    monkeypatch.setattr(stats, "_DRAWS_AT_ONCE", 100)
    low, high = stats.median_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert 1.0 <= low < 3.0 < high <= 5.0


def test_the_interval_holds_the_true_median_about_as_often_as_it_says():
    generator = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        low, high = stats.median_interval(generator.normal(5.0, 1.0, 25), resamples=400)
        hits += low <= 5.0 <= high
    assert 0.89 <= hits / 200 <= 0.99


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
    assert stats.student_t_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-5)


def test_students_t_at_other_probabilities():
    assert stats.student_t_quantile(0.5, 4) == pytest.approx(0.0, abs=1e-12)
    assert stats.student_t_quantile(0.95, 7) == pytest.approx(1.8946, abs=5e-5)
    with pytest.raises(ValueError, match="freedom"):
        stats.student_t_quantile(0.975, 0)


@given(
    slope=st.floats(-100, 100),
    intercept=st.floats(-100, 100),
    x=st.lists(st.integers(1, 80), min_size=2, max_size=30, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_a_line_through_points_of_a_line_is_that_line(slope, intercept, x):
    line = stats.fit_line(x, [intercept + slope * value for value in x])
    assert line.slope == pytest.approx(slope, abs=1e-6)
    assert line.intercept == pytest.approx(intercept, abs=1e-5)
    assert (line.slope_ci95 is None) == (len(x) == 2)


def test_a_line_and_its_intervals_are_the_textbooks():
    # Residuals -0.15 .. 0.225: worked by hand, t(0.975, 2) = 4.3027.
    line = stats.fit_line([1, 2, 3, 4], [1, 2, 3, 4.5])
    assert (line.slope, line.intercept) == pytest.approx((1.15, -0.25))
    deviation = math.sqrt(0.075 / 2)
    assert line.slope_ci95[1] - line.slope == pytest.approx(4.30265 * deviation / math.sqrt(5), rel=1e-5)
    reach = 4.30265 * deviation * math.sqrt(1 / 4 + 6.25 / 5)
    assert line.intercept - line.intercept_ci95[0] == pytest.approx(reach, rel=1e-5)
    assert line.r2 == pytest.approx(1 - 0.075 / 6.6875)


def test_a_level_line_explains_nothing_and_says_so():
    line = stats.fit_line([1, 2, 3], [0.1, 0.1, 0.1])
    assert line.r2 is None
    assert line.slope == pytest.approx(0.0)


@pytest.mark.parametrize(("x", "y"), [([2, 2], [1, 2]), ([1], [1]), ([1, 2], [1])])
def test_no_line_without_two_depths(x, y):
    with pytest.raises(ValueError, match="line needs"):
        stats.fit_line(x, y)


def test_paired_differences_take_out_what_a_pair_shares():
    drift = [0.0, 100.0, -50.0, 30.0, 70.0]
    found = stats.paired_difference([5.0 + d for d in drift], [3.0 + d for d in drift])
    assert found == stats.PairedDifference(median=2.0, ci95=(2.0, 2.0), pairs=5)
    assert stats.paired_difference([2.0], [1.0]).ci95 is None
    with pytest.raises(ValueError, match="one length"):
        stats.paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="at least one"):
        stats.paired_difference([], [])


def test_least_squares_with_two_columns_is_the_line():
    x, y = [1, 2, 3, 4], [1, 2, 3, 4.5]
    line, fit = stats.fit_line(x, y), stats.least_squares([(1, v) for v in x], y)
    assert fit.coefficients == pytest.approx((line.intercept, line.slope))
    assert fit.r2 == pytest.approx(line.r2)
    for weights, interval in (((1, 0), line.intercept_ci95), ((0, 1), line.slope_ci95)):
        assert fit.combination(weights)[1] == pytest.approx(interval)


@given(
    st.lists(st.floats(-100, 100), min_size=4, max_size=4),
    st.lists(st.integers(1, 64), min_size=2, max_size=4, unique=True),
    st.lists(st.integers(1, 2048), min_size=2, max_size=4, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_least_squares_finds_what_the_points_were_made_with(coefficients, depths, knobs):
    rows = [(1, b, k, b * k) for b in depths for k in knobs]
    y = [sum(c * v for c, v in zip(coefficients, row, strict=True)) for row in rows]
    fit = stats.least_squares(rows, y)
    for row, value in zip(rows, y, strict=True):
        assert fit.combination(row)[0] == pytest.approx(value, rel=1e-6, abs=1e-4)
    assert fit.freedom == len(rows) - 4
    assert (fit.covariance is None) == (len(rows) == 4)


def test_the_interval_of_a_combination_holds_its_value_about_as_often_as_it_says():
    generator = np.random.default_rng(3)
    rows = [(1, b, k, b * k) for b in (4, 8, 16) for k in (1, 2, 4)]
    weights, true = (0, 8, 0, 16), 8 * 2.0 + 16 * 0.25
    hits = 0
    for _ in range(300):
        y = [5 + 2 * b + 0.5 * k + 0.25 * bk + generator.normal() for _, b, k, bk in rows]
        low, high = stats.least_squares(rows, y).combination(weights)[1]
        hits += low <= true <= high
    assert 0.91 <= hits / 300 <= 0.98


@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [
        ([(1, 2)], [1], "do not tell"),
        ([(1, 2), (1, 2), (1, 2)], [1, 2, 3], "do not tell"),
        ([(1, 2), (1, 3)], [1], "one row per value"),
        ([1, 2], [1, 2], "one row per value"),
        ([], [], "at least one"),
    ],
)
def test_no_fit_without_points_that_determine_it(rows, y, message):
    with pytest.raises(ValueError, match=message):
        stats.least_squares(rows, y)


def test_weights_are_as_many_as_coefficients():
    with pytest.raises(ValueError, match="needs 2 weights, got 1"):
        stats.least_squares([(1, 2), (1, 3)], [1, 2]).combination([1])


def test_without_freedom_the_points_own_errors_count():
    rows, y = [(1, 2), (1, 4)], [3.0, 7.0]
    assert stats.least_squares(rows, y).combination((0, 1)) == (pytest.approx(2.0), None)
    value, interval = stats.least_squares(rows, y, (0.3, 0.4)).combination((0, 1))
    assert interval == pytest.approx((value - 1.959964 * 0.25, value + 1.959964 * 0.25))
    more, exact = [*rows, (1, 6)], [*y, 11.0]
    assert stats.least_squares(more, exact, (9, 9, 9)).combination((0, 1))[1] == pytest.approx((2.0, 2.0))


def test_the_standard_error_of_an_interval():
    assert stats.standard_error((1.0, 1.0 + 2 * 1.959964)) == pytest.approx(1.0)
