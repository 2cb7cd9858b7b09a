"""What is made of the turns of both sides, on turns made by hand: the figures are worked out on paper.

Blocks that differ by 0, 1, 2, 3 in a row lie -2, -1, 1, 2 from the median of their three others. In `LATIN` each block
has each place once, so all have the mean 0 and the sum of squares 10; variances that do not differ are taken for
what they have in common with 10 degrees of freedom, the most, or with those that the others have together.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskprof.analysis.block_changes import (
    PhaseTurns,
    _beside_the_others,
    _biweights,
    _found_at,
    _units,
    _weighted,
    changes_of,
    own_times,
    tells_a_spread,
)
from maskprof.serial import student_t_quantile

UNIT = 0.001
LATIN = np.array([[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]])


def turns(before, after):
    """One step per trace, or more: the logarithms in units of 0.001."""
    sides = [[500 * np.exp(UNIT * np.atleast_2d(rows)) for rows in side] for side in (before, after)]
    blocks = sides[0][0].shape[1]
    return PhaseTurns(phase="decode", blocks=tuple(range(10, 10 + blocks)), before=sides[0], after=sides[1])


def share_found(change, least, freedom):
    """How often Student's t of a change of so many standard errors is above `least`: over all spreads it may have."""
    parts = 2000
    spreads = (np.arange(parts) + 0.5) / parts * (1 + 12 / math.sqrt(2 * freedom))
    density = np.exp(
        freedom / 2 * math.log(freedom)
        + (1 - freedom / 2) * math.log(2)
        - math.lgamma(freedom / 2)
        + (freedom - 1) * np.log(spreads)
        - freedom * spreads**2 / 2
    )
    above = [math.erfc((least * spread - change) / math.sqrt(2)) / 2 for spread in spreads]
    return float(density @ above) * (spreads[1] - spreads[0])


def least_number(change, spread, lent, per_pair, *, wrong, power):
    """How many pairs have this power; those before have not."""
    for pairs in range(3, 1000):
        freedom = lent + per_pair * (pairs - 1)
        least = student_t_quantile(1 - wrong / 2, freedom)
        if share_found(change * math.sqrt(pairs) / spread, least, freedom) >= power:
            return pairs
    raise AssertionError


@pytest.mark.parametrize(("freedom", "wrong"), [(2, 0.05), (2, 0.05 / 8), (5, 0.01), (30, 0.05)])
def test_how_many_errors_a_change_must_be_to_be_found(freedom, wrong):
    least = student_t_quantile(1 - wrong / 2, freedom)
    assert share_found(_found_at(wrong, 0.9, freedom), least, freedom) == pytest.approx(0.9, abs=0.001)


def test_degrees_of_freedom_are_whole_ones_and_none_matters_above_1000():
    assert _found_at(0.05, 0.5, 7.9) == pytest.approx(student_t_quantile(0.975, 7) * (1 - 1 / 31.6))
    assert _found_at(0.05, 0.5, 5000) == pytest.approx(student_t_quantile(0.975, 1000) * (1 - 1 / 20_000))


def test_pairs_of_traces():
    # What all blocks became slower by is no change.
    changes, found = changes_of(turns([[5, 5, 6, 7]] * 4, LATIN + np.array([35, 35, 36, 37])), wrong=0.05)
    # Variance 10 / 3 with 3 degrees of freedom, digamma(3 / 2) = 2 - euler - log 4, digamma(10 / 2) = 25 / 12 - euler.
    variance = 10 / 3 * (10 * 1.2 * math.exp(1 / 12) + 3) / 13
    error = UNIT * math.sqrt(variance / 4)
    # Of Student's table: 3 of its own and 3 of each of the 3 others.
    reach = 2.178813 * error
    for change in changes:
        assert change.change == pytest.approx(0, abs=1e-9)
        assert change.interval == pytest.approx((math.expm1(-reach), math.expm1(reach)), rel=1e-5)
        assert share_found(math.log1p(change.resolution) / error, 2.178813, 12) == pytest.approx(
            0.8, abs=0.001
        )
    assert [change.block for change in changes] == [10, 11, 12, 13]
    assert [change.before_us for change in changes] == pytest.approx(
        [500 * math.exp(UNIT * size) for size in (5, 5, 6, 7)]
    )
    assert [change.after_us for change in changes] == pytest.approx(
        [500 * (math.exp(UNIT * (size + 1)) + math.exp(UNIT * (size + 2))) / 2 for size in (35, 35, 36, 37)]
    )
    assert {(change.turns, change.phase) for change in changes} == {(4, "decode")}
    assert (found.phase, found.unit, found.traces) == ("decode", "traces", 4)
    assert found.smallest == pytest.approx(changes[0].resolution)
    assert found.typical == pytest.approx(found.smallest)
    assert found.spread == pytest.approx(2 * error)
    assert (found.power, found.asked, found.traces_needed) == (0.8, None, None)


