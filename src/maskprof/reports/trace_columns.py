"""Columns that the tables of a trace share: names that shrink with the width, times, shares with their bars."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from maskprof import terminal_cells
from maskprof.kernel_names import short_names
from maskprof.reports import units
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column
from maskprof.terminal_cells import cut_middle

# Each width of a name and its rank: a name shrinks to 44 before any other column goes, below that after those
# whose rank is `BEFORE_NAMES` or more.
_NAME_WIDTHS = dict(
    zip(
        (100, 88, 76, 68, 60, 54, 48, 44, 40, 36, 32, 28, 24, 20, 16),
        (100, 99, 98, 97, 96, 95, 94, 49, 48, 47, 46, 45, 44, 43, 42),
        strict=True,
    )
)
_LEAST_WIDTH = 24
BEFORE_NAMES = 50
_BAR_WIDTHS = (24, 16, 10)
# So that what is not nothing does not look like it, unless it is a thousand times less than the largest.
_MOST_DECIMALS = 3
_EIGHTHS = "▏▎▍▌▋▊▉"

Shorten = Callable[[Sequence[str], int], Sequence[str]]


def plain_names(names: Sequence[str], width: int) -> tuple[str, ...]:
    """Each name at most `width` cells wide; its middle goes."""
    return tuple(cut_middle(name, width) for name in names)


def name_columns(
    key: str,
    title: str,
    names: Sequence[str],
    *,
    shorten: Shorten = plain_names,
    least: int = _LEAST_WIDTH,
    least_rank: int = 0,
) -> list[Column]:
    """The names as wide as there is room for: a column for each width, of which one is shown.

    The narrowest has `least` cells and the rank `least_rank`; 0: it always stays.
    """
    shown = [visible(name) for name in names]
    columns: list[Column] = []
    for width, rank in _NAME_WIDTHS.items():
        cells = tuple(shorten(shown, width))
        if columns and cells == columns[-1].cells:
            continue
        columns.append(
            Column(
                key=f"{key}_{width}",
                title=title,
                cells=cells,
                justify="left",
                rank=rank,
                instead_of=columns[-1].key if columns else None,
                role="name",
            )
        )
        if width <= least or max(map(terminal_cells.cells, cells), default=0) <= least:
            break
    *others, narrowest = columns
    return [*others, replace(narrowest, rank=least_rank)]


def kernel_columns(names: Sequence[str]) -> list[Column]:
    """Names of kernels, with what tells them apart."""
    return name_columns("name", "\nkernel", names, shorten=short_names)


def time_column(
    key: str, title: str, values_us: Sequence[float | None], *, rank: int = 0, unit: str | None = None
) -> Column:
    """Times in one unit, which the title's last line ends with."""
    chosen = unit or units.time_unit(values_us)
    scaled = [None if value is None else value / units.time_factor(chosen) for value in values_us]
    decimals = telling_decimals(scaled)
    return Column(
        key=key,
        title=f"{title} {chosen}" if "\n" in title else f"{title}\n{chosen}",
        cells=tuple(units.fixed(value, decimals) for value in scaled),
        rank=rank,
    )


def telling_decimals(values: Sequence[float | None]) -> int:
    """Decimals for the largest, and more where a small one would look like nothing."""
    decimals = units.decimals_for(values)
    while decimals < _MOST_DECIMALS and any(
        value and float(f"{value:.{decimals}f}") == 0 for value in values
    ):
        decimals += 1
    return decimals


def count_column(key: str, title: str, values: Sequence[float | None], *, rank: int = 0) -> Column:
    """How many: whole numbers as such, means with a decimal where they are none."""
    return Column(key=key, title=title, cells=tuple(map(count_cell, values)), rank=rank)


def count_cell(value: float | None) -> str:
    """`12`, `12.5`, or `-` where there is none."""
    if value is None:
        return units.MISSING
    return str(round(value)) if abs(value - round(value)) < 0.05 else f"{value:.1f}"  # noqa: PLR2004 - one decimal


def share_column(key: str, title: str, shares: Sequence[float | None], *, rank: int = 0) -> Column:
    """Shares of 1 as percent."""
    return Column(key=key, title=title, cells=tuple(map(units.percent, shares)), rank=rank, role="side")


def bar_columns(
    key: str,
    title: str,
    shares: Sequence[float | None],
    *,
    rank: int,
    last_rank: int,
    widths: Sequence[int] = _BAR_WIDTHS,
    faint: Sequence[bool] = (),
) -> list[Column]:
    """Bars whose full length is a share of 1, as long as there is room for: one of `widths` is shown.

    `rank` is that of the longest, `last_rank` of the shortest; between, each has one less than the one before.
    Rows marked in `faint` are drawn light.
    """
    columns: list[Column] = []
    marks = list(faint) or [False] * len(shares)
    for place, width in enumerate(widths):
        columns.append(
            Column(
                key=f"{key}_{width}",
                title=title,
                cells=tuple(bar(share, width, faint=mark) for share, mark in zip(shares, marks, strict=True)),
                justify="left",
                rank=last_rank if width == widths[-1] else rank - place,
                instead_of=columns[-1].key if columns else None,
                role="mask",
            )
        )
    return columns


def bar(share: float | None, width: int, *, faint: bool = False) -> str:
    """A bar of `share * width` characters, to an eighth of one; what is not nothing shows at least a sliver."""
    if not units.is_number(share) or share is None or share <= 0:
        return ""
    eighths = max(1, round(min(share, 1.0) * width * 8))
    whole, rest = divmod(eighths, 8)
    if faint:
        return "░" * max(1, round(eighths / 8))
    return "█" * whole + (_EIGHTHS[rest - 1] if rest else "")


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
