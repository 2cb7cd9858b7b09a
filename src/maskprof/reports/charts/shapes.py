"""A plot as shapes with named colours: what every output (page, SVG file, PNG file) is written from.

Coordinates are pixels from the upper left corner. A shape's `series` is the number of the series that it
belongs to, which a reader may hide; None stays.
"""

from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]
Mark = Literal["circle", "square", "diamond", "triangle"]

MARKS: tuple[Mark, ...] = ("circle", "square", "diamond", "triangle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Connected points."""

    points: tuple[Point, ...]
    stroke: str
    width: float = 1.0
    dashed: bool = False
    series: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Separate straight lines of one colour: whiskers, ticks, grids."""

    ends: tuple[tuple[Point, Point], ...]
    stroke: str
    width: float = 1.0
    series: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """Rectangles (x, y, width, height) of one colour; `hollow` ones are outlines."""

    boxes: tuple[tuple[float, float, float, float], ...]
    fill: str
    hollow: bool = False
    series: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dots:
    """Marks of one colour, form and size (radius); `hollow` ones are filled with the ground's colour."""

    centers: tuple[Point, ...]
    fill: str
    radius: float = 4.0
    mark: Mark = "circle"
    hollow: bool = False
    faint: bool = False
    series: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    fill: str = "ink"
    size: float = 12.0
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    series: int | None = None


Shape = Line | Segments | Boxes | Dots | Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place that a reader can point at or step to: what it says, and what it is of.

    Attributes:
        heading: stands before the text; apart, since the same text may stand under several.
        key: what is the same thing in other plots and tables, such as a configuration's name; may be empty.
    """

    x: float
    y: float
    text: str
    heading: str = ""
    key: str = ""
    series: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Shapes from the lowest to the topmost, on a sheet of `width` x `height`; `title` for who cannot see it."""

    width: float
    height: float
    title: str
    shapes: tuple[Shape, ...]
    targets: tuple[Target, ...] = ()


def text_width(text: str, size: float = 12.0) -> float:
    """About how wide a line of text is; a little more than most fonts need."""
    return size * sum(0.3 if char in " .,:;il|!'()[]" else 0.86 if char in "mwMW%" else 0.58 for char in text)
