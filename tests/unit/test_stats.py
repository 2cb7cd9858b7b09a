import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof import stats
from maskprof.serial import MedianErrors

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


def test_what_a_line_explains_does_not_depend_on_the_unit():
    # Residuals 1, -2, 1 sixtieths around a mean square of 0.0317 and more.
    line = stats.fit_line([1, 2, 3], [0.1, 0.2, 0.35])
    assert line.slope == pytest.approx(0.125)
    assert line.r2 == pytest.approx(1 - (6 / 120**2) / (0.125**2 * 2 + 6 / 120**2))


def test_two_points_lie_on_any_line_so_nothing_is_said_of_its_quality():
    line = stats.fit_line([1, 2], [1, 3])
    assert (line.slope, line.intercept) == pytest.approx((2.0, -1.0))
    assert (line.r2, line.slope_ci95, line.intercept_ci95) == (None, None, None)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([2, 2], [1, 2], "a line needs at least two different x, got one"),
        ([1], [1], "a line needs at least two different x, got one"),
        ([1, 2], [1], "a line needs two sequences of one length, got 2 and 1"),
        ([1, 2, 3], [1, math.nan, 3], "needs finite values, got nan"),
        ([1, math.inf, 3], [1, 2, 3], "needs finite values, got inf"),
    ],
)
def test_no_line_without_two_depths(x, y, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        stats.fit_line(x, y)


def test_paired_differences_take_out_what_a_pair_shares():
    drift = [0.0, 100.0, -50.0, 30.0, 70.0]
    found = stats.paired_difference([5.0 + d for d in drift], [3.0 + d for d in drift])
    assert found == stats.PairedDifference(median=2.0, ci95=(2.0, 2.0), pairs=5)
    assert stats.paired_difference([2.0], [1.0]).ci95 is None
    assert stats.paired_difference([1.0, 1.0], [2.0, 4.0]).median == -2.0
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
        ([(1, 0), (1, 0), (1, 0)], [1, 2, 3], "^3 points do not tell 2 coefficients apart$"),
        ([], [], "at least one"),
    ],
)
def test_no_fit_without_points_that_determine_it(rows, y, message):
    with pytest.raises(ValueError, match=message):
        stats.least_squares(rows, y)


def test_weights_are_as_many_as_coefficients():
    with pytest.raises(ValueError, match="needs 2 weights, got 1"):
        stats.least_squares([(1, 2), (1, 3)], [1, 2]).combination([1])


def test_the_points_own_errors_make_the_intervals():
    rows, y = [(1, 2), (1, 4)], [3.0, 7.0]
    assert stats.least_squares(rows, y).combination((0, 1)) == (pytest.approx(2.0), None)
    # Both points go up and down together by 1: the slope is certain, the intercept is not.
    together = MedianErrors(influences=np.array([[1.0, 1.0], [-1.0, -1.0]] * 10))
    fit = stats.least_squares(rows, y, together)
    assert fit.combination((0, 1))[1] == pytest.approx((2.0, 2.0))
    low, high = fit.combination((1, 0))[1]
    assert high - low == pytest.approx(2 * 1.959964 / math.sqrt(20))
    line = stats.fit_line([2, 4], y, together)
    assert (line.slope_ci95, line.intercept_ci95) == (pytest.approx((2.0, 2.0)), pytest.approx((low, high)))
