"""Points with intervals over two axes, joined or not, with guide lines: latency over depth, samples over time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from maskprof.reports.charts.scales import Scale, counts, linear, logarithmic, tick_labels
from maskprof.reports.charts.shapes import (
    MARKS,
    Dots,
    Drawing,
    Line,
    Point,
    Segments,
    Shape,
    Target,
    Words,
    text_width,
)
from maskprof.reports.charts.shapes import Mark as Form

_FONT = 12.0
_LINE = 14.0
_LONGEST_LABEL = 104.0
_TOP, _BOTTOM, _LEFT, _RIGHT = 26.0, 44.0, 10.0, 14.0


AxisKind = Literal["linear", "zero", "counts", "log"]
"""Around the values, from zero on, whole numbers from zero on, powers of ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point, with its interval where there is one, and what it says when it is pointed at."""

    x: float
    y: float
    text: str
    low: float | None = None
    high: float | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one kind. `label` stands at the last point where there are several series."""

    label: str
    marks: tuple[Mark, ...]
    colour: str
    joined: bool = True
    small: bool = False
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """A line that is not measured: the ideal, a fit, a roof. Points in the units of the axes.

    Its label stands above its first stretch, `label_at` of the way, or beside it where there is most room.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    colour: str = "ideal"
    dashed: bool = True
    label_at: float | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A title with the unit, and what kind of numbers stand on it."""

    title: str
    kind: AxisKind = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class XYPlot:
    """What is to be drawn, before its layout.

    `apart` shifts each series by so many pixels to the right of the one before, so that whiskers do not cover each
    other.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    guides: tuple[Guide, ...] = ()
    apart: float = 0.0
    width: float = 420.0
    height: float = 280.0


def draw_xy(plot: XYPlot) -> Drawing:
    """Lay the plot out: axes, grid, guides, series with their intervals, labels at the ends of lines."""
    xs = [mark.x for s in plot.series for mark in s.marks] + [x for g in plot.guides for x, _ in g.points]
    ys = [
        value
        for s in plot.series
        for mark in s.marks
        for value in (mark.y, mark.low, mark.high)
        if value is not None
    ] + [y for g in plot.guides for _, y in g.points]
    top, bottom = _TOP, plot.height - _BOTTOM
    y = _scale(plot.y, ys, bottom, top)
    left = _LEFT + max((text_width(text, _FONT) for text in tick_labels(y)), default=0.0) + 6
    ends = _line_ends(plot)
    longest = max((text_width(label, _FONT) for _, label, _, _ in ends), default=0.0)
    if longest > _LONGEST_LABEL:
        # They would take the room of the plot; the legend tells the lines apart.
        ends, longest = [], 0.0
    x = _scale(plot.x, xs, left, plot.width)
    # Half of the last number on the axis stands beyond its end.
    margin = max(_RIGHT, text_width(tick_labels(x)[-1], _FONT) / 2 + 4)
    x = replace(x, end=plot.width - margin - (longest + 4 if ends else 0.0))
    shapes = _frame(plot, x, y)
    for guide in plot.guides:
        points = tuple((x(a), y(b)) for a, b in guide.points)
        shapes.append(
            Line(
                points=points,
                stroke=guide.colour,
                width=1.5 if guide.label else 1.0,
                dashed=guide.dashed,
                series=guide.place,
            )
        )
        if guide.label:
            shapes.append(_guide_label(guide, points, _drawn(plot, x, y), (x.end, bottom)))
    targets = []
    for number, series in enumerate(plot.series):
        shift = (number - (len(plot.series) - 1) / 2) * plot.apart
        own_x = replace(x, start=x.start + shift, end=x.end + shift)
        form = MARKS[(number if series.place is None else series.place) % len(MARKS)]
        shapes += _series(series, own_x, y, form)
        targets += [
            Target(x=own_x(mark.x), y=y(mark.y), text=mark.text, key=mark.key, series=series.place)
            for mark in series.marks
        ]
    shapes += _end_labels(ends, x, y)
    return Drawing(
        width=plot.width, height=plot.height, title=plot.title, shapes=tuple(shapes), targets=tuple(targets)
    )


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> Scale:
    match axis.kind:
        case "log":
            return logarithmic(values, start, end)
        case "counts":
            return counts([round(value) for value in values], start, end)
        case kind:
            return linear(values, start, end, from_zero=kind == "zero")


def _frame(plot: XYPlot, x: Scale, y: Scale) -> list[Shape]:
    bottom = y.start
    shapes: list[Shape] = [
        Segments(ends=tuple(((x.start, y(tick)), (x.end, y(tick))) for tick in y.ticks), stroke="grid"),
        Segments(ends=(((x.start, bottom), (x.end, bottom)),), stroke="rule"),
        Segments(ends=tuple(((x(tick), bottom), (x(tick), bottom + 4)) for tick in x.ticks), stroke="rule"),
        Words(x=_LEFT, y=14, text=plot.y.title, fill="muted", size=_FONT),
        Words(
            x=(x.start + x.end) / 2,
            y=bottom + 36,
            text=plot.x.title,
            fill="muted",
            size=_FONT,
            anchor="middle",
        ),
    ]
    for tick, text in zip(y.ticks, tick_labels(y), strict=True):
        shapes.append(Words(x=x.start - 6, y=y(tick) + 4, text=text, fill="muted", size=_FONT, anchor="end"))
    for tick, text in zip(x.ticks, tick_labels(x), strict=True):
        shapes.append(Words(x=x(tick), y=bottom + 18, text=text, fill="muted", size=_FONT, anchor="middle"))
    if y.low < 0 < y.high:
        shapes.append(Segments(ends=(((x.start, y(0)), (x.end, y(0))),), stroke="muted"))
    return shapes


def _series(series: Series, x: Scale, y: Scale, form: Form) -> list[Shape]:
    place, shapes = series.place, list[Shape]()
    centers = tuple((x(m.x), y(m.y)) for m in series.marks)
    if series.joined and len(centers) > 1:
        shapes.append(Line(points=centers, stroke=series.colour, width=1.8, series=place))
    whiskers = tuple(
        ends
        for m in series.marks
        if m.low is not None and m.high is not None
        for ends in (
            ((x(m.x), y(m.low)), (x(m.x), y(m.high))),
            ((x(m.x) - 3, y(m.low)), (x(m.x) + 3, y(m.low))),
            ((x(m.x) - 3, y(m.high)), (x(m.x) + 3, y(m.high))),
        )
    )
    if whiskers:
        shapes.append(Segments(ends=whiskers, stroke=series.colour, width=1.4, series=place))
    if series.small:
        shapes.append(Dots(centers=centers, fill=series.colour, radius=2.2, faint=True, series=place))
    else:
        radius = 3.8 if len(centers) <= 40 else 3.0  # noqa: PLR2004 - many marks run into each other
        shapes.append(Dots(centers=centers, fill=series.colour, radius=radius, mark=form, series=place))
    return shapes


def _drawn(plot: XYPlot, x: Scale, y: Scale) -> list[Point]:
    """Points along everything measured, close enough that a label between two of them covers neither."""
    found: list[Point] = []
    for series in plot.series:
        at = [(x(mark.x), y(mark.y)) for mark in series.marks]
        for mark, (px, py) in zip(series.marks, at, strict=True):
            low, high = (
                y(mark.y if mark.low is None else mark.low),
                y(mark.y if mark.high is None else mark.high),
            )
            steps = 1 + int(abs(high - low) / 8)
            found += [(px, low + (high - low) * step / steps) for step in range(steps + 1)] + [(px, py)]
        for (x0, y0), (x1, y1) in pairwise(at) if series.joined else ():
            steps = 1 + int(abs(x1 - x0) / 8)
            found += [(x0 + (x1 - x0) * n / steps, y0 + (y1 - y0) * n / steps) for n in range(steps + 1)]
    return found


def _guide_label(guide: Guide, points: Sequence[Point], drawn: Sequence[Point], corner: Point) -> Words:
    """The label below or above its line, where it is farthest from what is measured.

    `corner` is the lower right one of the plot, beyond which it may not go.
    """
    end, bottom = corner
    (x0, y0), (x1, y1) = points[0], points[1]
    width = text_width(guide.label, _FONT)

    def place(share: float, above: bool) -> Point:
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        return (x - width - 4, y - 6) if above else (min(x + 6, end - width), y + 15)

    def room(at: Point) -> float:
        if at[1] > bottom - 4:
            return -1.0
        middle = at[0] + width / 2, at[1] - _FONT / 3
        return min((math.hypot((px - middle[0]) / 2, py - middle[1]) for px, py in drawn), default=0.0)

    if guide.label_at is not None:
        at = x0 + guide.label_at * (x1 - x0), y0 + guide.label_at * (y1 - y0)
        best = min(at[0] - guide.label_at * width, end - width), at[1] - 6
    else:
        shares = [0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85]
        best = max((place(share, above) for above in (False, True) for share in shares), key=room)
    return Words(x=best[0], y=best[1], text=guide.label, fill=guide.colour, size=_FONT, series=guide.place)


def _line_ends(plot: XYPlot) -> list[tuple[tuple[float, float], str, str, int | None]]:
    """Where a label stands, its text, colour and series, where there are several series to tell apart."""
    ends = []
    for series in plot.series if len(plot.series) > 1 else ():
        if series.label and series.marks and series.joined:
            last = max(series.marks, key=lambda mark: mark.x)
            ends.append(((last.x, last.y), series.label, series.colour, series.place))
    return ends


def _end_labels(
    ends: list[tuple[tuple[float, float], str, str, int | None]], x: Scale, y: Scale
) -> list[Shape]:
    """Labels at the right, moved apart where they would cover each other."""
    placed = sorted((y(at[1]), number) for number, (at, _, _, _) in enumerate(ends))
    heights = spread([height for height, _ in placed], _LINE, y.end + 4, y.start)
    return [
        Words(
            x=x.end + 10,
            y=height + 4,
            text=ends[number][1],
            fill=ends[number][2],
            size=_FONT,
            series=ends[number][3],
        )
        for height, (_, number) in zip(heights, placed, strict=True)
    ]


def spread(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Sorted places moved so that neighbours are `least` apart, as little as one pass each way allows."""
    moved = list(places)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + least)
    if moved and moved[-1] > high:
        moved[-1] = high
        for i in range(len(moved) - 2, -1, -1):
            moved[i] = min(moved[i], moved[i + 1] - least)
    return [max(place, low) if i == 0 else place for i, place in enumerate(moved)]
