"""One row per thing, its name above its line: values with intervals on a common axis, or parts of a whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from maskprof.reports.charts.scales import Scale, linear, tick_labels
from maskprof.reports.charts.shapes import (
    MARKS,
    Boxes,
    Dots,
    Drawing,
    Segments,
    Shape,
    Target,
    Words,
    text_width,
)

_FONT = 12.0
_SIDE, _RIGHT = 12.0, 18.0
_ROW = 34.0
# A name this short stands left of its line instead of above it, in rows of half the height.
_SHORT_NAME = 74.0
_SHORT_ROW = 20.0
_BOTTOM = 42.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One figure in a row: `place` is the series that it is of."""

    at: float
    text: str
    place: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A named row and its figures."""

    name: str
    values: tuple[Value, ...]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsPlot:
    """Rows over one axis that holds zero. `colours` and `hollow` are by series, which stand `apart` in each row.

    `reach`, where given, is how far from zero the axis goes at the most; whiskers that go farther leave the plot,
    and figures that are farther stand at its edge.
    """

    title: str
    axis: str
    rows: tuple[Row, ...]
    colours: tuple[str, ...]
    hollow: frozenset[int] = frozenset()
    reach: float | None = None
    apart: float = 5.0
    width: float = 420.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of a bar: its length in the unit of the axis."""

    length: float
    colour: str
    text: str
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A named bar and its parts from left to right."""

    name: str
    parts: tuple[Part, ...]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarsPlot:
    """Horizontal bars over one axis from zero."""

    title: str
    axis: str
    bars: tuple[Bar, ...]
    width: float = 420.0


def draw_rows(plot: RowsPlot) -> Drawing:
    """Lay rows of dots with whiskers out; the series of one row stand a little apart."""

    def cut(value: float) -> float:
        return value if plot.reach is None else max(-plot.reach, min(plot.reach, value))

    bounds = [cut(b) for row in plot.rows for v in row.values for b in (v.at, v.low, v.high) if b is not None]
    layout = _Layout([row.name for row in plot.rows], plot.width)
    scale = linear(bounds, layout.left, plot.width - _RIGHT, from_zero=True)
    shapes = layout.frame(scale, plot.axis)
    targets = []
    for number, row in enumerate(plot.rows):
        for value in row.values:
            y = layout.line(number) + (value.place - (len(plot.colours) - 1) / 2) * plot.apart
            colour, x = plot.colours[value.place], scale(cut(value.at))
            if value.low is not None and value.high is not None:
                low, high = scale(cut(value.low)), scale(cut(value.high))
                caps = [
                    ((end, y - 3), (end, y + 3))
                    for end, bound in ((low, value.low), (high, value.high))
                    # What leaves the plot does not end there.
                    if bound == cut(bound)
                ]
                ends = (((low, y), (high, y)), *caps)
                shapes.append(Segments(ends=ends, stroke=colour, width=1.4, series=value.place))
            shapes.append(
                Dots(
                    centers=((x, y),),
                    fill=colour,
                    radius=3.8,
                    mark=MARKS[value.place % len(MARKS)],
                    hollow=value.place in plot.hollow,
                    series=value.place,
                )
            )
            targets.append(Target(x=x, y=y, text=value.text, key=row.key, series=value.place))
    return Drawing(
        width=plot.width, height=layout.height, title=plot.title, shapes=tuple(shapes), targets=tuple(targets)
    )


def draw_bars(plot: BarsPlot) -> Drawing:
    """Lay horizontal bars of parts out."""
    layout = _Layout([bar.name for bar in plot.bars], plot.width)
    scale = linear(
        [sum(part.length for part in bar.parts) for bar in plot.bars],
        *(layout.left, plot.width - _RIGHT),
        from_zero=True,
    )
    shapes = layout.frame(scale, plot.axis)
    targets = []
    for number, bar in enumerate(plot.bars):
        done = 0.0
        for part in bar.parts:
            x, y = scale(done), layout.line(number)
            width = scale(done + part.length) - x
            shapes.append(Boxes(boxes=((x, y - 6, width, 12),), fill=part.colour, series=part.place))
            targets.append(Target(x=x + width / 2, y=y, text=part.text, key=bar.key, series=part.place))
            done += part.length
    return Drawing(
        width=plot.width, height=layout.height, title=plot.title, shapes=tuple(shapes), targets=tuple(targets)
    )


class _Layout:
    """Where rows and their names stand."""

    def __init__(self, names: Sequence[str], width: float) -> None:
        longest = max((text_width(name, _FONT) for name in names), default=0.0)
        self.names, self.width = names, width
        self.beside = longest <= _SHORT_NAME
        self.left = _SIDE + (longest + 10 if self.beside else 0)
        self.row = _SHORT_ROW if self.beside else _ROW
        self.bottom = 8 + len(names) * self.row
        self.height = self.bottom + _BOTTOM

    def line(self, number: int) -> float:
        return 8 + number * self.row + (self.row / 2 if self.beside else 23)

    def frame(self, scale: Scale, axis: str) -> list[Shape]:
        shapes: list[Shape] = [
            Segments(
                ends=tuple(((scale(t), 4), (scale(t), self.bottom)) for t in scale.ticks), stroke="grid"
            ),
            Segments(ends=(((scale.start, self.bottom), (scale.end, self.bottom)),), stroke="rule"),
        ]
        if scale.low <= 0 <= scale.high:
            shapes.append(Segments(ends=(((scale(0), 4), (scale(0), self.bottom)),), stroke="muted"))
        for tick, text in zip(scale.ticks, tick_labels(scale), strict=True):
            shapes.append(
                Words(x=scale(tick), y=self.bottom + 16, text=text, fill="muted", size=_FONT, anchor="middle")
            )
        middle = (scale.start + scale.end) / 2
        shapes.append(
            Words(x=middle, y=self.bottom + 34, text=axis, fill="muted", size=_FONT, anchor="middle")
        )
        for number, name in enumerate(self.names):
            if self.beside:
                shapes.append(
                    Words(x=self.left - 8, y=self.line(number) + 4, text=name, size=_FONT, anchor="end")
                )
            else:
                shapes.append(Words(x=_SIDE, y=self.line(number) - 11, text=name, size=_FONT))
        return shapes
