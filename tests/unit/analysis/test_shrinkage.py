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
        assert _trigamma_inverse(_trigamma(x)) == pytest.approx(x, rel=1e-9)


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
