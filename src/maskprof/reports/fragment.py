"""Sentences, tables and plots as a piece of HTML for a notebook's output: no script, nothing from a network."""

from collections.abc import Sequence
from html import escape

from maskprof.reports.charts.svg import svg_file
from maskprof.reports.images import standing_alone
from maskprof.reports.layout import Column, Table, columns_that_fit
from maskprof.reports.plots.plot import Plot

_CELL = "padding:3px 12px 3px 0;white-space:nowrap;"
_MASK = "font:8px monospace;color:#3b82c4;"


def fragment(
    title: str, sentences: Sequence[str], plots: Sequence[Plot] = (), tables: Sequence[Table] = ()
) -> str:
    """The title, the sentences, then plots side by side, then tables.

    Colours of text are the notebook's own, in whatever theme; plots have a white ground.
    """
    parts = [f'<div style="font-weight:600">{escape(title)}</div>']
    parts += [f"<p>{escape(sentence)}</p>" for sentence in sentences]
    if plots:
        parts.append(
            f'<div style="display:flex;flex-wrap:wrap;gap:12px">{"".join(map(picture, plots))}</div>'
        )
    parts += [table_html(table) for table in tables]
    return f'<div class="maskprof">{"".join(parts)}</div>'


def picture(plot: Plot) -> str:
    """One plot with its heading and legend."""
    label = escape(plot.drawing.title)
    return (
        f'<div style="max-width:100%" role="img" aria-label="{label}">{svg_file(standing_alone(plot))}</div>'
    )


def table_html(table: Table) -> str:
    """A table with its title and notes."""
    columns = [column for column in columns_that_fit(table, None) if not is_bar(column)]
    heads = "".join(
        f'<th scope="col" style="{_CELL}text-align:{column.justify}">{_words(column.title)}</th>'
        for column in columns
    )
    rows = []
    for row in range(table.num_rows):
        weight = "font-weight:600;" if row in table.strong_rows else ""
        cells = (
            f'<td style="{_CELL}{_MASK if column.role == "mask" else weight}text-align:{column.justify}">'
            f"{_words(column.cells[row])}</td>"
            for column in columns
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    notes = "".join(f'<div style="opacity:.75;font-size:90%">{escape(note)}</div>' for note in table.notes)
    caption = (
        f'<caption style="text-align:left;font-weight:600;padding:8px 0 4px">{escape(table.title)}</caption>'
    )
    return (
        f'<div style="overflow-x:auto"><table style="border-collapse:collapse">{caption}'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{notes}"
    )


def is_bar(column: Column) -> bool:
    """Whether the column is made of characters that draw a bar, which a page with plots can do without."""
    return column.role == "mask" and column.key.startswith("bar")


def _words(text: str) -> str:
    return escape(text.replace("\n", " ").strip())
