"""What was found in traces, on a terminal or piped to a file."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.text import Text

from maskprof.reports import units
from maskprof.reports.diff_tables import diff_subject, diff_tables, unchanged
from maskprof.reports.escapes import visible
from maskprof.reports.flame import flame
from maskprof.reports.layout import Table, with_texts
from maskprof.reports.many_traces import MOST_IN_FULL, how_to_see_one, lines_table
from maskprof.reports.rank_tables import overview_table, rank_table
from maskprof.reports.table_console import is_ascii, print_table
from maskprof.reports.trace_tables import block_tables, other_tables, recorded, time_tables
from maskprof.results.trace_comparison import RankComparison, TraceDiff
from maskprof.results.trace_summary import TraceSummary


def print_traces(
    summaries: Sequence[TraceSummary], ranks: RankComparison | None, console: Console, *, top: int
) -> None:
    """Print one or several traces; of several first how they compare, of many only that, a line each."""
    if len(summaries) > MOST_IN_FULL:
        own = rank_table(ranks)
        print_tables([lines_table(summaries), *([own] if own is not None else [])], console)
        console.print()
        _print_line(visible(how_to_see_one(summaries)), console)
        return
    if len(summaries) > 1:
        table = rank_table(ranks) or overview_table(summaries)
        print_tables([table], console)
    for place, summary in enumerate(summaries):
        if len(summaries) > 1:
            console.print()
            console.rule(Text(_shown(f"{place + 1} of {len(summaries)}", console)), align="left", style="dim")
        print_trace(summary, console, top=top)


def print_trace(summary: TraceSummary, console: Console, *, top: int) -> None:
    """Print one trace: which it is, what bounds it, and the tables.

    Names in it are data: no markup, no control codes. Colours are the console's decision.
    """
    _print_line(visible(summary.facts.path), console)
    print_paragraph(recorded(summary), console, style="dim")
    print_paragraph(" ".join(map(visible, summary.headline)), console, style="bold green")
    print_tables(time_tables(summary, top=top), console)
    lines = flame(summary.blocks, console.width)
    if lines:
        console.print()
    for line in lines:
        print_paragraph(line, console, style="cyan" if line.startswith("blocks") else "dim")
    if summary.no_blocks:
        console.print()
        print_paragraph(visible(summary.no_blocks), console, style="cyan")
    print_tables((*block_tables(summary), *other_tables(summary, top=top)), console)


def print_diff(diff: TraceDiff, console: Console, *, top: int) -> None:
    """Print two traces side by side: which they are, what changed in words, the tables."""
    for line in diff_subject(diff):
        _print_line(line, console)
    print_paragraph(" ".join(map(visible, diff.headline)), console, style="bold green")
    print_tables(diff_tables(diff, top=top), console)
    for note in filter(None, (unchanged(diff), *diff.notes)):
        print_paragraph(visible(note), console, style="dim")


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Print each table with an empty line before it."""
    for table in tables:
        console.print()
        shown = with_texts(table, _ascii) if is_ascii(console) else table
        print_table(replace(shown, notes=tuple(note for note in shown.notes if note)), console)


def print_paragraph(text: str, console: Console, *, style: str) -> None:
    """Print running text."""
    if text:
        console.print(Text(_shown(text, console), style=style))


def _print_line(text: str, console: Console) -> None:
    """A line with a path in it, never broken, so that it can be copied."""
    console.print(Text(_shown(text, console), style="dim"), soft_wrap=True)


def _shown(text: str, console: Console) -> str:
    return _ascii(text) if is_ascii(console) else text


def _ascii(text: str) -> str:
    """Names may hold any character, and one that the output cannot encode would end the report."""
    return units.to_ascii(text).encode("ascii", "backslashreplace").decode("ascii")
