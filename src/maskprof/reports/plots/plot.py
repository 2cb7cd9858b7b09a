"""A plot that is ready for any output, with the table of what is drawn in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from maskprof.reports.charts.shapes import Drawing, Mark
from maskprof.reports.layout import Column, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An entry of a legend: a colour's name, what it stands for, the series that it hides or shows, and its mark."""

    colour: str
    label: str
    place: int | None = None
    mark: Mark = "square"
    hollow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A drawing with its heading, its legend, and its figures as a table.

    `name` is unique in a report and fit for a file name, such as `latency-prefill`.
    """

    name: str
    heading: str
    drawing: Drawing
    table: Table
    legend: tuple[Key, ...] = ()


def figures(title: str, columns: Sequence[tuple[str, Sequence[str]]], *, names: int = 1) -> Table:
    """A plain table of (heading, cells); the first `names` columns are names."""
    return Table(
        title=title,
        columns=tuple(
            Column(
                key=f"c{place}",
                title=heading,
                cells=tuple(cells),
                justify="left" if place < names else "right",
                role="name" if place < names else "figure",
            )
            for place, (heading, cells) in enumerate(columns)
        ),
    )


def slug(text: str) -> str:
    """A text as part of a file name or an anchor: letters, digits and dashes."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower())
    return "-".join(part for part in kept.split("-") if part)
