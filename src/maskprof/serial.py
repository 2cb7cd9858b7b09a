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

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

# The range of 5 independent samples holds the median in 94 % of cases, of 4 in 88 %.
MIN_SAMPLES_FOR_INTERVAL = 5
NORMAL_QUANTILE = 1.959964
_CONFIDENCE = 0.95
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
        series = self.influences @ np.asarray(weights, dtype=np.float64)
        return _reach(series) / math.sqrt(len(series))


def median_interval(
    values: Sequence[float], *, independent: bool = False, confidence: float = _CONFIDENCE
) -> Interval | None:
    """The interval of the median of values in order of time; it always contains their median.

    Args:
        values: the samples.
        independent: neighbours are no more alike than others.
        confidence: how often such intervals hold the truth.

    Returns:
        None where the whole range would be too narrow: below 5 values for 95 %.

    Raises:
        ValueError: there are no values.
    """
    data = _series(values)
    least = (
        MIN_SAMPLES_FOR_INTERVAL if confidence <= _CONFIDENCE else math.ceil(1 - math.log2(1 - confidence))
    )
    if data.size < least:
        return None
    half = _half_share(data, confidence, independent=independent)
    ordered = np.sort(data)
    median = float(np.median(data))
    # A median between two samples, rounded, may lie beyond a bound that is read off between the same two.
    return min(_read_off(ordered, 0.5 - half), median), max(_read_off(ordered, 0.5 + half), median)


def effective_samples(values: Sequence[float]) -> float | None:
    """How many independent samples would tell the median as well; at most their number, None below 5 values.

    A rough figure: it comes from few oscillations, and is off by a factor of two now and then.
    """
    data = _series(values)
    if data.size < MIN_SAMPLES_FOR_INTERVAL:
        return None
    above = _above(data)
    independent, long_run = (
        float((above**2).mean()),
        float(((_oscillations(data.size) @ above) ** 2).mean()),
    )
    return float(data.size) if long_run <= independent else data.size * independent / long_run


def median_errors(rounds: Sequence[Sequence[int]], series: Sequence[Sequence[float]]) -> MedianErrors | None:
    """The errors of the medians of several series that were measured together.

    Args:
        rounds: per series the round of each value; values of one round were measured at about one time.
        series: the values, as many as rounds.

    Returns:
        None where one of the series has fewer than 5 values.

    Raises:
        ValueError: rounds and series do not match.
    """
    if len(rounds) != len(series) or any(len(r) != len(v) for r, v in zip(rounds, series, strict=False)):
        raise ValueError("each series needs one round for each of its values")
    if any(len(values) < MIN_SAMPLES_FOR_INTERVAL for values in series):
        return None
    every = sorted(set().union(*rounds))
    row_of = {number: row for row, number in enumerate(every)}
    influences = np.zeros((len(every), len(series)))
    for column, (numbers, values) in enumerate(zip(rounds, series, strict=True)):
        data = _series(values)
        rows = [row_of[number] for number in numbers]
        scale = len(every) / data.size / _density_at_median(data)
        np.add.at(influences[:, column], rows, _above(data) * scale)
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
        ValueError: there are no values.
    """
    data = _series(values)
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
    for _ in range(100):
        middle = (low + high) / 2
        if _central_share(middle, freedom) < central:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _half_share(data: Floats, confidence: float, *, independent: bool) -> float:
    """The h of the module's docstring: how far the bounds' shares lie from 1/2."""
    half = _normal_quantile(confidence) / 2
    if not independent:
        half = max(half, _reach(_above(data), confidence))
    return min(0.5, half / math.sqrt(data.size))


@cache
def _normal_quantile(confidence: float) -> float:
    return NORMAL_QUANTILE if confidence == _CONFIDENCE else NormalDist().inv_cdf((1 + confidence) / 2)


def _above(data: Floats) -> Floats:
    """1/2 where a value is above the median, -1/2 where it is below."""
    return np.sign(data - np.median(data)) / 2


def _reach(series: Floats, confidence: float = _CONFIDENCE) -> float:
    """Half the interval of the mean of a series around 0, times the root of its length."""
    oscillations = _oscillations(series.size)
    projected = oscillations @ series
    factor = _student_quantile((1 + confidence) / 2, len(oscillations))
    long_run = factor * math.sqrt(float((projected**2).mean()))
    return max(long_run, _normal_quantile(confidence) * math.sqrt(float((series**2).mean())))


@cache
def _student_quantile(probability: float, freedom: int) -> float:
    return student_t_quantile(probability, freedom)


@cache
def _oscillations(length: int) -> Floats:
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
    half = _half_share(data, _CONFIDENCE, independent=True)
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


def _series(values: Sequence[float]) -> Floats:
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("needs at least one value, got none")
    return data
