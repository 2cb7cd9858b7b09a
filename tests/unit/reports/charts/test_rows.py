import pytest

from maskprof.reports.charts.rows import Bar, BarsPlot, Part, Row, RowsPlot, Value, draw_bars, draw_rows
from maskprof.reports.charts.shapes import Boxes, Dots, Segments, Words


def of(drawing, kind):
    return [shape for shape in drawing.shapes if isinstance(shape, kind)]


def rows(**changes):
    settings = {
        "title": "t",
        "axis": "us",
        "rows": (
            Row(
                name="4",
                values=(Value(at=2, low=1, high=3, text="two", place=0), Value(at=4, text="four", place=1)),
            ),
            Row(name="8", values=(Value(at=1, text="one", place=0),), key="k8"),
        ),
        "colours": ("s0", "s1"),
        "hollow": frozenset((1,)),
        "width": 200,
    }
    return draw_rows(RowsPlot(**(settings | changes)))


def test_rows_stand_under_each_other_and_their_series_apart():
    drawing = rows()
    dots = of(drawing, Dots)
    assert [dot.centers[0][1] for dot in dots] == [15.5, 20.5, 35.5]
    assert [dot.hollow for dot in dots] == [False, True, False]
    # Zero to four on 28.96 (a short name beside) to 182 pixels.
    left = 12 + 12 * 0.58 + 10
    assert dots[1].centers[0][0] == 182
    assert dots[0].centers[0][0] == pytest.approx((left + 182) / 2)
    assert [(target.text, target.key, target.series) for target in drawing.targets] == [
        ("two", "", 0),
        ("four", "", 1),
        ("one", "k8", 0),
    ]


def test_long_names_stand_above_their_line():
    drawing = rows(rows=(Row(name="first-08-of-16-mask-virtual", values=(Value(at=1, text="", place=0),)),))
    name = next(words for words in of(drawing, Words) if words.text.startswith("first"))
    assert (name.x, name.y, name.anchor) == (12, 20, "start")
    assert drawing.height == 8 + 34 + 42


def test_a_whisker_that_leaves_the_plot_has_no_end_there():
    (whole,) = (s for s in of(rows(), Segments) if s.stroke == "s0")
    assert len(whole.ends) == 3
    wild = Row(name="4", values=(Value(at=1, low=-1, high=100, text="", place=0),))
    drawing = rows(rows=(wild,), reach=5)
    (cut,) = (s for s in of(drawing, Segments) if s.stroke == "s0")
    assert len(cut.ends) == 2
    assert max(x for end in cut.ends for x, _ in end) <= 182
    farther = rows(rows=(Row(name="4", values=(Value(at=50, text="fifty", place=0),)),), reach=5)
    assert farther.targets[0].x <= 182


def test_bars_are_parts_from_left_to_right():
    bar = Bar(
        name="4",
        parts=(
            Part(length=3, colour="s0", text="a", place=0),
            Part(length=1, colour="s1", text="b", place=1),
        ),
    )
    drawing = draw_bars(BarsPlot(title="t", axis="us", bars=(bar,), width=200))
    first, second = (shape.boxes[0] for shape in of(drawing, Boxes))
    left = 12 + 12 * 0.58 + 10
    assert first == pytest.approx((left, 12, (182 - left) * 3 / 4, 12))
    assert second == pytest.approx((left + first[2], 12, (182 - left) / 4, 12))
    assert [target.text for target in drawing.targets] == ["a", "b"]
