"""Numbers, intervals and masks as people read them. Plain text, no rendering library."""

import math
from collections.abc import Iterable, Sequence

MISSING = "-"
# What stands in for each character where the output cannot show it, such as a log in plain ASCII.
_ASCII = str.maketrans(
    {"█": "#", "▓": "=", "▒": "+", "░": ".", "±": "+-", "²": "2", "·": "|", "…": "~"}
    | dict.fromkeys("▌▋▊▉", "#")
    | dict.fromkeys("▏▎▍", ".")
)
_TIME_UNITS = (("s", 1e6), ("ms", 1e3), ("us", 1.0))
# A mask of more blocks than this is drawn with several blocks to a cell.
MAX_CELLS = 32


def to_ascii(text: str) -> str:
    """The text without the few characters beyond ASCII that reports use."""
    return text.translate(_ASCII)


def is_number(value: float | None) -> bool:
    """Whether there is a finite number to show."""
    return value is not None and math.isfinite(value)


def significant(value: float, digits: int = 3) -> str:
    """A number with this many significant digits and no exponent: 0.53, 12.3, 1240."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    # Rounding may add a digit: 9.996 is 10.0, not 10.00.
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, decimals)}f}"


def duration_us(value: float | None) -> str:
    """A time with its unit, three significant digits: 0.53 us, 12.3 ms, 1.24 s."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{significant(value / time_factor(time_unit([value])))} {time_unit([value])}"


def duration_ms(value: float | None) -> str:
    """The same for a time given in ms."""
    return duration_us(None if value is None else value * 1e3)


def time_unit(values_us: Iterable[float | None]) -> str:
    """The unit in which the largest of these times is at least 1; `us` where all are less."""
    largest = max((abs(v) for v in values_us if v is not None and math.isfinite(v)), default=0.0)
    # 999.7 us would round to 1000 us.
    return next((unit for unit, factor in _TIME_UNITS if largest >= 0.9995 * factor), "us")


def time_factor(unit: str) -> float:
    """How many us one `s`, `ms` or `us` has."""
    return dict(_TIME_UNITS)[unit]


def decimals_for(values: Iterable[float | None]) -> int:
    """How many decimals a column needs for its largest value to show three or four digits; at most 3."""
    largest = max((abs(v) for v in values if v is not None and math.isfinite(v)), default=0.0)
    if largest >= 100:  # noqa: PLR2004 - 123.4
        return 1
    return 3 if 0 < largest < 0.1 else 2  # noqa: PLR2004 - 0.012 and 1.23


def fixed(value: float | None, decimals: int) -> str:
    """A number with fixed decimals, so that a column's points stand under each other."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    # What rounds to zero has no sign.
    return text.removeprefix("-") if float(text) == 0 else text


def with_interval(value: float | None, interval: Sequence[float] | None, decimals: int) -> str:
    """`12.3 ±0.2`: the value and how far its interval reaches at the farther end; without one, the value."""
    if value is None or interval is None or not math.isfinite(value):
        return fixed(value, decimals)
    return f"{fixed(value, decimals)} ±{fixed(_reach(value, interval), decimals)}"


def _reach(value: float, interval: Sequence[float]) -> float:
    return max(interval[1] - value, value - interval[0])


def duration_with_interval(
    value_ms: float, interval_ms: Sequence[float] | None, *, beside_ms: float | None = None
) -> str:
    """`12.3 ±0.2 ms`: a time given in ms and its interval, in the unit that suits the time.

    With `beside_ms` in the unit and digits that suit that time, with which it is to be compared.
    """
    guide_ms = value_ms if beside_ms is None else beside_ms
    unit = time_unit([guide_ms * 1e3])
    scale = 1e3 / time_factor(unit)
    interval = None if interval_ms is None else [bound * scale for bound in interval_ms]
    decimals = decimals_for([guide_ms * scale])
    if interval is not None:
        # Of a time that is known to tens, hundredths say nothing.
        reach = _reach(value_ms * scale, interval)
        decimals = min(decimals, 0 if reach >= 99.95 else 1 if reach >= 9.995 else decimals)  # noqa: PLR2004
    return f"{with_interval(value_ms * scale, interval, decimals)} {unit}"


def exact(value: float) -> str:
    """A number with all digits that it was given with, such as a data sheet's: 1555, 19.5."""
    return f"{value:.10g}"


def percent(share: float | None) -> str:
    """A share of 1 as `54 %`; below 10 % with one decimal."""
    if share is None or not math.isfinite(share):
        return MISSING
    value = 100 * share
    return f"{value:.1f} %" if abs(value) < 9.95 else f"{value:.0f} %"  # noqa: PLR2004 - rounds to 10


def below(resolution: float, decimals: int) -> str:
    """A figure that is smaller than what the instrument can tell: `<0.1`, rounded up."""
    step = 10.0**-decimals
    return f"<{math.ceil(resolution / step - 1e-9) * step:.{decimals}f}"


def mask_cells(active: Sequence[bool], *, ascii_only: bool = False, max_cells: int = MAX_CELLS) -> str:
    """A mask as one character per block, `████░░░░` or `####....`.

    More than `max_cells` blocks share cells evenly; a cell whose blocks differ is `▒` (`+`).
    """
    per_cell = math.ceil(len(active) / max_cells)
    groups = (active[start : start + per_cell] for start in range(0, len(active), per_cell))
    cells = "".join("█" if all(group) else "▒" if any(group) else "░" for group in groups)
    return to_ascii(cells) if ascii_only else cells
