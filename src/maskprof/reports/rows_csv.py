"""Rows of tables as CSV: plain numbers, names that no spreadsheet takes for a formula."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from maskprof.reports.escapes import csv_name


def rows_to_csv(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """File name -> text of each table that has a row; a column that a row lacks is empty there."""
    return {f"{name}.csv": _text(rows) for name, rows in tables.items() if rows}


def _text(rows: Sequence[Mapping[str, Any]]) -> str:
    head = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(row.get(key)) for key in head] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return csv_name(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN alone differs from itself
