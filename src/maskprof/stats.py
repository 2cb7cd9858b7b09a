"""Medians and their intervals, straight lines, fits and paired differences. Plain functions; needs numpy only.

Intervals of medians are percentile bootstrap intervals (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13): the samples are drawn again with replacement many times, and the middle 95 % of
the medians of those draws are the interval. It assumes no shape of the distribution, which latency lacks,
but it does take samples as independent: where the machine drifts, it is too narrow.

The draws are seeded, so the same samples always give the same interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

_NORMAL_QUANTILE = 1.959964
MIN_SAMPLES_FOR_INTERVAL = 3
_RESAMPLES = 2000
_SEED = 20_240_229
# Bounds the memory of one batch of draws to about 32 MB.
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The seven statistics, in the unit of the values; `p50_ci95` is None below 3 values."""

    p50: float
    p95: float
    p99: float
    mean: float
    std: float
    min: float
    max: float
    p50_ci95: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A least-squares line; intervals are None where two points leave no spread, r2 where y is constant."""

    slope: float
    intercept: float
    slope_ci95: Interval | None
    intercept_ci95: Interval | None
    r2: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The median of paired differences, in the unit of the values; the interval is None below 3 pairs."""

    median: float
    ci95: Interval | None
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """A least-squares fit of several coefficients.

    Attributes:
        coefficients: one per column.
        covariance: of the coefficients; None where as many points as coefficients leave no spread, and the
            points came without errors of their own.
        freedom: points minus coefficients.
        r2: share of the variance around the mean that the fit explains; None where y is constant, or where
            there is no freedom, since the fit then goes through every point.
    """

    coefficients: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...] | None
    freedom: int
    r2: float | None

    def combination(self, weights: Sequence[float]) -> tuple[float, Interval | None]:
        """The sum of the coefficients times `weights`, with its 95 % interval.

        From Student's t, or from the normal distribution where the points' own errors are all there is.

        Raises:
            ValueError: there are not as many weights as coefficients.
        """
        if len(weights) != len(self.coefficients):
            raise ValueError(f"needs {len(self.coefficients)} weights, got {len(weights)}")
        w = np.asarray(weights, dtype=np.float64)
        value = float(w @ np.asarray(self.coefficients))
        if self.covariance is None:
            return value, None
        variance = max(0.0, float(w @ np.asarray(self.covariance) @ w))
        quantile = student_t_quantile(0.975, self.freedom) if self.freedom else _NORMAL_QUANTILE
        reach = quantile * math.sqrt(variance)
        return value, (value - reach, value + reach)


def describe(values: Sequence[float]) -> Description:
    """The seven statistics: percentiles interpolate linearly, `std` is the population's (numpy's defaults).

    Raises:
        ValueError: there are no values.
    """
    data = _array(values)
    p50, p95, p99 = (float(value) for value in np.percentile(data, (50, 95, 99)))
    return Description(
        p50=p50,
        p95=p95,
        p99=p99,
        mean=float(data.mean()),
        std=float(data.std()),
        min=float(data.min()),
        max=float(data.max()),
        p50_ci95=median_interval(values),
    )


