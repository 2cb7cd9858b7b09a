"""Descriptions of samples, paired differences, straight lines and fits. Plain functions; needs numpy only.

Values are in order of time: intervals take neighbours as alike (see `maskprof.serial`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskprof.serial import (
    Interval,
    MedianErrors,
    effective_samples,
    finite_series,
    median_interval,
    student_t_quantile,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The seven statistics, in the unit of the values.

    `effective_samples` tells how many independent values would give an interval of the median as wide; it and
    `p50_ci95` are None below 5 values.
    """

    p50: float
    p95: float
    p99: float
    mean: float
    std: float
    min: float
    max: float
    p50_ci95: Interval | None
    effective_samples: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A least-squares line; intervals and r2 are None where two points leave no spread, r2 where y is constant too."""

    slope: float
    intercept: float
    slope_ci95: Interval | None
    intercept_ci95: Interval | None
    r2: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The median of paired differences, in the unit of the values; the interval is None below 5 pairs."""

    median: float
    ci95: Interval | None
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearFit:
    """A least-squares fit of several coefficients.

    Attributes:
        coefficients: one per column.
        covariance: of the coefficients, from the points' distances to the fit; None where as many points as
            coefficients leave none.
        freedom: points minus coefficients.
        r2: share of the variance around the mean that the fit explains; None where y is constant, or where
            there is no freedom, since the fit then goes through every point.
        projection: how each coefficient follows from the points, shape (coefficients, points).
        errors: the points' own errors, which then make the intervals; None where they are not known.
    """

    coefficients: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...] | None
    freedom: int
    r2: float | None
    projection: tuple[tuple[float, ...], ...]
    errors: MedianErrors | None = None

    def combination(self, weights: Sequence[float]) -> tuple[float, Interval | None]:
        """The sum of the coefficients times `weights`, with its 95 % interval.

        From the points' own errors where they are known, else from their distances to the fit, by Student's t.

        Raises:
            ValueError: there are not as many weights as coefficients.
        """
        if len(weights) != len(self.coefficients):
            raise ValueError(f"needs {len(self.coefficients)} weights, got {len(weights)}")
        w = np.asarray(weights)
        value = float(w @ np.asarray(self.coefficients))
        if self.errors is not None:
            reach = self.errors.reach((w @ np.asarray(self.projection)).tolist())
        elif self.covariance is not None:
            variance = max(0.0, float(w @ np.asarray(self.covariance) @ w))
            reach = student_t_quantile(0.975, self.freedom) * math.sqrt(variance)
        else:
            return value, None
        return value, (value - reach, value + reach)


def describe(values: Sequence[float]) -> Description:
    """The seven statistics: percentiles interpolate linearly, `std` is the population's (numpy's defaults).

    Raises:
        ValueError: there are no values, or not all are finite.
    """
    data = finite_series(values)
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
        effective_samples=effective_samples(values),
    )


def paired_difference(left: Sequence[float], right: Sequence[float]) -> PairedDifference:
    """The median of `left[i] - right[i]`, pairs in order of time, with its 95 % interval.

    Pairing takes out what both sides of a pair share, such as the machine's state at that moment. The two of a
    pair are to be measured one directly after the other, in random order.

    Raises:
        ValueError: there are no pairs, the two lengths differ, or not all values are finite.
    """
    if len(left) != len(right):
        raise ValueError(f"pairs need two sequences of one length, got {len(left)} and {len(right)}")
    differences = finite_series(left) - finite_series(right)
    return PairedDifference(
        median=float(np.median(differences)),
        ci95=median_interval(differences.tolist(), independent=True),
        pairs=differences.size,
    )


def fit_line(x: Sequence[float], y: Sequence[float], errors: MedianErrors | None = None) -> Line:
    """Least squares `y = intercept + slope * x`, with 95 % intervals.

    Args:
        x: where the points are.
        y: one value per point.
        errors: how the values, as medians of series, are off together. The intervals come from them; without
            them, from the points' distances to the line, by Student's t, as if they were off independently.

    Raises:
        ValueError: the lengths differ, x holds fewer than two different values, or not all are finite.
    """
    xs = finite_series(x)
    if xs.size != len(y):
        raise ValueError(f"a line needs two sequences of one length, got {xs.size} and {len(y)}")
    if np.ptp(xs) == 0.0:
        raise ValueError("a line needs at least two different x, got one")
    # Around their mean, so that x far from zero cost no digits.
    mean = float(xs.mean())
    fit = least_squares([(1.0, value - mean) for value in xs.tolist()], y, errors)
    slope, slope_ci95 = fit.combination((0.0, 1.0))
    intercept, intercept_ci95 = fit.combination((1.0, -mean))
    return Line(
        slope=slope, intercept=intercept, slope_ci95=slope_ci95, intercept_ci95=intercept_ci95, r2=fit.r2
    )


def least_squares(
    rows: Sequence[Sequence[float]], y: Sequence[float], errors: MedianErrors | None = None
) -> LinearFit:
    """Ordinary least squares `y[i] = sum(coefficients * rows[i])`.

    Args:
        rows: one per point, each with the value of every column; a column of ones is the intercept.
        y: one value per point.
        errors: how the values, as medians of series, are off together; see `LinearFit`.

    Raises:
        ValueError: the lengths differ, the points do not tell the columns apart, which fewer points than
            columns never do, or not all values are finite.
    """
    design, ys = np.asarray(rows), finite_series(y)
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
    projection = np.linalg.pinv(design / sizes) / sizes[:, None]
    covariance = None
    if freedom > 0:
        covariance = tuple(map(tuple, (projection @ projection.T * unexplained / freedom).tolist()))
    return LinearFit(
        coefficients=tuple((scaled / sizes).tolist()),
        covariance=covariance,
        freedom=freedom,
        r2=max(0.0, 1.0 - unexplained / variation) if variation > 0 and freedom > 0 else None,
        projection=tuple(map(tuple, projection.tolist())),
        errors=errors,
    )
