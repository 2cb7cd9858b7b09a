"""Intervals of medians, and changes, of samples taken one after the other, which are not independent. Needs numpy only.

Latency has no shape to rely on, a few samples are many times the others, and neighbours in time are alike, since the
machine drifts and other work comes and goes. So:

- the interval is read off the sorted samples at the shares 1/2 - h and 1/2 + h (Woodruff, Confidence intervals for
  medians and other position measures, 1952), so an outlier counts as one sample, however far it lies;
- h comes from the long-run variance of the series of zeros and ones "this sample is above the median", which for
  independent samples is 1/4. It is estimated by projecting the series on its slowest oscillations, a straight
  trend taken out, and h takes its factor from Student's t with as many degrees of freedom as there are
  oscillations (Lazarus, Lewis, Stock and Watson, HAR inference, 2018; Mueller and Watson, 2008);
- h is never less than for independent samples: the noise of a machine does not make neighbours differ more than
  others do, so where an estimate says so, it is chance.

Differences of two neighbours that were measured in random order are another matter: whatever the machine did, it did
to either with the same chance. There the interval is that of the sign test.

The order of the values is the order in time. How often such an interval holds the truth has been measured:
docs/results/validity.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

# The range of 5 independent samples holds the median in 94 % of cases, of 4 in 88 %.
MIN_SAMPLES_FOR_INTERVAL = 5
_CONFIDENCE = 0.95
_LEAST_FOR_QUARTILE = 20
_FEWEST_OSCILLATIONS = 3
_OSCILLATIONS_PER_SAMPLE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MedianErrors:
    """How the medians of several series are off together, round by round.

    Attributes:
        influences: how far one round moves each median, shape (rounds, series): its mean over the rounds is the
            error of the median to first order. Series of one run share the machine's state, so their medians'
            errors are not independent either.
    """

    influences: Floats

    def reach(self, weights: Sequence[float]) -> float:
        """Half the width of the 95 % interval of the sum of the medians times `weights`."""
        series = self.influences @ np.asarray(weights)
        return _reach(series, _CONFIDENCE) / math.sqrt(len(series))


def median_interval(values: Sequence[float], *, independent: bool = False) -> Interval | None:
    """The 95 % interval of the median of values in order of time; it always contains their median.

    Args:
        values: the samples.
        independent: neighbours are no more alike than others.

    Returns:
        None where the whole range would be too narrow: below 5 values.

    Raises:
        ValueError: there are no values, or not all are finite.
    """
    data = finite_series(values)
    if data.size < MIN_SAMPLES_FOR_INTERVAL:
        return None
    half = _half_share(data, independent=independent)
    ordered = np.sort(data)
    median = float(np.median(data))
    # A median between two samples, rounded, may lie beyond a bound that is read off between the same two.
    return min(_read_off(ordered, 0.5 - half), median), max(_read_off(ordered, 0.5 + half), median)


def lower_quartile(
    values: Sequence[float], *, confidence: float = _CONFIDENCE
) -> tuple[float, Interval | None]:
    """The value that a quarter of the values, in order of time, lie below, and its interval.

    Everything that disturbs a machine makes times longer: the faster half of them is the one to compare by.

    Returns:
        No interval below 20 values, or where a quarter of them is too few for this confidence.

    Raises:
        ValueError: there are no values, or not all are finite.
    """
    data, share = finite_series(values), 0.25
    ordered = np.sort(data)
    quartile = _read_off(ordered, share)
    if data.size < _LEAST_FOR_QUARTILE:
        return quartile, None
    # Where many values are alike, their own spread about the quartile tells too little.
    independent = _normal_quantile(confidence) * math.sqrt(share * (1 - share))
    half = max(independent, _reach(_above(data, quartile), confidence)) / math.sqrt(data.size)
    if half >= share:
        return quartile, None
    return quartile, (_read_off(ordered, share - half), _read_off(ordered, share + half))


def effective_samples(values: Sequence[float]) -> float | None:
    """How many independent samples would tell the median as well; at most their number, None below 5 values.

    A rough figure: it comes from few oscillations, and is off by a factor of two now and then.
    """
    data = finite_series(values)
    if data.size < MIN_SAMPLES_FOR_INTERVAL:
        return None
    above = _above(data, np.median(data))
    independent, long_run = float(above.var()), _long_run_variance(above)
    return float(data.size) if long_run <= independent else data.size * independent / long_run


def median_errors(rounds: Sequence[Sequence[int]], series: Sequence[Sequence[float]]) -> MedianErrors | None:
    """The errors of the medians of several series that were measured together.

    Args:
        rounds: per series the round of each value; values of one round were measured at about one time.
        series: the values, as many as rounds.

    Returns:
        None where one of the series has fewer than 5 values, or where there are fewer than 5 rounds.

    Raises:
        ValueError: rounds and series do not match, or not all values are finite.
    """
    if list(map(len, rounds)) != list(map(len, series)):
        raise ValueError("each series needs one round for each of its values")
    every = sorted(set().union(*rounds))
    if min(map(len, [every, *series])) < MIN_SAMPLES_FOR_INTERVAL:
        return None
    row_of = {number: row for row, number in enumerate(every)}
    influences = np.zeros((len(every), len(series)))
    for column, values in enumerate(series):
        data = finite_series(values)
        rows = [row_of[number] for number in rounds[column]]
        scale = len(every) / data.size / _density_at_median(data)
        np.add.at(influences[:, column], rows, _above(data, np.median(data)) * scale)
    return MedianErrors(influences=influences)


def change_point(values: Sequence[float], tolerance: float) -> int:
    """Where a series that begins with a transient changes into what it stays at: how many of its first to leave out.

    The number after which the mean of the rest is known best: leaving out more of a transient lowers the rest's
    variance, leaving out more of what is alike only makes the rest fewer (White, An effective truncation heuristic
    for bias reduction in simulation output, 1997). At least two values stay.

    Args:
        values: the series, in order of time.
        tolerance: a standard deviation that does not matter; changes much below it are not looked for.

    Raises:
        ValueError: there are no values, or not all are finite.
    """
    data = finite_series(values)
    rests = [data[start:] for start in range(max(1, data.size - 1))]
    doubts = [(float(rest.var()) + tolerance**2) / rest.size for rest in rests]
    return int(np.argmin(doubts))


def student_t_quantile(probability: float, freedom: int) -> float:
    """The t below which Student's distribution with `freedom` whole degrees of freedom has `probability`.

    Bisection on the closed form of the distribution for whole degrees of freedom (Abramowitz and Stegun,
    Handbook of Mathematical Functions, 26.7.3 and 26.7.4).

    Raises:
        ValueError: the probability is not between 0.5 and 1, or there is no degree of freedom.
    """
    if not 0.5 <= probability < 1.0 or freedom < 1:  # noqa: PLR2004 - half of a symmetric distribution
        raise ValueError(f"needs 0.5 <= probability < 1 and freedom >= 1, got {probability} and {freedom}")
    central = 2.0 * probability - 1.0
    # The angle atan(t / sqrt(freedom)) is bounded, t is not.
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _central_share(middle, freedom) < central:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(middle)


def finite_series(values: Sequence[float]) -> Floats:
    """The values as an array.

    Raises:
        ValueError: there are none, or not all are finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("needs at least one value, got none")
    if not np.isfinite(data).all():
        raise ValueError(f"needs finite values, got {data[~np.isfinite(data)][0]}")
    return data


