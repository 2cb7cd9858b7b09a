"""What was found in traces, as Markdown: the whole tables, and nothing in a name is markup."""

from collections.abc import Sequence

from maskprof.reports.diff_tables import diff_subject, diff_tables, unchanged
from maskprof.reports.escapes import markdown
from maskprof.reports.flame import flame
from maskprof.reports.layout import to_markdown
from maskprof.reports.rank_tables import overview_table, rank_table
from maskprof.reports.trace_tables import block_tables, other_tables, subject, time_tables
from maskprof.results.trace_comparison import RankComparison, TraceDiff
from maskprof.results.trace_summary import TraceSummary

_FLAME_WIDTH = 100


def traces_to_markdown(summaries: Sequence[TraceSummary], ranks: RankComparison | None, *, top: int) -> str:
    """One or several traces, each under a heading of its own."""
    parts: list[str] = []
    if len(summaries) > 1:
        parts.append(to_markdown(rank_table(ranks) or overview_table(summaries)).rstrip())
    for summary in summaries:
        parts += [
            f"# {markdown(summary.facts.path)}",
            markdown(subject(summary)),
            markdown(" ".join(summary.headline)),
        ]
        parts += [to_markdown(table).rstrip() for table in time_tables(summary, top=top)]
        parts.append(_fenced(flame(summary.blocks, _FLAME_WIDTH)))
        parts.append(markdown(summary.no_blocks or ""))
        rest = (*block_tables(summary), *other_tables(summary, top=top))
        parts += [to_markdown(table).rstrip() for table in rest]
    return _joined(parts)


def diff_to_markdown(diff: TraceDiff, *, top: int) -> str:
    """Two traces side by side."""
    parts = ["# Two traces", *map(markdown, diff_subject(diff)), markdown(" ".join(diff.headline))]
    parts += [to_markdown(table).rstrip() for table in diff_tables(diff, top=top)]
    parts.append(markdown(" ".join(filter(None, (unchanged(diff), *diff.notes)))))
    return _joined(parts)


def _fenced(lines: Sequence[str]) -> str:
    # Phases have no backticks in their names, and lines of a flame no names but theirs.
    return "\n".join(["```text", *(line.replace("`", "'") for line in lines), "```"]) if lines else ""


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