def test_a_change_is_the_mean_over_the_pairs():
    changes, _ = changes_of(turns([[0] * 4] * 4, LATIN + np.array([0, 0, 0, 300])), wrong=0.05)
    # The last lies 300 and 3, 0, 1, 2 above; the median of the others is 1, 2, 2, 1.
    assert [change.block for change in changes if change.is_clear] == [13]
    assert changes[3].change == pytest.approx(math.expm1(UNIT * 300))
    # The first: 0 - 1.5, 1 - 2.5, 2 - 1.5, 3 - 0.5. With the last among its others it would be 1.25 less.
    assert [change.change for change in changes[:3]] == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_of_several_blocks_that_changed_the_one_that_did_most_is_left_out_first(sign):
    # With both among the others, the median of these is 50 for each that did not change.
    after = sign * np.array([300, 100, 0, 0, 0]) + np.tile(np.arange(5) % 2, (6, 1)) * [
        [0],
        [0],
        [1],
        [1],
        [0],
        [1],
    ]
    changes, _ = changes_of(turns([[0] * 5] * 6, after), wrong=0.05)
    assert [change.block for change in changes if change.is_clear] == [10, 11]
    assert [math.log1p(change.change) / UNIT for change in changes] == pytest.approx(
        [sign * 300, sign * 100, 0, 0, 0], abs=1
    )


def test_sides_of_different_numbers_are_compared_as_they_are():
    sizes = np.array([0, 300, 5, 70])
    before, after = LATIN + sizes, np.concatenate([LATIN, LATIN]) + sizes + 70
    for sides in ((before, after), (after, before)):
        changes, found = changes_of(turns(*sides), wrong=0.05, asked=0.001, power=0.9)
        # 30 / 10 is the variance, and digamma(10 / 2) of what they have takes away that of what is lent.
        error = UNIT * math.sqrt(3 * (1 / 4 + 1 / 8))
        for change in changes:
            assert change.change == pytest.approx(0, abs=1e-9)
            assert math.log1p(change.interval[1]) == pytest.approx(2.085963 * error, rel=1e-5)
            assert share_found(math.log1p(change.resolution) / error, 2.085963, 20) == pytest.approx(
                0.9, abs=0.001
            )
            assert change.turns == 4
        # From one trace of each side to the next.
        assert found.spread == pytest.approx(UNIT * math.sqrt(3 + 3))
        assert (found.traces, found.power, found.asked) == (4, 0.9, 0.001)
        assert found.traces_needed == least_number(
            math.log1p(0.001), found.spread, 10, 2, wrong=0.05, power=0.9
        )
        # Four of each side show less than these.
        _, enough = changes_of(turns(*sides), wrong=0.05, asked=found.smallest, power=0.9)
        assert enough.traces_needed == 4


def test_a_change_is_no_spread_of_either_side():
    after = np.concatenate([LATIN, LATIN]) + np.array([0, 0, 0, 300])
    changes, _ = changes_of(turns(LATIN, after), wrong=0.05)
    assert [math.log1p(change.change) / UNIT for change in changes] == pytest.approx([0, 0, 0, 300], abs=1e-6)
    # Beside the other two of the first three blocks, or beside all three, a side of four has these sums of squares.
    variances = np.array([11, 8, 11, 10]) * 3 / 10
    drawn = (10 * math.exp(np.log(variances).mean()) + 10 * variances) / 20
    reach = 2.085963 * np.sqrt(drawn * (1 / 4 + 1 / 8))
    assert [
        (math.log1p(change.interval[1]) - math.log1p(change.change)) / UNIT for change in changes
    ] == pytest.approx(reach, rel=1e-5)


def test_pieces_of_one_trace_of_a_side():
    # Four pieces of four steps.
    pieces = np.repeat(LATIN, 4, axis=0)
    for side in ([pieces], [pieces[:8], pieces[8:]]):
        changes, found = changes_of(turns(side, side), wrong=0.05)
        # 20 / 6 is the variance; digamma(6 / 2) = 3 / 2 - euler.
        variance = 10 / 3 * (10 * 3 / 5 * math.exp(25 / 12 - 3 / 2) + 6) / 16
        error = UNIT * math.sqrt(variance * (1 / 4 + 1 / 4))
        assert [math.log1p(change.interval[1]) for change in changes] == pytest.approx(
            [2.119905 * error] * 4, rel=1e-5
        )
        assert (found.unit, found.traces) == ("pieces", len(side))
        assert found.spread == pytest.approx(error * math.sqrt(len(side)))


def test_how_many_pieces():
    rows = np.zeros((100, 4))
    # From pieces all alike nothing is known but their number, by the degrees of freedom.
    for lengths, pieces in (
        ((100,), 10),
        ((44,), 10),
        ((39,), 9),
        ((100, 100), 10),
        ((100, 3), 6),
        ((100,) * 3, 3),
    ):
        side = [rows[:length] for length in lengths]
        found = _units(turns(side, side))[1]
        assert [len(part) for part in found] == [pieces] * 2


