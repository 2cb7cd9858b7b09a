"""Columns that the tables of two traces share: what is said of a row, counts and times of both sides, the change."""

from collections.abc import Sequence

from maskprof.reports import units
from maskprof.reports.layout import Column
from maskprof.reports.trace_columns import count_cell, telling_decimals, time_column
from maskprof.results.trace_comparison import DiffRow

_CHANGES = ("added", "removed", "more", "fewer", "slower", "faster")


def tally(rows: Sequence[DiffRow]) -> str:
    """`2 removed, 1 slower, 20 same`."""
    counts = [(status, sum(row.status == status for row in rows)) for status in (*_CHANGES, "same")]
    return ", ".join(f"{number} {status}" for status, number in counts if number)


def status_column(rows: Sequence[DiffRow]) -> Column:
    """What is said of B."""
    return Column(
        key="status", title="\nin B", cells=tuple(row.status for row in rows), justify="left", rank=0
    )


def count_columns(rows: Sequence[DiffRow], title: str, *, rank: int = 1) -> list[Column]:
    """Counts of both sides; the title's last line ends with the side."""
    head = title if "\n" in title else f"{title}\n"
    return [
        Column(
            key=f"count_{side}",
            title=f"{head} {side.upper()}".replace("\n ", "\n"),
            cells=tuple(count_cell(row.count_a if side == "a" else row.count_b) for row in rows),
            rank=rank,
            role="side",
        )
        for side in ("a", "b")
    ]


def change_columns(rows: Sequence[DiffRow], *, percent: bool = True) -> list[Column]:
    """Times of both sides in one unit, and the change, also in percent."""
    unit = units.time_unit([value for row in rows for value in (row.us_a, row.us_b)])
    columns = [
        time_column("us_a", "A", [row.us_a for row in rows], unit=unit),
        time_column("us_b", "B", [row.us_b for row in rows], unit=unit),
        Column(key="delta", title=f"change\n{unit}", cells=signed([row.delta_us for row in rows], unit)),
    ]
    if percent:
        columns.append(
            Column(key="percent", title="\nchange", cells=tuple(map(_percent, rows)), rank=2, role="side")
        )
    return columns


def signed(deltas_us: Sequence[float], unit: str) -> tuple[str, ...]:
    """Changes in this unit, with their signs."""
    scaled = [delta / units.time_factor(unit) for delta in deltas_us]
    decimals = telling_decimals(scaled)
    texts = [units.fixed(value, decimals) for value in scaled]
    return tuple(
        f"+{text}" if value > 0 and float(text) else text for text, value in zip(texts, scaled, strict=True)
    )


def _percent(row: DiffRow) -> str:
    if row.us_a <= 0 or row.us_b <= 0:
        return units.MISSING
    share = row.delta_us / row.us_a
    text = units.percent(share)
    return f"+{text}" if share > 0 else text
