from maskprof.reports.charts.framed import framed
from maskprof.reports.charts.shapes import Boxes, Dots, Drawing, Line, Segments, Target, Words

DRAWING = Drawing(
    width=120,
    height=50,
    title="t",
    shapes=(
        Line(points=((0, 1), (2, 3)), stroke="s0"),
        Segments(ends=(((0, 1), (2, 3)),), stroke="s0"),
        Boxes(boxes=((0, 1, 2, 3),), fill="s0"),
        Dots(centers=((0, 1),), fill="s0"),
        Words(x=0, y=1, text="a"),
    ),
    targets=(Target(x=0, y=1, text="here"),),
)


def test_everything_moves_down_under_the_heading():
    whole = framed(DRAWING, "Prefill", ())
    heading, line, segments, boxes, dots, words = whole.shapes
    assert (heading.text, heading.bold) == ("Prefill", True)
    assert line.points == ((0, 29), (2, 31))
    assert segments.ends == (((0, 29), (2, 31)),)
    assert boxes.boxes == ((0, 29, 2, 3),)
    assert dots.centers == ((0, 29),)
    assert words.y == 29
    assert whole.height == 78
    assert whole.targets[0].y == 29


def test_a_legend_takes_as_many_lines_as_it_needs():
    entries = [("s0", "one run", "circle", False), ("s1", "another run", "square", True)]
    whole = framed(DRAWING, "Prefill", entries)
    dots = [shape for shape in whole.shapes[:-5] if isinstance(shape, Dots)]
    assert [dot.centers for dot in dots] == [((15, 34),), ((15, 52),)]
    assert [dot.hollow for dot in dots] == [False, True]
