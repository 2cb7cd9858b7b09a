"""A drawing with its heading and its legend above it: for files that stand alone, such as a paper's figures."""

from collections.abc import Sequence
from dataclasses import replace

from maskprof.reports.charts.shapes import (
    Boxes,
    Dots,
    Drawing,
    Line,
    Mark,
    Segments,
    Shape,
    Words,
    text_width,
)

Entry = tuple[str, str, Mark, bool]
"""Colour, label, mark, and whether it is hollow."""

_FONT = 12.0
_SIDE = 10.0
_HEADING = 24.0
_LINE = 18.0


def framed(drawing: Drawing, heading: str, legend: Sequence[Entry]) -> Drawing:
    """The drawing moved down under a heading and as many lines of legend as its width needs."""
    top: list[Shape] = [Words(x=_SIDE, y=17, text=heading, size=14.0, bold=True)]
    x, y = _SIDE, _HEADING + 14
    for colour, label, mark, hollow in legend:
        width = 16 + text_width(label, _FONT)
        if x > _SIDE and x + width > drawing.width - _SIDE:
            x, y = _SIDE, y + _LINE
        top.append(Dots(centers=((x + 5, y - 4),), fill=colour, mark=mark, hollow=hollow))
        top.append(Words(x=x + 15, y=y, text=label, fill="muted", size=_FONT))
        x += width + 14
    down = (y + 8) if legend else _HEADING + 4
    shapes = (*top, *(moved(shape, down) for shape in drawing.shapes))
    targets = tuple(replace(target, y=target.y + down) for target in drawing.targets)
    return replace(drawing, height=drawing.height + down, shapes=shapes, targets=targets)


def moved(shape: Shape, down: float) -> Shape:
    """The shape so many pixels lower."""
    match shape:
        case Line():
            return replace(shape, points=tuple((x, y + down) for x, y in shape.points))
        case Segments():
            ends = tuple(((x0, y0 + down), (x1, y1 + down)) for (x0, y0), (x1, y1) in shape.ends)
            return replace(shape, ends=ends)
        case Boxes():
            return replace(shape, boxes=tuple((x, y + down, w, h) for x, y, w, h in shape.boxes))
        case Dots():
            return replace(shape, centers=tuple((x, y + down) for x, y in shape.centers))
        case Words():
            return replace(shape, y=shape.y + down)
