"""Traces as CSV: one file per table, plain numbers in the units that their names say, names in full.

A row names its trace and, where it is known, its rank, so that several traces share a file. Control characters
in names are written out; a name that a spreadsheet would take for a formula has `'` before it.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from maskprof.reports.escapes import csv_name
from maskprof.results.trace_comparison import DiffRow, RankComparison, RankRow, SkippedChange, TraceDiff
from maskprof.results.trace_summary import (
    BlockTime,
    BlockWork,
    DeviceTime,
    LaunchFacts,
    RooflineRow,
    TraceSummary,
)

_SUMMARY = ("events", "span_us")
_DEVICE = (*(field.name for field in fields(DeviceTime)), "idle_us", "idle_pct")
_LAUNCHES = tuple(field.name for field in fields(LaunchFacts))
_BLOCK = tuple(field.name for field in fields(BlockTime) if field.name not in ("categories", "work"))
_WORK = BlockWork._fields
_ROOFLINE = tuple(field.name for field in fields(RooflineRow))
_SKIPPED = (
    "inside_count",
    "inside_us",
    "elsewhere_count",
    "elsewhere_us",
    "whole_count",
    "whole_us",
)
_RANK = tuple(field.name for field in fields(RankRow) if field.name not in ("rank", "path"))

Rows = Iterable[Sequence[Any]]


def trace_csvs(summaries: Sequence[TraceSummary], ranks: RankComparison | None = None) -> dict[str, str]:
    """File name -> text; a table without rows is left out."""
    known = {} if ranks is None else {row.path: row.rank for row in ranks.rows}

    def of_each(rows_of: Any) -> Rows:
        for summary in summaries:
            rank = known.get(
                summary.facts.path, summary.facts.ranks[0] if len(summary.facts.ranks) == 1 else None
            )
            for row in rows_of(summary):
                yield [csv_name(summary.facts.path), rank, *row]

    tables: dict[str, tuple[Sequence[str], Rows]] = {
        "traces": (
            (
                *_SUMMARY,
                "devices",
                *(f"device_{name}" for name in _DEVICE),
                *(f"launch_{name}" for name in _LAUNCHES),
                "linked",
                "unclassified_pct",
            ),
            of_each(_summary_row),
        ),
        "devices": (
            ("device", "name", "busy_us", "kernel_count", "kernel_time_us"),
            of_each(_device_rows),
        ),
        "categories": (
            ("category", "count", "total_us", "share"),
            of_each(
                lambda s: [(csv_name(c.category), c.count, c.total_us, c.share) for c in s.whole.categories]
            ),
        ),
        "kernels": (
            ("name", "category", "count", "total_us", "mean_us", "share"),
            of_each(
                lambda s: [
                    (csv_name(k.name), csv_name(k.category), k.count, k.total_us, k.mean_us, k.share)
                    for k in s.whole.kernels
                ]
            ),
        ),
        "operators": (
            ("name", "category", "count", "total_us", "self_us", "device_us", "kernel_count"),
            of_each(
                lambda s: [
                    (
                        csv_name(o.name),
                        csv_name(o.category),
                        o.count,
                        o.total_us,
                        o.self_us,
                        o.device_us,
                        o.kernel_count,
                    )
                    for o in s.whole.operators
                ]
            ),
        ),
        "ranges": (
            (
                "name",
                "count",
                "host_us",
                "device_us",
                "kernel_count",
                "launch_count",
                "busy_us",
                "span_us",
                "idle_pct",
            ),
            of_each(_range_rows),
        ),
        "range_categories": (
            ("range", "category", "count", "total_us", "share"),
            of_each(
                lambda s: [
                    (csv_name(r.name), csv_name(c.category), c.count, c.total_us, c.share)
                    for r in s.ranges
                    for c in r.breakdown.categories
                ]
            ),
        ),
        "blocks": (("source", "phase", "steps", *_BLOCK), of_each(_block_rows)),
        "block_work": (("phase", "block", *_WORK), of_each(_block_work_rows)),
        "roofline": (_ROOFLINE, of_each(_roofline_rows)),
        "ranks": (
            ("straggler", *_RANK),
            (
                [
                    csv_name(row.path),
                    row.rank,
                    row.rank in ranks.stragglers,
                    *(getattr(row, name) for name in _RANK),
                ]
                for row in ranks.rows
            )
            if ranks is not None
            else (),
        ),
    }
    return _texts({name: (("trace", "rank", *head), rows) for name, (head, rows) in tables.items()})


def diff_csvs(diff: TraceDiff) -> dict[str, str]:
    """File name -> text, of two traces side by side; a table without rows is left out."""
    head = ("status", "count_a", "count_b", "us_a", "us_b", "delta_us")

    def table(what: str, rows: Sequence[DiffRow]) -> tuple[Sequence[str], Rows]:
        return (what, *head), [_diff_row(row) for row in rows]

    return _texts(
        {
            "phases": table("phase", diff.phases),
            "blocks": (
                ("phase", "block", *head),
                [[csv_name(phase), *_diff_row(row)] for phase, rows in diff.blocks.items() for row in rows],
            ),
            "block_work": (
                ("phase", "block", "name", *head),
                [
                    [csv_name(phase), row.key, *_diff_row(work)]
                    for phase, rows in diff.blocks.items()
                    for row in rows
                    for work in row.work
                ],
            ),
            "skipped": (
                ("category", *_SKIPPED),
                [(csv_name(row.category), *_skipped_figures(row)) for row in diff.skipped],
            ),
            "skipped_kernels": (
                ("name", *_SKIPPED),
                [(csv_name(row.name), *_skipped_figures(row)) for row in diff.skipped_kernels],
            ),
            "ranges": table("range", diff.ranges),
            "categories": table("category", diff.categories),
            "kernels": table("kernel", diff.kernels),
            "operators": table("operator", diff.operators),
        }
    )


def _texts(tables: dict[str, tuple[Sequence[str], Rows]]) -> dict[str, str]:
    texts = {}
    for name, (head, rows) in tables.items():
        found = [[_cell(value) for value in row] for row in rows]
        if found:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerows([head, *found])
            texts[f"{name}.csv"] = text.getvalue()
    return texts


def _summary_row(summary: TraceSummary) -> Rows:
    facts, device, launches = summary.facts, summary.whole.device, summary.whole.launches
    yield [
        *(getattr(facts, name) for name in _SUMMARY),
        csv_name("; ".join(facts.devices)),
        *(None if device is None else getattr(device, name) for name in _DEVICE),
        *(None if launches is None else getattr(launches, name) for name in _LAUNCHES),
        summary.account.linked,
        summary.account.unclassified_pct,
    ]


def _device_rows(summary: TraceSummary) -> Rows:
    """Of one device alone the traces' own row has as much."""
    if len(summary.devices) > 1:
        for found in summary.devices:
            figures = (found.busy_us, found.kernel_count, found.kernel_time_us)
            yield [csv_name(str(found.device)), csv_name(found.name), *figures]


