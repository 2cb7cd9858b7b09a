"""Several traces side by side, as a table: the ranks of a job, or any others."""

from collections.abc import Sequence

from maskprof.counted_nouns import count
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_columns import (
    bar_columns,
    count_column,
    name_columns,
    share_column,
    time_column,
)
from maskprof.results.trace_comparison import RankComparison
from maskprof.results.trace_summary import TraceSummary


def rank_table(ranks: RankComparison | None) -> Table | None:
    """Per rank: span, compute, communication and what it waited; stragglers stand out."""
    if ranks is None:
        return None
    rows = ranks.rows
    longest = max((row.wait_us for row in rows), default=0.0)
    shares = [row.wait_us / longest if longest > 0 else None for row in rows]
    late = frozenset(place for place, row in enumerate(rows) if row.rank in ranks.stragglers)
    columns = [
        Column(key="rank", title="\nrank", cells=tuple(str(row.rank) for row in rows)),
        time_column("span", "span", [row.span_us for row in rows], rank=1),
        time_column("busy", "busy", [row.busy_us for row in rows], rank=3),
        time_column("compute", "compute", [row.compute_us for row in rows]),
        time_column("communication", "comm.", [row.communication_us for row in rows], rank=2),
        time_column("wait", "waits", [row.wait_us for row in rows]),
        *bar_columns("bar", "", shares, rank=12, last_rank=5),
        share_column("idle", "\nidle", [row.idle_pct / 100 for row in rows], rank=4),
    ]
    if late:
        cells = tuple("straggler" if place in late else "" for place in range(len(rows)))
        columns.append(Column(key="straggler", title="", cells=cells, justify="left"))
    columns += name_columns("path", "\ntrace", [row.path for row in rows], least_rank=20)
    return Table(
        title=f"Ranks: {count(len(rows), 'trace')}",
        columns=tuple(columns),
        notes=(
            *map(visible, ranks.notes),
            "Waits: time in communication kernels beyond the least of all ranks; who comes last waits least.",
        ),
        strong_rows=late,
    )


def overview_table(summaries: Sequence[TraceSummary]) -> Table:
    """Traces that are not the ranks of one job: a row each."""
    devices = [summary.whole.device for summary in summaries]
    columns = [
        *name_columns("path", "\ntrace", [summary.facts.path for summary in summaries]),
        time_column("span", "span", [summary.facts.span_us for summary in summaries]),
        count_column("events", "\nevents", [summary.facts.events for summary in summaries], rank=1),
    ]
    if any(devices):
        columns += [
            count_column("kernels", "\nkernels", [d.kernel_count if d else None for d in devices], rank=2),
            time_column("busy", "device\nbusy", [d.busy_us if d else None for d in devices]),
            share_column("idle", "device\nidle", [d.idle_pct / 100 if d else None for d in devices]),
        ]
    return Table(title=count(len(summaries), "trace").capitalize(), columns=tuple(columns))
