import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.reports.charts.scales import Scale, counts, linear, logarithmic, nice_step, tick_labels

numbers = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


def test_a_scale_maps_its_ends_to_its_pixels():
    scale = Scale(low=0, high=10, start=300, end=20)
    assert [scale(value) for value in (0, 5, 10)] == [300, 160, 20]


def test_a_span_of_nothing_is_the_middle():
    assert Scale(low=3, high=3, start=0, end=100)(3) == 50


def test_a_logarithmic_scale_has_equal_steps_per_power():
    scale = logarithmic([0.02, 300], 0, 500)
    assert scale.ticks == pytest.approx((0.01, 0.1, 1, 10, 100, 1000))
    assert scale(1) == pytest.approx(200)
    assert tick_labels(scale) == ["0.01", "0.1", "1", "10", "100", "1000"]


def test_figures_that_are_not_positive_have_no_part_in_a_logarithmic_scale():
    assert logarithmic([0, -3, 5], 0, 1).ticks == (1, 10)
    assert logarithmic([], 0, 1).ticks == (1, 10)


@pytest.mark.parametrize(
    ("values", "from_zero", "ticks"),
    [
        ([6.8, 21.2], True, (0, 5, 10, 15, 20, 25)),
        ([6.8, 21.2], False, (5, 10, 15, 20, 25)),
        ([-0.4, 0.9], False, (-0.5, 0, 0.5, 1.0)),
        ([0.0], True, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([], True, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ],
)
def test_linear_ticks(values, from_zero, ticks):
    assert linear(values, 0, 100, from_zero=from_zero).ticks == pytest.approx(ticks)


@given(st.lists(numbers, min_size=1, max_size=8), st.booleans())
def test_linear_scales_hold_every_value(values, from_zero):
    scale = linear(values, 0, 100, from_zero=from_zero)
    near = 1e-6 * (scale.high - scale.low)
    assert scale.low - near <= min(values) <= max(values) <= scale.high + near
    assert list(scale.ticks) == sorted(set(scale.ticks))
    assert all(-1e-3 <= scale(value) <= 100 + 1e-3 for value in values)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([4, 16], (0, 2, 4, 6, 8, 10, 12, 14, 16)),
        ([3, 32], (0, 4, 8, 12, 16, 20, 24, 28, 32)),
        ([5, 30], (0, 4, 8, 12, 16, 20, 24, 30)),
        ([1], (0, 1)),
        ([80], (0, 10, 20, 30, 40, 50, 60, 70, 80)),
    ],
)
def test_counts_are_whole_and_end_with_the_largest(values, ticks):
    assert counts(values, 0, 1).ticks == ticks


@pytest.mark.parametrize(
    ("rough", "step"), [(0.7, 1), (1.0, 1), (1.1, 2), (3, 5), (7, 10), (0.03, 0.05), (0, 1), (math.inf, 1)]
)
def test_nice_steps(rough, step):
    assert nice_step(rough) == pytest.approx(step)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ((0, 5, 10), ["0", "5", "10"]),
        ((-0.5, 0, 0.5), ["-0.5", "0.0", "0.5"]),
        ((0, 0.25, 0.5), ["0.00", "0.25", "0.50"]),
        ((0, 100000, 200000), ["0", "1e5", "2e5"]),
        ((), []),
    ],
)
def test_tick_labels(ticks, labels):
    assert tick_labels(Scale(low=0, high=1, start=0, end=1, ticks=ticks)) == labels
