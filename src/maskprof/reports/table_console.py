"""One table on a terminal (rich)."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from maskprof.reports import units
from maskprof.reports.layout import GAP, Column, Table, columns_that_fit, with_texts

# Rich's own ASCII boxes have walls between the columns.
_ASCII_RULE = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_STYLES = {"figure": "", "side": "dim", "mask": "cyan", "name": ""}


def print_table(table: Table, console: Console) -> None:
    """Print one table with the columns for which there is room."""
    if is_ascii(console):
        table = with_texts(table, units.to_ascii)
    console.print(shown_text(console, table.title, "bold"))
    grid = RichTable(
        # Heavy lines and borders would compete with the figures; one thin rule under the heads is enough.
        box=_ASCII_RULE if is_ascii(console) else box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, GAP - 1, 0, 0),
        header_style="",
    )
    shown = columns_that_fit(table, console.width)
    for column in shown:
        grid.add_column(
            _cell(console, column, column.title, "bold"),
            justify=column.justify,
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in range(table.num_rows):
        strong = "bold" if row in table.strong_rows else ""
        grid.add_row(*(_cell(console, column, column.cells[row], strong) for column in shown))
    console.print(grid)
    for note in table.notes:
        console.print(shown_text(console, note, "dim"))


def is_ascii(console: Console) -> bool:
    """Whether the output cannot show box characters."""
    return not console.encoding.lower().startswith("utf")


def shown_text(console: Console, text: str, style: str) -> Text:
    """Text in a style, in ASCII where the output needs that."""
    return Text(units.to_ascii(text) if is_ascii(console) else text, style=style)


def _cell(console: Console, column: Column, text: str, style: str) -> Text:
    return shown_text(console, text, f"{_STYLES[column.role]} {style}".strip())
