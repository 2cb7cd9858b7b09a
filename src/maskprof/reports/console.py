"""A result in a terminal, or piped to a file: headline, tables, where everything was saved."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from maskprof.reports.headline import headline, subject
from maskprof.reports.layout import GAP
from maskprof.reports.remarks import sentence
from maskprof.reports.table_console import print_table, shown_text
from maskprof.reports.tables import all_tables
from maskprof.results.schema import RunResult


def print_result(result: RunResult, console: Console, *, where: Sequence[tuple[str, str]]) -> None:
    """Print a result: what was measured, what came out, the tables, and where to find more.

    Colours and control codes are the console's decision: none when it is no terminal, no colours under
    `NO_COLOR`. Where the output's encoding has no box characters, ASCII stands in.

    Args:
        result: the run.
        console: where to; its width decides which columns there is room for.
        where: (label, path or command) lines for the end; never broken, so that they can be copied.
    """
    console.print(shown_text(console, subject(result), "dim"))
    console.print(shown_text(console, headline(result), "bold green" if result.summary else "bold red"))
    for finding in result.findings:
        style = "yellow" if finding.is_warning else "dim"
        console.print(shown_text(console, sentence(finding), style))
    for table in all_tables(result):
        console.print()
        print_table(table, console)
    if where:
        console.print()
    indent = max((len(label) for label, _ in where), default=0) + GAP
    for label, target in where:
        line = Text.assemble((label.ljust(indent), "dim"), target)
        console.print(line, soft_wrap=True, highlight=False)
