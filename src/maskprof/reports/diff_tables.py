"""Two traces side by side, as tables."""

from collections.abc import Sequence

from maskprof.counted_nouns import count
from maskprof.kernel_names import short_names
from maskprof.reports import units
from maskprof.reports.diff_blocks import block_work_tables, blocks_diff_table, changed_rows
from maskprof.reports.diff_columns import change_columns, count_columns, signed, status_column, tally
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_columns import Shorten, listed, name_columns, plain_names
from maskprof.results.trace_comparison import DiffRow, SkippedChange, TraceDiff


def diff_tables(diff: TraceDiff, *, top: int) -> tuple[Table, ...]:
    """Phases, blocks and what changed in them; of ranges, categories, kernels and operators those that changed."""
    tables = [_table("Phases (per step)", "phase", diff.phases, top=len(diff.phases), counts="steps")]
    what = "kernel" if diff.a.devices and diff.b.devices else "operator"
    for phase, rows in diff.blocks.items():
        where = "" if phase == "all" else f" in {visible(phase)}"
        tables.append(blocks_diff_table(rows, where=where, counts=f"{what}s"))
        tables += block_work_tables(rows, where=where, what=what, top=top)
    title = "What went with blocks that only one side runs: change of device work from A to B"
    tables.append(
        _skipped_table(title, "category", [(row.category, row) for row in diff.skipped], shorten=plain_names)
    )
    elsewhere = [(row.name, row) for row in diff.skipped_kernels if row.elsewhere_count]
    title = f"{what.capitalize()}s whose number changed elsewhere too, from A to B"
    tables.append(
        _skipped_table(title, what, elsewhere[:top], shorten=short_names if what == "kernel" else plain_names)
    )
    tables += [
        _changes("Ranges", "range", diff.ranges, top=top, counts="count"),
        _changes("Categories of device work", "category", diff.categories, top=top, counts="count"),
        _changes("Kernels", "kernel", diff.kernels, top=top, counts="count", shorten=short_names),
        _changes("Operators (host time of their own)", "operator", diff.operators, top=top, counts="calls"),
    ]
    return tuple(table for table in tables if table is not None)


def unchanged(diff: TraceDiff) -> str:
    """A sentence on what has no table because nothing in it changed; empty where there is no such thing."""
    lists = {
        "range": diff.ranges,
        "category": diff.categories,
        "kernel": diff.kernels,
        "operator": diff.operators,
    }
    names = [what for what, rows in lists.items() if rows and not changed_rows(rows)]
    return f"The same in both: every {listed(names)}." if names else ""


def diff_subject(diff: TraceDiff) -> tuple[str, str]:
    """Which trace is A and which is B."""
    texts = []
    for letter, facts in (("A", diff.a), ("B", diff.b)):
        devices = ", ".join(dict.fromkeys(facts.devices)) or "no device"
        texts.append(visible(f"{letter}: {facts.path} · {devices} · {count(facts.events, 'event')}"))
    return texts[0], texts[1]


def _changes(
    title: str, what: str, rows: Sequence[DiffRow], *, top: int, counts: str, shorten: Shorten = plain_names
) -> Table | None:
    """The rows that changed, the `top` of them; how many did not is a note."""
    changed = changed_rows(rows)
    return _table(title, what, changed, top=top, counts=counts, shorten=shorten, of_all=rows)


def _table(
    title: str,
    what: str,
    rows: Sequence[DiffRow],
    *,
    top: int,
    counts: str,
    shorten: Shorten = plain_names,
    of_all: Sequence[DiffRow] = (),
) -> Table | None:
    if not rows:
        return None
    shown = rows[:top]
    largest = f": the {len(shown)} largest of {len(rows)} changes" if len(shown) < len(rows) else ""
    left_out = " (left out)" if len(rows) < len(of_all) else ""
    return Table(
        title=f"{title}{largest}",
        columns=(
            *name_columns("name", f"\n{what}", [row.key for row in shown], shorten=shorten),
            status_column(shown),
            *count_columns(shown, counts),
            *change_columns(shown),
        ),
        notes=(f"{tally(of_all or rows)}{left_out}.",),
        strong_rows=frozenset(place for place, row in enumerate(shown) if row.status in ("added", "removed")),
    )


def _skipped_table(
    title: str, what: str, named: Sequence[tuple[str, SkippedChange]], *, shorten: Shorten
) -> Table | None:
    if not named:
        return None
    rows = [row for _, row in named]
    columns = [*name_columns("name", f"\n{what}", [name for name, _ in named], shorten=shorten)]
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
    unit = units.time_unit([us for row in rows for us in (row.inside_us, row.whole_us)])
    for key, head, counts, times_us in parts:
        cells = tuple(f"+{count}" if count > 0 else str(count) for count in counts)
        columns.append(Column(key=f"{key}_count", title=head, cells=cells))
        columns.append(Column(key=f"{key}_us", title=f"\n{unit}", cells=signed(times_us, unit), rank=1))
    return Table(
        title=title,
        columns=tuple(columns),
        notes=("Counts, and their time: in those blocks, elsewhere, and in all; over all steps.",),
    )