def median_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = _RESAMPLES, seed: int = _SEED
) -> Interval | None:
    """Bootstrap interval of the median; it always contains the median. None below 3 values.

    Raises:
        ValueError: there are no values.
    """
    data = _array(values)
    if data.size < MIN_SAMPLES_FOR_INTERVAL:
        return None
    generator = np.random.default_rng(seed)
    batch = max(1, _DRAWS_AT_ONCE // data.size)
    medians = np.concatenate(
        [
            np.median(
                data[generator.integers(data.size, size=(min(batch, resamples - start), data.size))], axis=1
            )
            for start in range(0, resamples, batch)
        ]
    )
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(medians, (tail, 100.0 - tail))
    median = np.median(data)
    return float(min(low, median)), float(max(high, median))


def paired_difference(left: Sequence[float], right: Sequence[float]) -> PairedDifference:
    """The median of `left[i] - right[i]` with its bootstrap interval.

    Pairing takes out what both sides of a pair share, such as the machine's state at that moment.

    Raises:
        ValueError: there are no pairs, or the two lengths differ.
    """
    if len(left) != len(right):
        raise ValueError(f"pairs need two sequences of one length, got {len(left)} and {len(right)}")
    differences = [a - b for a, b in zip(left, right, strict=True)]
    return PairedDifference(
        median=float(np.median(_array(differences))),
        ci95=median_interval(differences),
        pairs=len(differences),
    )


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Ordinary least squares `y = intercept + slope * x`, with 95 % intervals from Student's t.

    Raises:
        ValueError: the lengths differ, or x holds fewer than two different values.
    """
    xs, ys = _array(x), _array(y)
    if xs.size != ys.size:
        raise ValueError(f"a line needs two sequences of one length, got {xs.size} and {ys.size}")
    x_mean, y_mean = xs.mean(), ys.mean()
    spread = float(((xs - x_mean) ** 2).sum())
    if spread == 0.0:
        raise ValueError("a line needs at least two different x, got one")
    slope = float(((xs - x_mean) * (ys - y_mean)).sum()) / spread
    intercept = float(y_mean) - slope * float(x_mean)
    unexplained = float(((ys - intercept - slope * xs) ** 2).sum())
    # Of equal values there is no variance to explain, even where their mean is off by a rounding.
    variation = 0.0 if np.ptp(ys) == 0 else float(((ys - y_mean) ** 2).sum())
    freedom = xs.size - 2
    slope_ci95 = intercept_ci95 = None
    if freedom > 0:
        reach = student_t_quantile(0.975, freedom) * math.sqrt(unexplained / freedom)
        slope_reach = reach / math.sqrt(spread)
        intercept_reach = reach * math.sqrt(1 / xs.size + float(x_mean) ** 2 / spread)
        slope_ci95 = (slope - slope_reach, slope + slope_reach)
        intercept_ci95 = (intercept - intercept_reach, intercept + intercept_reach)
    return Line(
        slope=slope,
        intercept=intercept,
        slope_ci95=slope_ci95,
        intercept_ci95=intercept_ci95,
        r2=max(0.0, 1.0 - unexplained / variation) if variation > 0 else None,
    )


def least_squares(
    rows: Sequence[Sequence[float]], y: Sequence[float], errors: Sequence[float] | None = None
) -> LinearFit:
    """Ordinary least squares `y[i] = sum(coefficients * rows[i])`.

    Args:
        rows: one per point, each with the value of every column; a column of ones is the intercept.
        y: one value per point.
        errors: the standard error of each value; they count only where there are no more points than columns,
            so that the distance of the points from the fit says nothing.

    Raises:
        ValueError: the lengths differ, there are fewer points than columns, or the points do not tell the
            columns apart.
    """
    design, ys = np.asarray(rows, dtype=np.float64), _array(y)
    if design.ndim != 2 or design.shape[0] != ys.size:  # noqa: PLR2004 - a matrix
        raise ValueError(f"a fit needs one row per value, got {len(rows)} rows and {ys.size} values")
    points, columns = design.shape
    # Columns of very different size, such as 1 and blocks times tokens, would hide what is singular.
    sizes = np.abs(design).max(axis=0)
    sizes[sizes == 0] = 1.0
    scaled, _, rank, _ = np.linalg.lstsq(design / sizes, ys, rcond=None)
    if rank < columns:
        raise ValueError(f"{points} points do not tell {columns} coefficients apart")
    freedom = points - columns
    unexplained = float(((ys - design / sizes @ scaled) ** 2).sum())
    # Of equal values there is no variance to explain, even where their mean is off by a rounding.
    variation = 0.0 if np.ptp(ys) == 0 else float(((ys - ys.mean()) ** 2).sum())
    covariance = None
    if freedom > 0:
        inverse = np.linalg.inv((design / sizes).T @ (design / sizes)) / np.outer(sizes, sizes)
        covariance = tuple(map(tuple, (inverse * unexplained / freedom).tolist()))
    elif errors is not None:
        inverse = np.linalg.inv(design / sizes) / sizes[:, None]
        covariance = tuple(map(tuple, (inverse * _array(errors) ** 2 @ inverse.T).tolist()))
    return LinearFit(
        coefficients=tuple((scaled / sizes).tolist()),
        covariance=covariance,
        freedom=freedom,
        r2=max(0.0, 1.0 - unexplained / variation) if variation > 0 and freedom > 0 else None,
    )


def standard_error(interval: Interval) -> float:
    """The standard error that a 95 % interval stands for, were it a normal distribution's."""
    return (interval[1] - interval[0]) / (2 * _NORMAL_QUANTILE)


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


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0:
        raise ValueError("needs at least one value, got none")
    return data
