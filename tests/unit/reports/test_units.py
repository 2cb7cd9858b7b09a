import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.counted_nouns import count
from maskprof.reports import units


@pytest.mark.parametrize(
    ("value_us", "text"),
    [
        (0.53, "0.530 us"),
        (12.34, "12.3 us"),
        (999.4, "999 us"),
        (999.7, "1.00 ms"),
        (12_345.0, "12.3 ms"),
        (1_240_000.0, "1.24 s"),
        (123_456_789.0, "123 s"),
        (0.0, "0 us"),
        (-12_345.0, "-12.3 ms"),
        (None, "-"),
        (math.nan, "-"),
    ],
)
def test_durations(value_us, text):
    assert units.duration_us(value_us) == text


def test_milliseconds():
    assert units.duration_ms(1.23) == "1.23 ms"
    assert units.duration_ms(0.21) == "210 us"
    assert units.duration_ms(None) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [(9.996, "10.0"), (0.09996, "0.100"), (123.4, "123"), (1239.0, "1240"), (0.00123, "0.00123")],
)
def test_significant_digits(value, text):
    assert units.significant(value) == text


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_three_digits_are_within_half_of_the_last(value):
    assert float(units.significant(value)) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50 %"), (1.0, "100 %"), (0.0625, "6.2 %"), (0.0999, "10 %"), (1.234, "123 %"), (None, "-")],
)
def test_percent(share, text):
    assert units.percent(share) == text


def test_intervals_show_their_farther_end():
    assert units.with_interval(12.34, (12.2, 12.38), 1) == "12.3 ±0.1"
    assert units.with_interval(12.34, (11.04, 12.4), 2) == "12.34 ±1.30"
    assert units.with_interval(12.34, None, 1) == "12.3"
    assert units.with_interval(None, None, 1) == "-"


def test_below_rounds_up():
    assert units.below(0.101, 2) == "<0.11"
    assert units.below(0.1, 2) == "<0.10"
    assert units.below(0.03, 1) == "<0.1"


@pytest.mark.parametrize(("largest", "decimals"), [(123.4, 1), (12.3, 2), (0.5, 2), (0.05, 3), (0.0, 2)])
def test_decimals(largest, decimals):
    assert units.decimals_for([None, math.nan, 0.0, largest]) == decimals


def test_masks_as_cells():
    mask = [True] * 4 + [False] * 4
    assert units.mask_cells(mask) == "████░░░░"
    assert units.mask_cells(mask, ascii_only=True) == "####...."
    assert units.mask_cells([True, False, False]) == "█░░"


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 40))
def test_cells_share_blocks_evenly(mask, most):
    cells = units.mask_cells(mask, max_cells=most)
    assert len(cells) <= most
    assert (set(cells) == {"█"}) == all(mask)
    assert (set(cells) == {"░"}) == (not any(mask))
    assert units.to_ascii(cells).isascii()


def test_a_long_mask_is_shortened():
    assert units.mask_cells([True] * 41 + [False] * 39) == "█" * 13 + "▒" + "░" * 13


def test_counts():
    assert count(1, "block") == "1 block"
    assert count(0, "block") == "0 blocks"


def test_what_rounds_to_zero_has_no_sign():
    assert units.fixed(-1e-12, 2) == "0.00"
    assert units.fixed(-0.006, 2) == "-0.01"


def test_a_time_beside_another_has_its_unit():
    assert units.duration_with_interval(0.64, (0.5, 0.7)) == "640 ±140 us"
    assert units.duration_with_interval(0.64, (0.5, 0.7), beside_ms=12.0) == "0.64 ±0.14 ms"
    assert units.duration_with_interval(0.0, None, beside_ms=1.0) == "0.00 ms"


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (33.81, (-181.89, 40.0), "34 ±216 ms"),
        (0.7159, (-23.2788, 1.0), "716 ±23995 us"),
        (-3.78, (-30.04, 0.0), "-3.8 ±26.3 ms"),
        (1.14, (-6.7, 2.0), "1.14 ±7.84 ms"),
        (3000.0, (2991.0, 3000.0), "3.00 ±0.01 s"),
    ],
)
def test_a_time_has_no_more_digits_than_its_interval_leaves(value, interval, shown):
    assert units.duration_with_interval(value, interval) == shown


def test_what_was_given_exactly_is_shown_exactly():
    assert [units.exact(value) for value in (1125.0, 1555, 19.5, 989.4, 8e6)] == [
        "1125", "1555", "19.5", "989.4", "8000000",
    ]  # fmt: skip
