"""A result in a terminal, or piped to a file: headline, tables, where everything was saved."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from maskprof.reports import units
from maskprof.reports.headline import headline, subject
from maskprof.reports.layout import GAP, Column, Table, columns_that_fit, with_texts
from maskprof.reports.remarks import sentence
from maskprof.reports.tables import all_tables
from maskprof.results.schema import RunResult

# Rich's own ASCII boxes have walls between the columns.
_ASCII_RULE = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
_STYLES = {"figure": "", "side": "dim", "mask": "cyan", "name": ""}


def print_result(result: RunResult, console: Console, *, where: Sequence[tuple[str, str]]) -> None:
    """Print a result: what was measured, what came out, the tables, and where to find more.

    Colours and control codes are the console's decision: none when it is no terminal, no colours under
    `NO_COLOR`. Where the output's encoding has no box characters, ASCII stands in.

    Args:
        result: the run.
        console: where to; its width decides which columns there is room for.
        where: (label, path or command) lines for the end; never broken, so that they can be copied.
    """
    console.print(_text(console, subject(result), "dim"))
    console.print(_text(console, headline(result), "bold green" if result.summary else "bold red"))
    for finding in result.findings:
        console.print(_text(console, sentence(finding), "yellow" if finding.is_warning else "dim"))
    for table in all_tables(result):
        console.print()
        print_table(table, console)
    if where:
        console.print()
    indent = max((len(label) for label, _ in where), default=0) + GAP
    for label, target in where:
        line = Text.assemble((label.ljust(indent), "dim"), target)
        console.print(line, soft_wrap=True, highlight=False)


def print_table(table: Table, console: Console) -> None:
    """Print one table with the columns for which there is room."""
    if _is_ascii(console):
        table = with_texts(table, units.to_ascii)
    console.print(_text(console, table.title, "bold"))
    grid = RichTable(
        # Heavy lines and borders would compete with the figures; one thin rule under the heads is enough.
        box=_ASCII_RULE if _is_ascii(console) else box.SIMPLE_HEAD,
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
        console.print(_text(console, note, "dim"))


def _is_ascii(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")


def _text(console: Console, text: str, style: str) -> Text:
    return Text(units.to_ascii(text) if _is_ascii(console) else text, style=style)


def _cell(console: Console, column: Column, text: str, style: str) -> Text:
    return _text(console, text, f"{_STYLES[column.role]} {style}".strip())
