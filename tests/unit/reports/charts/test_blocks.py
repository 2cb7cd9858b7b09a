import pytest

from maskprof.reports.charts.blocks import (
    BlockBar,
    BlockBarsPlot,
    HeatPlot,
    HeatRow,
    draw_block_bars,
    draw_heat,
)
from maskprof.reports.charts.shapes import Boxes, Segments, Words


def of(drawing, kind):
    return [shape for shape in drawing.shapes if isinstance(shape, kind)]


def bars(*blocks):
    numbers = tuple(range(len(blocks)))
    return draw_block_bars(
        BlockBarsPlot(title="t", axis="host, us", numbers=numbers, bars=blocks, width=200, height=140)
    )


def test_parts_stand_on_each_other():
    drawing = bars(
        BlockBar(parts=(("active", 6.0), ("check", 2.0)), skipped=False, text="zero"),
        BlockBar(parts=(("cache", 4.0),), skipped=True, text="one"),
    )
    active, check, cache, skipped = of(drawing, Boxes)
    assert [boxes.fill for boxes in (active, check, cache, skipped)] == [
        "active",
        "check",
        "cache",
        "skipped",
    ]
    # 0 to 8 us from 100 up to 26 pixels.
    assert active.boxes[0][1::2] == pytest.approx((100 - 6 / 8 * 74, 6 / 8 * 74))
    assert check.boxes[0][1::2] == pytest.approx((26, 2 / 8 * 74))
    assert cache.boxes[0][3] == pytest.approx(4 / 8 * 74)
    # A skipped block has a mark under the axis, however small its time is.
    assert skipped.boxes[0][:2] == (cache.boxes[0][0], 101)
    assert [target.text for target in drawing.targets] == ["zero", "one"]


def test_what_cannot_be_seen_is_not_drawn():
    drawing = bars(BlockBar(parts=(("active", 1000.0), ("check", 0.01)), skipped=False, text=""))
    assert [boxes.fill for boxes in of(drawing, Boxes)] == ["active"]


def test_of_many_blocks_some_have_their_number():
    drawing = bars(*(BlockBar(parts=(("active", 1.0),), skipped=False, text="") for _ in range(80)))
    numbers = [words.text for words in of(drawing, Words) if words.y == 118]
    assert numbers == [
        "0",
        "5",
        "10",
        "15",
        "20",
        "25",
        "30",
        "35",
        "40",
        "45",
        "50",
        "55",
        "60",
        "65",
        "70",
        "75",
    ]


def heat(*rows, most=10.0):
    return draw_heat(HeatPlot(title="t", rows=rows, most=most, legend="10 us and more", width=200))


def test_cells_are_darker_for_more_and_skipped_ones_a_stroke():
    row = HeatRow(
        name="3",
        values=(0.0, 9.9, 25.0, 1.0, None),
        skipped=(False, False, False, True, False),
        texts=("a", "b", "c", "d", "e"),
        key="k",
    )
    drawing = heat(row)
    cells = {
        boxes.fill: boxes.boxes
        for boxes in of(drawing, Boxes)
        if len(boxes.boxes[0]) and boxes.boxes[0][3] == 16
    }
    assert {fill: len(boxes) for fill, boxes in cells.items()} == {"h0": 1, "h6": 2}
    (strokes,) = of(drawing, Segments)
    assert len(strokes.ends) == 1
    assert [(target.text, target.heading, target.key) for target in drawing.targets] == [
        (text, "3", "k") for text in "abcde"
    ]


def test_long_names_stand_above_their_cells():
    short, long = (
        HeatRow(name=name, values=(1.0,), skipped=(False,), texts=("",))
        for name in ("8", "8 blocks · mask-virtual-host")
    )
    assert heat(short).height + 18 == heat(long).height
