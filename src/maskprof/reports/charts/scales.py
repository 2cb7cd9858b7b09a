"""From values to pixels, and the round values at which an axis is labelled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A number that is longer than five digits is not read at once.
_LONG = 1e5
# A span that is smaller, of one or of its own values, has no ticks that could be told apart.
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight or logarithmic map of `low..high` to the pixels `start..end`; `ticks` lie within.

    A span of nothing maps to the middle.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...] = ()
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def linear(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    from_zero: bool = False,
    whole: bool = False,
    num_ticks: int = 5,
) -> Scale:
    """A straight scale around the values, its ends on round ticks; `whole` has ticks at whole numbers only."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if from_zero:
        low, high = min(0.0, low), max(0.0, high)
    if high - low <= _NOTHING * max(1.0, abs(low), abs(high)):
        reach = max(abs(high) / 10, _NOTHING) if abs(high) > _NOTHING else 1.0
        low, high = low - (0.0 if from_zero and low == 0 else reach), high + reach
    step = nice_step((high - low) / num_ticks)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(step * n, 12) for n in range(first, last + 1))
    return Scale(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks)


def counts(values: Sequence[int], start: float, end: float, *, from_zero: bool = True) -> Scale:
    """A scale for numbers of things: whole ticks, and no farther than the largest of them."""
    low, high = (0 if from_zero else min(values, default=0)), max(values, default=1)
    high = max(high, low + 1)
    step = max(1, round(nice_step((high - low) / 8, multiples=(1, 2, 4, 5))))
    ticks = [float(tick) for tick in range(low, high + 1, step)]
    # The full depth is what readers look for; a tick close before it would run into its label.
    if ticks[-1] != high:
        ticks = [tick for tick in ticks if high - tick >= 0.6 * step] + [float(high)]
    return Scale(low=float(low), high=float(high), start=start, end=end, ticks=tuple(ticks))


def logarithmic(values: Sequence[float], start: float, end: float) -> Scale:
    """A logarithmic scale around the positive values, from power of ten to power of ten."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    low, high = (min(positive), max(positive)) if positive else (1.0, 10.0)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(10.0**power for power in range(first, last + 1))
    return Scale(low=ticks[0], high=ticks[-1], start=start, end=end, ticks=ticks, log=True)


def nice_step(rough: float, multiples: Sequence[int] = (1, 2, 5)) -> float:
    """The least of 1, 2, 5, 10, ... times a power of ten that is not below `rough`."""
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next((m * power for m in (*multiples, 10) if m * power >= rough * (1 - 1e-9)), 10 * power)


def tick_labels(scale: Scale) -> list[str]:
    """The ticks as text with as many decimals as tell them apart; powers of ten beyond five digits as 1e6."""
    ticks = scale.ticks
    if scale.log:
        return [_power(tick) for tick in ticks]
    if not ticks:
        return []
    if max(abs(tick) for tick in ticks) >= _LONG:
        return [_power(tick) for tick in ticks]
    for decimals in range(7):
        texts = [f"{tick:.{decimals}f}" for tick in ticks]
        pairs = zip(texts, ticks, strict=True)
        if all(math.isclose(float(text), tick, rel_tol=1e-9, abs_tol=1e-12) for text, tick in pairs):
            return [text.removeprefix("-") if float(text) == 0 else text for text in texts]
    return [f"{tick:.3g}" for tick in ticks]


def _power(tick: float) -> str:
    if tick == 0 or 1 / _LONG < abs(tick) < _LONG:
        return f"{tick:.6f}".rstrip("0").rstrip(".")
    mantissa, _, exponent = f"{tick:.0e}".partition("e")
    return f"{mantissa}e{int(exponent)}"