def _half_share(data: Floats, *, independent: bool) -> float:
    """The h of the module's docstring: how far the bounds' shares lie from 1/2; of very few values, beyond 0 and 1."""
    half = _normal_quantile(_CONFIDENCE) / 2
    if not independent:
        half = max(half, _reach(_above(data, np.median(data)), _CONFIDENCE))
    return half / math.sqrt(data.size)


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _above(data: Floats, point: float | np.floating[Any]) -> Floats:
    """1/2 where a value is above the point, -1/2 where it is below, 0 where it is there."""
    return np.sign(data - point) / 2


def _reach(series: Floats, confidence: float) -> float:
    """Half the interval of the mean of a series, times the root of its length."""
    factor = _student_quantile((1 + confidence) / 2, len(_oscillations(series.size)))
    long_run = factor * math.sqrt(_long_run_variance(series))
    return max(long_run, _normal_quantile(confidence) * float(series.std()))


def _long_run_variance(series: Floats) -> float:
    """The variance of the mean of a series of values that are alike to their neighbours, times its length."""
    return float(((_oscillations(series.size) @ series) ** 2).mean())


@cache
def _student_quantile(probability: float, freedom: int) -> float:
    return student_t_quantile(probability, freedom)


@cache
def _oscillations(length: int) -> Floats:
    return slowest_oscillations(length)


def slowest_oscillations(length: int) -> Floats:
    """The slowest cosines, each of length 1 and free of mean and trend, shape (count, length)."""
    count = max(_FEWEST_OSCILLATIONS, round(_OSCILLATIONS_PER_SAMPLE * length ** (2 / 3)))
    position = (np.arange(length) + 0.5) / length
    columns = [np.ones(length), position]
    columns += [np.cos(np.pi * number * position) for number in range(1, count + 1)]
    orthogonal, _ = np.linalg.qr(np.stack(columns, axis=1))
    return np.ascontiguousarray(orthogonal[:, 2:].T)


def _read_off(ordered: Floats, share: float) -> float:
    """The value at a share of sorted ones; the median at 1/2, and never beyond the first or last."""
    return float(np.interp(share * ordered.size - 0.5, np.arange(ordered.size), ordered))


def _density_at_median(data: Floats) -> float:
    """The density of the values' distribution at their median: infinite where they are all alike there."""
    half = _half_share(data, independent=True)
    ordered = np.sort(data)
    width = _read_off(ordered, 0.5 + half) - _read_off(ordered, 0.5 - half)
    return 2 * half / width if width > 0 else math.inf


def _central_share(angle: float, freedom: int) -> float:
    """The share of Student's distribution within +-t, where t = sqrt(freedom) * tan(angle)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * power / (power + 1)
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total
