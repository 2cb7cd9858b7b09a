"""Blocks of a model from left to right: one bar each, or one cell each in a row per configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from maskprof.reports.charts.palette import NUM_HEAT
from maskprof.reports.charts.scales import linear, tick_labels
from maskprof.reports.charts.shapes import Boxes, Drawing, Line, Segments, Shape, Target, Words, text_width

_FONT = 12.0
_SIDE = 10.0
_TOP = 26.0
_BOTTOM = 40.0
_CELL_HEIGHT = 18.0
# Names up to this width stand beside their row, longer ones above.
_SHORT_NAME = 92.0
_MOST_NUMBERS = 16
# What is lower cannot be seen, and large runs have thousands of it.
_LEAST_HEIGHT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBar:
    """One block: (colour, length) from the bottom up; a skipped block has its slot hatched."""

    parts: tuple[tuple[str, float], ...]
    skipped: bool
    text: str
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBarsPlot:
    """A bar per block over a common axis from zero; `numbers` are the blocks' own."""

    title: str
    axis: str
    numbers: tuple[int, ...]
    bars: tuple[BlockBar, ...]
    width: float = 420.0
    height: float = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatRow:
    """One configuration: a value per block, None where the block has no figure, and which blocks are skipped."""

    name: str
    values: tuple[float | None, ...]
    skipped: tuple[bool, ...]
    texts: tuple[str, ...]
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatPlot:
    """Cells by configuration and block, a stronger shade for more; the scale begins at zero and ends at `most`."""

    title: str
    rows: tuple[HeatRow, ...]
    most: float
    legend: str
    width: float = 420.0


def draw_block_bars(plot: BlockBarsPlot) -> Drawing:
    """Lay the bars out."""
    totals = [sum(length for _, length in bar.parts) for bar in plot.bars]
    bottom = plot.height - _BOTTOM
    y = linear(totals, bottom, _TOP, from_zero=True, num_ticks=4)
    left = _SIDE + max(text_width(text, _FONT) for text in tick_labels(y)) + 6
    slot = (plot.width - _SIDE - left) / max(1, len(plot.bars))
    width = max(1.0, slot * 0.74)
    shapes: list[Shape] = [
        Segments(ends=tuple(((left, y(t)), (plot.width - _SIDE, y(t))) for t in y.ticks), stroke="grid"),
        Words(x=_SIDE, y=14, text=plot.axis, fill="muted", size=_FONT),
    ]
    for tick, text in zip(y.ticks, tick_labels(y), strict=True):
        shapes.append(Words(x=left - 6, y=y(tick) + 4, text=text, fill="muted", size=_FONT, anchor="end"))
    starts = [left + number * slot + (slot - width) / 2 for number in range(len(plot.bars))]
    by_colour: dict[str, list[tuple[float, float, float, float]]] = {}
    targets = []
    for start, bar, total in zip(starts, plot.bars, totals, strict=True):
        done = 0.0
        for colour, length in bar.parts:
            high = y(done + length)
            if y(done) - high >= _LEAST_HEIGHT:
                by_colour.setdefault(colour, []).append((start, high, width, y(done) - high))
            done += length
        targets.append(Target(x=start + width / 2, y=min(y(total), bottom - 8), text=bar.text, key=bar.key))
    shapes += [Boxes(boxes=tuple(boxes), fill=colour) for colour, boxes in by_colour.items()]
    skipped = [start for start, bar in zip(starts, plot.bars, strict=True) if bar.skipped]
    if skipped:
        shapes.append(Boxes(boxes=tuple((s, bottom + 1, width, 4) for s in skipped), fill="skipped"))
    shapes.append(Segments(ends=(((left, bottom), (plot.width - _SIDE, bottom)),), stroke="rule"))
    shapes += _numbers(plot.numbers, left, slot, bottom + 18)
    middle = (left + plot.width - _SIDE) / 2
    shapes.append(Words(x=middle, y=bottom + 35, text="block", fill="muted", size=_FONT, anchor="middle"))
    return Drawing(
        width=plot.width, height=plot.height, title=plot.title, shapes=tuple(shapes), targets=tuple(targets)
    )


