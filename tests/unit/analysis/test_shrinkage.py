import math

import numpy as np
import pytest

from maskprof.analysis.shrinkage import _digamma, _trigamma, _trigamma_inverse, shrunk

EULER = 0.5772156649015329


def test_the_functions_of_gamma():
    assert _digamma(1) == pytest.approx(-EULER, abs=1e-9)
    assert _digamma(0.5) == pytest.approx(-EULER - 2 * math.log(2), abs=1e-9)
    assert _digamma(30) == pytest.approx(-EULER + sum(1 / k for k in range(1, 30)), abs=1e-9)
    assert _trigamma(1) == pytest.approx(math.pi**2 / 6, abs=1e-9)
    assert _trigamma(0.5) == pytest.approx(math.pi**2 / 2, abs=1e-9)
    for x in (0.01, 0.5, 3.0, 1000.0):
        assert _trigamma_inverse(_trigamma(x)) == pytest.approx(x, rel=1e-12)


def test_the_functions_of_gamma_are_exact_to_the_last_term_of_their_series():
    """Of whole numbers they are sums; the next term of either series would be less than half of what is asked."""
    harmonic = math.fsum([-EULER, *(1 / k for k in range(1, 20))])
    assert _digamma(20) == pytest.approx(harmonic, rel=0, abs=1.2e-14)
    assert _trigamma(10) == pytest.approx(
        math.fsum([math.pi**2 / 6, *(-1 / k**2 for k in range(1, 10))]), rel=0, abs=1e-15
    )


def test_two_degrees_of_freedom_that_lend_each_other_two():
    """digamma(1) = -euler, trigamma(1) = pi^2 / 6: chance and what is beyond it are alike, and the common one is 1."""
    apart = math.pi / math.sqrt(6)
    variances = np.exp([apart, -apart])
    drawn, freedom = shrunk(variances, 2)
    assert drawn == pytest.approx((1 + variances) / 2)
    assert freedom == pytest.approx(4)


def test_four_degrees_of_freedom_that_borrow_two():
    """digamma(2) = 1 - euler, trigamma(2) = pi^2 / 6 - 1."""
    apart = math.sqrt(math.pi**2 / 3 - 1)
    variances = 5 * np.exp([apart, 0, -apart])
    drawn, freedom = shrunk(variances, 4)
    assert drawn == pytest.approx((2 * 5 * 2 / math.e + 4 * variances) / 6)
    assert freedom == pytest.approx(6)


def test_one_degree_of_freedom_that_borrows_one():
    """digamma(1 / 2) = -euler - log 4, trigamma(1 / 2) = pi^2 / 2."""
    variances = 5 * np.exp([math.pi, 0, -math.pi])
    drawn, freedom = shrunk(variances, 1)
    assert drawn == pytest.approx((5 + variances) / 2)
    assert freedom == pytest.approx(2)


def test_no_more_is_lent_than_the_others_have():
    assert shrunk(np.array([1.0, 1.1]), 1, most_lent=10)[1] == 2
    assert shrunk(np.array([1.0, 1.1, 1.0]), 1, most_lent=10)[1] == 3
    # Nor than is asked for, where it would be 10 and a little by itself.
    variances = np.array([1.0, 100.0, 0.01, 10.0, 0.1])
    assert shrunk(variances, 50, most_lent=0.25)[1] == 50.25


def test_a_variance_of_nothing_counts_as_a_small_share_of_the_middle_one():
    nothing, little = (shrunk(np.array([least, 3.0, 1.0, 4.0]), 2) for least in (0.0, 2e-5))
    assert nothing[1] == little[1] < 8
    assert nothing[0][1:].tolist() == little[0][1:].tolist()
    assert nothing[0][0] < little[0][0]


def test_variances_that_differ_by_chance_are_one():
    variances = np.array([1.0, 1.1, 0.9, 1.0])
    drawn, freedom = shrunk(variances, 5)
    assert drawn.tolist() == [1.0] * 4
    assert freedom == 20


def test_at_most_so_much_is_lent():
    drawn, freedom = shrunk(np.array([1.0, 1.1, 0.9, 1.0]), 5, most_lent=10)
    assert freedom == 15
    assert 0.9 < drawn[2] < drawn[0] == drawn[3] < drawn[1] < 1.15
    assert drawn[1] - drawn[2] == pytest.approx(0.2 / 3)


def test_variances_that_differ_stay_apart():
    variances = np.array([1.0, 100.0, 0.01, 10.0, 0.1])
    drawn, freedom = shrunk(variances, 50)
    assert drawn == pytest.approx(variances, rel=0.1)
    assert 50 < freedom < 55


def test_what_was_put_in_comes_out():
    """Smyth's model: variances around 4 with as much freedom as 12, each seen with 5."""
    generator = np.random.default_rng(1)
    true = 12 * 4.0 / generator.chisquare(12, size=20_000)
    seen = true * generator.chisquare(5, size=true.size) / 5
    drawn, freedom = shrunk(seen, 5)
    assert freedom - 5 == pytest.approx(12, rel=0.1)
    # No other weight of the two would come nearer to the true ones by much.
    errors = [
        np.square(np.log(w * 4.0 + (1 - w) * seen) - np.log(true)).mean() for w in np.linspace(0, 0.99, 100)
    ]
    assert np.square(np.log(drawn) - np.log(true)).mean() < 1.05 * min(errors)


def test_where_there_is_nothing_to_draw_together():
    assert shrunk(np.zeros(3), 4)[0].tolist() == [0, 0, 0]
    assert shrunk(np.array([2.0]), 4) == (np.array([2.0]), 4.0)