@pytest.mark.parametrize(
    ("steps", "tells"), [((12,), True), ((11,), False), ((4, 8), True), ((7, 7), False), ((1, 1, 1), True)]
)
def test_three_pieces_or_traces_tell_a_spread(steps, tells):
    few, many = [np.zeros((length, 4)) for length in steps], [np.zeros((100, 4))]
    assert tells_a_spread(turns(few, many)) is tells_a_spread(turns(many, few)) is tells
    for sides in ((few, many), (many, few)):
        (change, *_), found = changes_of(turns(*sides), wrong=0.05, asked=0.1)
        assert (change.interval is not None) is (change.resolution is not None) is tells
        assert (
            (found.smallest is not None) is (found.spread is not None) is (found.typical is not None) is tells
        )


def test_how_many_traces_are_needed():
    paired = turns([[0] * 4] * 4, LATIN)
    found = changes_of(paired, wrong=0.05)[1]
    # As close as this, one degree of freedom more or less makes a difference.
    for factor in (0.3, 0.6, *np.arange(0.8, 0.95, 0.003)):
        asked = factor * found.smallest
        needed = changes_of(paired, wrong=0.05, asked=asked)[1].traces_needed
        assert needed == least_number(math.log1p(asked), found.spread, 9, 1, wrong=0.05, power=0.8)
    # Where these are enough, no more are asked for, whatever rounding says.
    for asked in (found.smallest, 10 * found.smallest):
        assert changes_of(paired, wrong=0.05, asked=asked)[1].traces_needed == 4
    # By the normal distribution, up to 10,000.
    most = (1.959964 + 0.841621) * found.spread / math.sqrt(10_000)
    assert changes_of(paired, wrong=0.05, asked=1.002 * most)[1].traces_needed > 9_900
    assert changes_of(paired, wrong=0.05, asked=0.998 * most)[1].traces_needed is None


def test_pieces_that_show_enough_are_not_enough_traces():
    pieces = [np.repeat(LATIN, 4, axis=0)]
    assert changes_of(turns(pieces, pieces), wrong=0.05, asked=1.0)[1].traces_needed == 3


@given(
    arrays(float, st.tuples(st.integers(1, 4), st.integers(3, 7)), elements=st.integers(-3, 3)),
    st.sets(st.integers(0, 6)),
)
def test_beside_the_others(rows, gone):
    steady = [place for place in range(rows.shape[1]) if place not in gone]
    if len(steady) < 3:
        steady = list(range(rows.shape[1]))
    found = _beside_the_others(rows, steady)
    for row, beside in zip(rows, found, strict=True):
        for place, value in enumerate(row):
            others = [row[other] for other in steady if other != place]
            assert beside[place] == value - np.median(others)


def test_turns_far_from_the_others_weigh_less_and_those_of_seven_times_the_median_nothing():
    # Four turns at 1 have the median at 1: nothing counts from 4.685 * 1.4826 = 6.946 on.
    residuals = np.array([[1, -1, 1, -1, 3.473], [-1.0, 0.0, -6.95, 6.94, 0.5]])
    weights = _biweights(residuals)
    one = (1 - 1 / 48.2468) ** 2
    assert weights[0] == pytest.approx([one] * 4 + [0.75**2], abs=1e-4)
    assert weights[1, :3] == pytest.approx([one, 1, 0], abs=1e-4)
    assert 0 < weights[1, 3] < 1e-4
    assert _biweights(np.array([[0.0, 0.0, 2.0]])).tolist() == [[1, 1, 1]]


def test_where_every_turn_was_hit_what_was_thought_before_stays():
    values, weights = np.array([[1.0, 4.0], [7.0, 9.0]]), np.array([[0.25, 0.5], [0, 0]])
    assert _weighted(values, weights, 1, np.array([[5.0], [6.0]])).tolist() == [[3.0], [6.0]]
    weights = np.array([[0.25, 0], [0.25, 0]])
    assert _weighted(values, weights, 0, np.array([[5.0, 6.0]])).tolist() == [[4.0, 6.0]]


def test_steps_and_blocks_are_fitted_together():
    """The same by weighted least squares of both at once, weights and fit in turns until they agree."""
    generator = np.random.default_rng(2)
    shape = steps, blocks = 30, 6
    logs = generator.normal(size=(steps, 1)) + np.array([0, 0.7, 0.1, 0.1, -0.5, 0.2])
    hit = generator.integers(blocks + 2, size=(steps, 1)) == np.arange(blocks)
    logs += 0.01 * generator.normal(size=shape) + 0.4 * hit
    design = np.zeros((steps, blocks, steps + blocks))
    for step in range(steps):
        for block in range(blocks):
            design[step, block, [step, steps + block]] = 1
    design, flat = design.reshape(-1, steps + blocks), logs.ravel()
    weights = 1.0 - hit.ravel()
    for _ in range(100):
        fit = np.linalg.lstsq(design * weights[:, None] ** 0.5, flat * weights**0.5, rcond=None)[0]
        apart = flat - design @ fit
        reach = 4.685 * 1.4826 * np.median(np.abs(apart))
        weights = np.where(np.abs(apart) < reach, (1 - (apart / reach) ** 2) ** 2, 0)
    found = own_times(np.exp(logs))
    assert found - found.mean() == pytest.approx(fit[steps:] - fit[steps:].mean(), abs=1e-5)
