"""Latency over active blocks as a PNG, exactly as measured: TensorBoard's own curves are smoothed and clipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 1000, 620
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 60, 110
_MEASURED, _IDEAL = "#2f5fc4", "#8a5a00"
_INK, _GRID, _FAINT = "#222222", "#dddddd", "#666666"
# Drawn larger and made smaller, since Pillow's lines have hard edges.
_SCALE = 2
_DASH = 14
_MOST_MARKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line of the picture.

    Attributes:
        name: in the legend.
        points: (active blocks, milliseconds), in the order of drawing.
        low, high: the interval at each point, where there is one.
        dashed: for lines that were not measured.
    """

    name: str
    points: tuple[tuple[int, float], ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dashed: bool = False


def curve_picture(title: str, curves: Sequence[Curve]) -> tuple[bytes, tuple[int, int]]:
    """A PNG of the curves and its width and height in pixels; there is at least one point."""
    axes = _Axes(curves)
    picture = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    pen = _Pen(picture)
    _draw_axes(pen, axes, title)
    # Bands first, so that they hide no line.
    for curve in curves:
        _draw_band(pen, axes, curve)
    for curve in curves:
        _draw_line(pen, axes, curve)
    _draw_legend(pen, curves)
    small = picture.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).quantize(64, dither=Image.Dither.NONE)
    file = BytesIO()
    small.save(file, format="PNG", optimize=True)
    return file.getvalue(), (_WIDTH, _HEIGHT)


class _Axes:
    """Where a number of blocks and a latency lie in the picture; both axes start at 0."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.depths = sorted({depth for curve in curves for depth, _ in curve.points})
        highest = max(max((*curve.high, *(ms for _, ms in curve.points))) for curve in curves if curve.points)
        self.marks = round_marks(highest)
        self.most_blocks = max(self.depths[-1], 1)

    def x(self, depth: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * depth / self.most_blocks

    def y(self, ms: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * ms / self.marks[-1]


class _Pen:
    """Draws in the picture's own pixels, whatever it is drawn at."""

    def __init__(self, picture: Image.Image) -> None:
        self._draw = ImageDraw.Draw(picture, "RGBA")

    def line(self, points: Sequence[tuple[float, float]], color: str, width: float = 1) -> None:
        self._draw.line(_scaled(points), fill=color, width=round(width * _SCALE), joint="curve")

    def area(self, points: Sequence[tuple[float, float]], color: str) -> None:
        self._draw.polygon(_scaled(points), fill=f"{color}38")

    def dot(self, x: float, y: float, color: str, radius: float = 4) -> None:
        corners = _scaled([(x - radius, y - radius), (x + radius, y + radius)])
        self._draw.ellipse(corners, fill=color)

    def text(self, x: float, y: float, text: str, *, anchor: str, size: int = 15, color: str = _INK) -> float:
        """Write, and give the text's width."""
        font = ImageFont.load_default(size=size * _SCALE)
        self._draw.text((x * _SCALE, y * _SCALE), text, fill=color, font=font, anchor=anchor)
        return self._draw.textlength(text, font=font) / _SCALE


def _scaled(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * _SCALE, y * _SCALE) for x, y in points]


def _draw_axes(pen: _Pen, axes: _Axes, title: str) -> None:
    pen.text(_LEFT, 20, title, anchor="lt", size=20)
    for mark in axes.marks:
        y = axes.y(mark)
        pen.line([(_LEFT, y), (_WIDTH - _RIGHT, y)], _GRID)
        pen.text(_LEFT - 10, y, f"{mark:g}", anchor="rm", color=_FAINT)
    shown = axes.depths[:: -(-len(axes.depths) // _MOST_MARKS)]
    for depth in shown:
        pen.line([(axes.x(depth), axes.y(0)), (axes.x(depth), axes.y(0) + 6)], _FAINT)
        pen.text(axes.x(depth), axes.y(0) + 12, str(depth), anchor="mt", color=_FAINT)
    pen.line([(_LEFT, axes.y(0)), (_WIDTH - _RIGHT, axes.y(0))], _FAINT)
    pen.text((_LEFT + _WIDTH - _RIGHT) / 2, axes.y(0) + 36, "active blocks", anchor="mt", color=_FAINT)
    pen.text(_LEFT - 10, _TOP - 10, "ms", anchor="rb", color=_FAINT)


def _draw_band(pen: _Pen, axes: _Axes, curve: Curve) -> None:
    if not curve.low:
        return
    depths = [axes.x(depth) for depth, _ in curve.points]
    upper = [(x, axes.y(ms)) for x, ms in zip(depths, curve.high, strict=True)]
    lower = [(x, axes.y(ms)) for x, ms in zip(depths, curve.low, strict=True)]
    pen.area([*upper, *reversed(lower)], _MEASURED)
    for (x, top), (_, bottom) in zip(upper, lower, strict=True):
        pen.line([(x, top), (x, bottom)], _MEASURED, 1.5)


def _draw_line(pen: _Pen, axes: _Axes, curve: Curve) -> None:
    points = [(axes.x(depth), axes.y(ms)) for depth, ms in curve.points]
    color = _IDEAL if curve.dashed else _MEASURED
    for start, end in pairwise(points):
        for piece in _dashes(start, end) if curve.dashed else [(start, end)]:
            pen.line(piece, color, 1.5 if curve.dashed else 2.5)
    if not curve.dashed:
        for x, y in points:
            pen.dot(x, y, color)


def _draw_legend(pen: _Pen, curves: Sequence[Curve]) -> None:
    x, y = float(_LEFT), _HEIGHT - 28.0
    for curve in curves:
        color = _IDEAL if curve.dashed else _MEASURED
        for piece in _dashes((x, y), (x + 34, y)) if curve.dashed else [((x, y), (x + 34, y))]:
            pen.line(piece, color, 2.5)
        x += 42 + pen.text(x + 42, y, curve.name, anchor="lm") + 28


def _dashes(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[tuple[float, float], ...]]:
    """A line in pieces with gaps between."""
    (x0, y0), (x1, y1) = start, end
    count = max(1, round(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 / _DASH))

    def at(share: float) -> tuple[float, float]:
        return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share

    return [(at(piece / count), at((piece + 0.6) / count)) for piece in range(count)]


def round_marks(highest: float) -> list[float]:
    """Round numbers from 0 to `highest` or a little above, four to eight of them."""
    if highest <= 0:
        return [0.0, 1.0]
    magnitude = 1.0
    while highest / magnitude >= 10:  # noqa: PLR2004
        magnitude *= 10
    while highest / magnitude < 1:
        magnitude /= 10
    step = next(step for step in (0.2, 0.25, 0.5, 1.0, 2.0) if highest / magnitude <= step * 7) * magnitude
    count = 1
    while count * step < highest:
        count += 1
    return [step * mark for mark in range(count + 1)]
