"""Two traces side by side, as tables."""

from collections.abc import Sequence

from maskprof.kernel_names import short_names
from maskprof.reports import units
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_columns import (
    Shorten,
    count_cell,
    name_columns,
    plain_names,
    telling_decimals,
    time_column,
)
from maskprof.results.trace_comparison import DiffRow, SkippedRow, TraceDiff

_CHANGES = ("added", "removed", "more", "fewer", "slower", "faster")


def diff_tables(diff: TraceDiff, *, top: int) -> tuple[Table, ...]:
    """Every table that has a row: phases, blocks per phase, ranges, categories, kernels, operators."""
    tables = [_table("Phases (per step)", "phase", diff.phases, top=len(diff.phases), counts="steps")]
    counts = "kernels" if diff.kernels else "operators"
    for phase, rows in diff.blocks.items():
        where = "" if phase == "all" else f" in {visible(phase)}"
        tables.append(_table(f"Blocks{where} (per step)", "block", rows, top=len(rows), counts=counts))
    tables.append(_skipped_table(diff.skipped))
    tables += [
        _table("Ranges", "range", diff.ranges, top=top, counts="count"),
        _table(
            "Categories of device work", "category", diff.categories, top=len(diff.categories), counts="count"
        ),
        _table("Kernels", "kernel", diff.kernels, top=top, counts="count", shorten=short_names),
        _table("Operators (host time of their own)", "operator", diff.operators, top=top, counts="calls"),
    ]
    return tuple(table for table in tables if table is not None)


def diff_subject(diff: TraceDiff) -> tuple[str, str]:
    """Which trace is A and which is B."""
    texts = []
    for letter, facts in (("A", diff.a), ("B", diff.b)):
        devices = ", ".join(dict.fromkeys(facts.devices)) or "no device"
        texts.append(visible(f"{letter}: {facts.path} · {devices} · {units.count(facts.events, 'event')}"))
    return texts[0], texts[1]


def _table(
    title: str, what: str, rows: Sequence[DiffRow], *, top: int, counts: str, shorten: Shorten = plain_names
) -> Table | None:
    if not rows:
        return None
    shown = rows[:top]
    changed = [(status, sum(row.status == status for row in rows)) for status in (*_CHANGES, "same")]
    tally = ", ".join(f"{number} {status}" for status, number in changed if number)
    unit = units.time_unit([value for row in shown for value in (row.us_a, row.us_b)])
    largest = f": the {len(shown)} largest changes of {len(rows)}" if len(shown) < len(rows) else ""
    return Table(
        title=f"{title}{largest}",
        columns=(
            *name_columns("name", f"\n{what}", [row.key for row in shown], shorten=shorten),
            Column(
                key="status", title="\nin B", cells=tuple(row.status for row in shown), justify="left", rank=0
            ),
            *_count_columns(shown, counts),
            time_column("us_a", "A", [row.us_a for row in shown], unit=unit),
            time_column("us_b", "B", [row.us_b for row in shown], unit=unit),
            Column(
                key="delta", title=f"change\n{unit}", cells=_signed([row.delta_us for row in shown], unit)
            ),
            Column(key="percent", title="\nchange", cells=tuple(map(_percent, shown)), rank=2, role="side"),
        ),
        notes=(f"{tally}.",),
        strong_rows=frozenset(place for place, row in enumerate(shown) if row.status in ("added", "removed")),
    )


def _skipped_table(rows: Sequence[SkippedRow]) -> Table | None:
    if not rows:
        return None
    columns = [*name_columns("name", "\ncategory", [row.category for row in rows])]
    parts: tuple[tuple[str, str, list[int], list[float]], ...] = (
        ("inside", "those\nblocks", [row.inside_count for row in rows], [row.inside_us for row in rows]),
        (
            "elsewhere",
            "else-\nwhere",
            [row.elsewhere_count for row in rows],
            [row.elsewhere_us for row in rows],
        ),
        ("whole", "\nall", [row.whole_count for row in rows], [row.whole_us for row in rows]),
    )
    for key, title, counts, times_us in parts:
        unit = units.time_unit([us for row in rows for us in (row.inside_us, row.whole_us)])
        cells = tuple(f"+{count}" if count > 0 else str(count) for count in counts)
        columns.append(Column(key=f"{key}_count", title=title, cells=cells))
        columns.append(Column(key=f"{key}_us", title=f"\n{unit}", cells=_signed(times_us, unit), rank=1))
    return Table(
        title="What went with blocks that only one side runs: change of device work from A to B",
        columns=tuple(columns),
        notes=("Counts, and their time: in those blocks, elsewhere, and in all; over all steps.",),
    )


def _count_columns(rows: Sequence[DiffRow], counts: str) -> list[Column]:
    return [
        Column(
            key=f"count_{side}",
            title=f"{counts}\n{side.upper()}",
            cells=tuple(count_cell(row.count_a if side == "a" else row.count_b) for row in rows),
            rank=1,
            role="side",
        )
        for side in ("a", "b")
    ]


def _signed(deltas_us: Sequence[float], unit: str) -> tuple[str, ...]:
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