def _range_rows(summary: TraceSummary) -> Rows:
    for found in summary.ranges:
        device = found.breakdown.device
        figures = [found.count, found.host_us, found.device_us, found.kernel_count, found.launch_count]
        spent = [None] * 3 if device is None else [device.busy_us, device.span_us, device.idle_pct]
        yield [csv_name(found.name), *figures, *spent]


def _block_rows(summary: TraceSummary) -> Rows:
    blocks = summary.blocks
    for phase in blocks.phases if blocks is not None else ():
        for block in phase.blocks:
            values = (getattr(block, name) for name in _BLOCK)
            source = "" if blocks is None else blocks.source
            named = (csv_name(value) if isinstance(value, str) else value for value in values)
            yield [source, csv_name(phase.phase), phase.steps, *named]


def _block_work_rows(summary: TraceSummary) -> Rows:
    for phase in summary.blocks.phases if summary.blocks is not None else ():
        for block in phase.blocks:
            for work in block.work:
                named = [csv_name(value) if isinstance(value, str) else value for value in work]
                yield [csv_name(phase.phase), block.block, *named]


def _roofline_rows(summary: TraceSummary) -> Rows:
    for row in summary.roofline.rows if summary.roofline is not None else ():
        values = asdict(row).values()
        yield [csv_name(value) if isinstance(value, str) else value for value in values]


def _diff_row(row: DiffRow) -> list[Any]:
    counts = (int(count) if count.is_integer() else count for count in (row.count_a, row.count_b))
    return [csv_name(row.key), row.status, *counts, row.us_a, row.us_b, row.delta_us]


def _skipped_figures(row: SkippedChange) -> Iterable[Any]:
    return (getattr(row, name) for name in _SKIPPED)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN alone differs from itself