def draw_heat(plot: HeatPlot) -> Drawing:
    """Lay the cells out: skipped blocks are a stroke through an empty cell."""
    longest = max((text_width(row.name, _FONT) for row in plot.rows), default=0.0)
    beside = longest <= _SHORT_NAME
    left, above = (_SIDE + longest + 8, 0.0) if beside else (_SIDE, 18.0)
    num_blocks = max((len(row.values) for row in plot.rows), default=1)
    cell = (plot.width - _SIDE - left) / max(1, num_blocks)
    gap = 1.0 if cell > 5 else 0.4  # noqa: PLR2004 - thin cells have no room for more
    levels: dict[int, list[tuple[float, float, float, float]]] = {}
    strokes: list[tuple[tuple[float, float], tuple[float, float]]] = []
    shapes, targets = list[Shape](), list[Target]()
    for number, row in enumerate(plot.rows):
        top = 8 + number * (_CELL_HEIGHT + above) + above
        if beside:
            shapes.append(Words(x=left - 8, y=top + 13, text=row.name, size=_FONT, anchor="end"))
        else:
            shapes.append(Words(x=left, y=top - 4, text=row.name, size=_FONT))
        for block, (value, skipped, text) in enumerate(zip(row.values, row.skipped, row.texts, strict=True)):
            x, middle = left + block * cell, top + _CELL_HEIGHT / 2
            if skipped:
                strokes.append(((x + cell * 0.25, middle), (x + cell * 0.75, middle)))
            elif value is not None:
                box = (x + gap / 2, top + 1, cell - gap, _CELL_HEIGHT - 2)
                levels.setdefault(_level(value, plot.most), []).append(box)
            targets.append(Target(x=x + cell / 2, y=middle, text=text, heading=row.name, key=row.key))
    shapes += [Boxes(boxes=tuple(boxes), fill=f"h{level}") for level, boxes in sorted(levels.items())]
    if strokes:
        shapes.append(Segments(ends=tuple(strokes), stroke="muted", width=1.6))
    bottom = 8 + len(plot.rows) * (_CELL_HEIGHT + above)
    shapes += _numbers(tuple(range(num_blocks)), left, cell, bottom + 16)
    shapes += _heat_legend(plot, left, bottom + 28)
    return Drawing(
        width=plot.width, height=bottom + 48, title=plot.title, shapes=tuple(shapes), targets=tuple(targets)
    )


def _level(value: float, most: float) -> int:
    return min(NUM_HEAT - 1, max(0, int(value / most * NUM_HEAT))) if most > 0 else 0


def _numbers(numbers: Sequence[int], left: float, slot: float, y: float) -> list[Shape]:
    step = next(step for step in (1, 2, 4, 5, 10, 20, 50, 100, 1000) if len(numbers) / step <= _MOST_NUMBERS)
    return [
        Words(
            x=left + (place + 0.5) * slot,
            y=y,
            text=str(number),
            fill="muted",
            size=_FONT - 1,
            anchor="middle",
        )
        for place, number in enumerate(numbers)
        if place % step == 0
    ]


def _heat_legend(plot: HeatPlot, left: float, y: float) -> list[Shape]:
    width = 14.0
    shapes: list[Shape] = [Words(x=left, y=y + 10, text="0", fill="muted", size=_FONT - 1)]
    boxes = [(f"h{level}", (left + 12 + level * width, y, width, 12.0)) for level in range(NUM_HEAT)]
    shapes += [Boxes(boxes=(box,), fill=colour) for colour, box in boxes]
    after = left + 18 + NUM_HEAT * width
    shapes.append(Words(x=after, y=y + 10, text=plot.legend, fill="muted", size=_FONT - 1))
    stroke = after + text_width(plot.legend, _FONT - 1) + 16
    shapes.append(Line(points=((stroke, y + 6), (stroke + 9, y + 6)), stroke="muted", width=1.6))
    shapes.append(Words(x=stroke + 14, y=y + 10, text="skipped", fill="muted", size=_FONT - 1))
    return shapes
