"""Runs as tables for other programs: the rows of every table as JSON and CSV, those of the terminal as Markdown."""

import json
import math
from collections.abc import Sequence
from typing import Any

from maskprof.reports.escapes import markdown
from maskprof.reports.findings import findings, warnings
from maskprof.reports.frames import RUN_TABLES, Row, run_rows
from maskprof.reports.headline import headline, subject
from maskprof.reports.layout import to_markdown
from maskprof.reports.rows_csv import rows_to_csv
from maskprof.reports.tables import all_tables
from maskprof.results.schema import RunResult

NamedResult = tuple[str, RunResult]


def results_to_json(runs: Sequence[NamedResult]) -> str:
    """A list with an entry per run: its name, and the rows of each table that has any."""
    entries = []
    for name, result in runs:
        tables = {table: [_plain(row) for row in run_rows(result, table)] for table in RUN_TABLES}
        entries.append(
            {"run": name, "headline": headline(result)} | {t: rows for t, rows in tables.items() if rows}
        )
    return json.dumps(entries, indent=2, allow_nan=False) + "\n"


def results_to_csv(runs: Sequence[NamedResult]) -> dict[str, str]:
    """File name -> text; each row begins with the name of its run."""
    return rows_to_csv(
        {
            table: [{"run": name} | row for name, result in runs for row in run_rows(result, table)]
            for table in RUN_TABLES
        }
    )


def results_to_markdown(runs: Sequence[NamedResult]) -> str:
    """Each run under a heading of its own: what was measured, what came out, the tables of the terminal."""
    parts: list[str] = []
    for name, result in runs:
        sentences = (subject(result), headline(result), *warnings(result), *findings(result))
        parts += [f"# {markdown(name)}", *map(markdown, sentences)]
        parts += [to_markdown(table).rstrip() for table in all_tables(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _plain(row: Row) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
