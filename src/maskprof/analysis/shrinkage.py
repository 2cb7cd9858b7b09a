"""Variances of many alike things, each from few values, drawn towards what they have in common.

From six pairs of traces a block's variance is known within a factor of two or three, and an interval that must allow
for it is wide. Blocks of one model are noisy alike, though: the spread of their variances tells how much alike, and
so how many degrees of freedom the others lend to each. This is the empirical Bayes estimate of Smyth, Linear models
and empirical Bayes methods for assessing differential expression in microarray experiments, Statistical Applications
in Genetics and Molecular Biology 3 (2004), section 6.2: usual where many questions are asked of few replicates.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# As in limma, the authors' own code: a variance that is 0 by chance would count as infinitely surprising.
_LEAST_OF_MEDIAN = 1e-5
# So many steps up, the asymptotic series are exact to 1e-10.
_STEPS = 10
_HALVINGS = 50


def shrunk(variances: Floats, freedom: int, most_lent: float = math.inf) -> tuple[Floats, float]:
    """The variances, drawn together, and the degrees of freedom that each then has.

    Args:
        variances: one per thing, each from its own values.
        freedom: degrees of freedom of each.
        most_lent: how many the others lend at most: a handful of things may look more alike than they are.

    Returns:
        With one variance, or where all are 0, what was given.
    """
    middle = float(np.median(variances))
    if variances.size == 1 or middle == 0:
        return variances, float(freedom)
    half = freedom / 2
    logs = np.log(np.maximum(variances, _LEAST_OF_MEDIAN * middle)) - _digamma(half) + math.log(half)
    beyond_chance = float(logs.var(ddof=1)) - _trigamma(half)
    # No more different than chance makes them: all are one, and each has all that they have together.
    all_others = float(freedom * (variances.size - 1))
    lent = min(2 * _trigamma_inverse(beyond_chance), most_lent) if beyond_chance > 0 else most_lent
    if math.isinf(lent):
        return np.full_like(variances, float(variances.mean())), freedom + all_others
    common = math.exp(float(logs.mean()) + _digamma(lent / 2) - math.log(lent / 2))
    return (lent * common + freedom * variances) / (lent + freedom), freedom + min(lent, all_others)


def _digamma(x: float) -> float:
    """The derivative of log gamma, by its recurrence up to where the asymptotic series holds."""
    below = sum(1 / (x + step) for step in range(_STEPS))
    x += _STEPS
    inverse = 1 / (x * x)
    return math.log(x) - 0.5 / x - inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252)) - below


def _trigamma(x: float) -> float:
    """The derivative of digamma."""
    below = sum(1 / (x + step) ** 2 for step in range(_STEPS))
    x += _STEPS
    inverse = 1 / (x * x)
    series = 1 / 6 - inverse * (1 / 30 - inverse * (1 / 42 - inverse / 30))
    return 1 / x + inverse / 2 + inverse / x * series + below


def _trigamma_inverse(value: float) -> float:
    """The x whose trigamma is this; trigamma falls from infinity to 0, so bisection finds it."""
    # The share x / (1 + x) is bounded, x is not.
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        if _trigamma(share / (1 - share)) > value:
            low = share
        else:
            high = share
    share = (low + high) / 2
    return share / (1 - share)
