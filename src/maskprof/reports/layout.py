"""A table before it is rendered: columns that know how dear they are, rows of text, notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from maskprof.reports.escapes import markdown
from maskprof.terminal_cells import cells

# Between two columns.
GAP = 2
# What a column that wraps needs at least.
MIN_WRAP_WIDTH = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        key: unique in its table.
        title: one or two lines.
        cells: one per row.
        justify: where the cells stand.
        rank: 0 always stays; where the width is short, the highest ranks go first, equal ranks together.
        instead_of: the key of a wider column that this one replaces when that one has gone.
        wraps: running text, the one kind of column that may break its lines.
        role: what the column is, for a renderer that has colours.
    """

    key: str
    title: str
    cells: tuple[str, ...]
    justify: Literal["left", "right"] = "right"
    rank: int = 0
    instead_of: str | None = None
    wraps: bool = False
    role: Literal["figure", "side", "mask", "name"] = "figure"

    @property
    def width(self) -> int:
        """Cells of a terminal that the column needs."""
        if self.wraps:
            return MIN_WRAP_WIDTH
        return max(cells(line) for text in (self.title, *self.cells) for line in text.split("\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: title, columns from left to right, notes below; `strong_rows` stand out."""

    title: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    strong_rows: frozenset[int] = frozenset()

    @property
    def num_rows(self) -> int:
        return len(self.columns[0].cells) if self.columns else 0


def columns_that_fit(table: Table, width: int | None) -> tuple[Column, ...]:
    """The columns to show in `width` cells (None: no limit): the dearest ones that fit.

    Columns of rank 0 stay even where they do not fit. Of a column and its narrower stand-in one is shown.
    """
    kept = list(table.columns)
    while True:
        shown = _without_stand_ins(kept)
        needed = sum(column.width for column in shown) + GAP * (len(shown) - 1)
        highest = max((column.rank for column in shown), default=0)
        if width is None or needed <= width or not highest:
            return tuple(shown)
        kept = [column for column in kept if column not in shown or column.rank < highest]


def with_texts(table: Table, change: Callable[[str], str]) -> Table:
    """The table with every text changed, as for an output that lacks some characters."""
    return replace(
        table,
        title=change(table.title),
        notes=tuple(map(change, table.notes)),
        columns=tuple(
            replace(column, title=change(column.title), cells=tuple(map(change, column.cells)))
            for column in table.columns
        ),
    )


def to_markdown(table: Table) -> str:
    """The whole table in GitHub's Markdown, notes below; nothing in its texts is markup."""
    shown = columns_that_fit(table, None)
    marks = {"left": ":---", "right": "---:"}
    lines = [
        _markdown_row([column.title.strip() for column in shown]),
        _markdown_row([marks[column.justify] for column in shown]),
    ]
    lines += [_markdown_row([column.cells[row] for column in shown]) for row in range(table.num_rows)]
    notes = "".join(f"\n\n{markdown(note)}" for note in table.notes)
    return f"**{markdown(table.title)}**\n\n" + "\n".join(lines) + notes + "\n"


def _without_stand_ins(columns: Sequence[Column]) -> list[Column]:
    shown: list[Column] = []
    keys = {column.key for column in columns}
    # A chain of stand-ins: the third shows only when the first two have gone.
    replaced = {column.key: column.instead_of for column in columns}
    for column in columns:
        wider = column.instead_of
        while wider is not None and wider not in keys:
            wider = replaced.get(wider)
        if wider is None:
            shown.append(column)
    return shown


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown(cell.replace("\n", " ")) for cell in cells) + " |"
