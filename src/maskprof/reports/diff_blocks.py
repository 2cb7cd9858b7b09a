"""The blocks of two traces side by side: those that changed alike as one row, and what changed inside, by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from maskprof.counted_nouns import count
from maskprof.kernel_names import short_names
from maskprof.reports import units
from maskprof.reports.diff_columns import change_columns, count_columns, status_column, tally
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_columns import Shorten, count_cell, name_columns, plain_names
from maskprof.results.trace_comparison import BlockDiffRow, DiffRow, DiffStatus

# So many changed blocks have a row of their own; so many groups of blocks that only one side runs have a table.
_MOST_ROWS = 8
_MOST_GROUPS = 3
_ONE_SIDED: tuple[DiffStatus, ...] = ("added", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockGroup:
    """Blocks that changed alike. Counts are of each of them, times of all of them together."""

    blocks: tuple[int, ...]
    row: DiffRow
    work: tuple[DiffRow, ...]

    @property
    def label(self) -> str:
        """`4-11, 14`."""
        return block_numbers(self.blocks)


def block_numbers(blocks: Sequence[int]) -> str:
    """`4-11, 14`."""
    breaks = [at for at, (one, other) in enumerate(pairwise(blocks), 1) if other != one + 1]
    runs = [blocks[first:last] for first, last in pairwise([0, *breaks, len(blocks)])]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def block_groups(rows: Sequence[BlockDiffRow]) -> tuple[BlockGroup, ...]:
    """Blocks with the same kernels that only one side runs; those that changed; all others together.

    Of many that changed in time, those that changed most stand alone, the rest by what is said of them. By the first
    block's number.
    """
    changed = [row for row in rows if _key(row)[0] == "changed"]
    changed.sort(key=lambda row: -abs(row.delta_us))
    # A row for what is left over would be no shorter than one for a single block more.
    own = {row.key for row in (changed if len(changed) <= _MOST_ROWS + 1 else changed[:_MOST_ROWS])}
    keyed = sorted(
        ((_key(row) if row.key not in own else ("own", row.key), row) for row in rows),
        key=lambda pair: repr(pair[0]),
    )
    groups = [_group([row for _, row in members]) for _, members in groupby(keyed, key=lambda pair: pair[0])]
    return tuple(sorted(groups, key=lambda group: group.blocks[0]))


def blocks_diff_table(rows: Sequence[BlockDiffRow], *, where: str, counts: str) -> Table | None:
    """All blocks of a phase, in as few rows as tell what changed."""
    groups = block_groups(rows)
    if not groups:
        return None
    shown = [group.row for group in groups]
    several = any(len(group.blocks) > 1 for group in groups)
    columns = list(
        name_columns("name", "\nblocks" if several else "\nblock", [g.label for g in groups], least=20)
    )
    if several:
        cells = tuple(str(len(group.blocks)) for group in groups)
        columns.append(Column(key="blocks", title="\nhow many", cells=cells, rank=3, role="side"))
    columns += [
        status_column(shown),
        *count_columns(shown, f"{counts}\neach" if several else counts),
        *change_columns(shown),
    ]
    notes = [f"{tally(rows)}."]
    if several:
        notes.append(f"{counts.capitalize()} of each block; times of all blocks of a row together.")
    return Table(
        title=f"Blocks{where} (per step)",
        columns=tuple(columns),
        notes=tuple(notes),
        strong_rows=frozenset(at for at, row in enumerate(shown) if row.status in _ONE_SIDED),
    )


def block_work_tables(rows: Sequence[BlockDiffRow], *, where: str, what: str, top: int) -> tuple[Table, ...]:
    """What changed inside blocks by name: for each group that only one side runs, and for all others together."""
    groups = block_groups(rows)
    one_sided = [group for group in groups if group.row.status in _ONE_SIDED and group.work]
    one_sided.sort(key=lambda group: (-len(group.blocks), group.blocks[0]))
    tables = [_one_sided_table(group, where=where, what=what, top=top) for group in one_sided[:_MOST_GROUPS]]
    rest = one_sided[_MOST_GROUPS:]
    if rest and tables:
        left = block_numbers(sorted(number for group in rest for number in group.blocks))
        note = f"Likewise blocks {left}, with other {what}s: they are in --json and --csv."
        tables[-1] = _with_note(tables[-1], note)
    others = _others_table(rows, where=where, what=what, top=max(1, top // 2))
    return (*tables, *([] if others is None else [others]))


def _one_sided_table(group: BlockGroup, *, where: str, what: str, top: int) -> Table:
    verb = "Gone with" if group.row.status == "removed" else "Come with"
    many = len(group.blocks)
    each = max(group.row.count_a, group.row.count_b)
    counted = f"{count_cell(each)} {what}{'' if each == 1 else 's'}"
    size = f"{many} blocks, {counted} each" if many > 1 else counted
    shown = group.work[:top]
    notes = (
        [f"Calls of each block; times of {'all of them' if many > 1 else 'the block'}."] if many > 1 else []
    )
    left = group.work[top:]
    if left:
        calls = sum(abs(row.count_b - row.count_a) for row in left)
        us = sum(row.delta_us for row in left)
        notes.append(
            f"{count(len(left), f'other {what}')} with {count_cell(calls)} calls{' each' if many > 1 else ''}, "
            f"{units.duration_us(abs(us))}."
        )
    return Table(
        title=f"{verb} block{'s' if many > 1 else ''} {group.label}{where}: {size} (per step)",
        columns=(
            *name_columns("name", f"\n{what}", [row.key for row in shown], shorten=_shorten(what)),
            *count_columns(shown, "calls\neach" if many > 1 else "calls", rank=0),
            *change_columns(shown, percent=False),
        ),
        notes=tuple(notes),
    )


def _others_table(rows: Sequence[BlockDiffRow], *, where: str, what: str, top: int) -> Table | None:
    """In blocks that run on both sides: what runs more or less often, and in those that changed what takes longer."""
    groups: dict[tuple[str, ...], list[tuple[int, DiffRow]]] = {}
    for row in rows:
        for work in row.work if row.status not in _ONE_SIDED else ():
            if work.count_a != work.count_b or (work.status != "same" and row.status != "same"):
                alike = (work.key, work.status, _rounded(work.count_a), _rounded(work.count_b))
                groups.setdefault(alike, []).append((int(row.key), work))
    if not groups:
        return None
    found = [
        (
            block_numbers([block for block, _ in members]),
            _together([work for _, work in members], len(members)),
        )
        for members in groups.values()
    ]
    found.sort(key=lambda pair: (pair[1].count_a == pair[1].count_b, -abs(pair[1].delta_us)))
    shown = found[:top]
    changes = [row for _, row in shown]
    several = any(len(members) > 1 for members in groups.values())
    notes = ["Other numbers of calls first."] if any(row.count_a != row.count_b for row in changes) else []
    if several:
        notes.append("Calls of each block; times of all blocks of a row together.")
    largest = f": the {len(shown)} largest of {len(found)} changes" if len(shown) < len(found) else ""
    return Table(
        title=f"Changed inside other blocks{where} (per step){largest}",
        columns=(
            *name_columns(
                "blocks", "\nblocks" if several else "\nblock", [label for label, _ in shown], least=16
            ),
            *name_columns("name", f"\n{what}", [row.key for row in changes], shorten=_shorten(what)),
            status_column(changes),
            *count_columns(changes, "calls\neach" if several else "calls", rank=1),
            *change_columns(changes),
        ),
        notes=tuple(notes),
    )


def _key(row: BlockDiffRow) -> tuple[str, ...]:
    """What blocks that stand in one row have in common."""
    if row.status in _ONE_SIDED:
        kernels = sorted((work.key, _rounded(work.count_a), _rounded(work.count_b)) for work in row.work)
        return ("one side", row.status, _rounded(row.count_a), _rounded(row.count_b), repr(kernels))
    if row.status == "same" and not any(work.count_a != work.count_b for work in row.work):
        return ("same", _rounded(row.count_a))
    return ("changed", row.status)


def _group(rows: Sequence[BlockDiffRow]) -> BlockGroup:
    rows = sorted(rows, key=lambda row: int(row.key))
    blocks = tuple(int(row.key) for row in rows)
    names: dict[str, list[DiffRow]] = {}
    for row in rows:
        for work in row.work:
            names.setdefault(work.key, []).append(work)
    together = [_together(found, len(rows)) for found in names.values()]
    return BlockGroup(
        blocks=blocks,
        row=_together(rows, len(rows)),
        work=tuple(sorted(together, key=lambda row: -abs(row.delta_us))),
    )


def _together(rows: Sequence[DiffRow], blocks: int) -> DiffRow:
    """Mean counts, times of all."""
    return DiffRow(
        key=rows[0].key,
        count_a=sum(row.count_a for row in rows) / blocks,
        count_b=sum(row.count_b for row in rows) / blocks,
        us_a=sum(row.us_a for row in rows),
        us_b=sum(row.us_b for row in rows),
        status=rows[0].status,
    )


def _rounded(count: float) -> str:
    return f"{count:.3f}"


def _shorten(what: str) -> Shorten:
    return short_names if what == "kernel" else plain_names


def _with_note(table: Table, note: str) -> Table:
    return Table(
        title=table.title, columns=table.columns, notes=(*table.notes, note), strong_rows=table.strong_rows
    )


def changed_rows(rows: Iterable[DiffRow]) -> tuple[DiffRow, ...]:
    """Those that are not the same."""
    return tuple(row for row in rows if row.status != "same")
