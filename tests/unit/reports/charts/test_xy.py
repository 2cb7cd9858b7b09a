import pytest

from maskprof.reports.charts.shapes import Dots, Line, Segments, Words
from maskprof.reports.charts.xy import Axis, Guide, Mark, Series, XYPlot, draw_xy, spread


def plot(**changes):
    settings = {
        "title": "t",
        "x": Axis(title="active blocks", kind="counts"),
        "y": Axis(title="prefill, ms", kind="zero"),
        "series": (
            Series(
                label="a",
                colour="s0",
                marks=(
                    Mark(x=2, y=5, low=4, high=6, text="two", key="k2"),
                    Mark(x=4, y=10, text="four", key="k4"),
                ),
            ),
        ),
        "width": 200,
        "height": 150,
    }
    return draw_xy(XYPlot(**(settings | changes)))


def of(drawing, kind):
    return [shape for shape in drawing.shapes if isinstance(shape, kind)]


def texts(drawing):
    return [words.text for words in of(drawing, Words)]


def test_points_stand_where_their_values_say():
    drawing = plot()
    # 0 to 4 blocks on 31.3 to 186 pixels; 0 to 10 ms on 106 up to 26.
    (dots,) = of(drawing, Dots)
    left = dots.centers[0][0] * 2 - 186
    assert dots.centers == ((pytest.approx((left + 186) / 2), 66), (186, 26))
    assert of(drawing, Line)[0].points == dots.centers
    assert [(target.x, target.y, target.text, target.key) for target in drawing.targets] == [
        (*dots.centers[0], "two", "k2"),
        (*dots.centers[1], "four", "k4"),
    ]


def test_an_interval_is_a_whisker_with_ends():
    whiskers = of(plot(), Segments)[-1]
    x = whiskers.ends[0][0][0]
    assert whiskers.ends == (((x, 74), (x, 58)), ((x - 3, 74), (x + 3, 74)), ((x - 3, 58), (x + 3, 58)))


def test_axes_are_labelled():
    assert texts(plot()) == [
        "prefill, ms",
        "active blocks",
        "0",
        "2",
        "4",
        "6",
        "8",
        "10",
        "0",
        "1",
        "2",
        "3",
        "4",
    ]


def test_one_series_needs_no_label_and_several_have_theirs_at_the_end():
    two = (
        Series(label="low", colour="s0", marks=(Mark(x=0, y=0, text=""), Mark(x=4, y=1, text="")), place=0),
        Series(label="high", colour="s1", marks=(Mark(x=0, y=0, text=""), Mark(x=4, y=9, text="")), place=1),
    )
    drawing = plot(series=two)
    labels = [words for words in of(drawing, Words) if words.text in ("low", "high")]
    assert [(words.text, words.fill, words.series) for words in labels] == [
        ("high", "s1", 1),
        ("low", "s0", 0),
    ]
    assert "a" not in texts(plot())
    long = tuple(Series(label=f"a very long name of {s.label}", colour="s0", marks=s.marks) for s in two)
    assert not any("long" in text for text in texts(plot(series=long)))


def test_points_that_are_not_joined_have_no_line():
    (series,) = (
        Series(label="", colour="s0", joined=False, marks=(Mark(x=1, y=1, text=""), Mark(x=1, y=2, text=""))),
    )
    assert of(plot(series=(series,)), Line) == []


def test_a_guide_is_dashed_and_named_beside_what_is_measured():
    drawing = plot(guides=(Guide(label="ideal", points=((0, 0), (4, 10))),))
    assert of(drawing, Line)[0].dashed
    (label,) = (words for words in of(drawing, Words) if words.text == "ideal")
    assert label.fill == "ideal"


def test_series_stand_apart_by_so_many_pixels():
    marks = (Mark(x=2, y=1, text=""),)
    drawing = plot(series=tuple(Series(label="", colour="s0", marks=marks) for _ in range(3)), apart=4)
    xs = [dots.centers[0][0] for dots in of(drawing, Dots)]
    assert [xs[1] - xs[0], xs[2] - xs[1]] == pytest.approx([4, 4])


def test_zero_is_marked_where_figures_lie_on_both_sides():
    marks = (Mark(x=0, y=-1, text=""), Mark(x=1, y=1, text=""))
    drawing = plot(series=(Series(label="", colour="s0", marks=marks),), y=Axis(title="off, %"))
    assert [segments.stroke for segments in of(drawing, Segments)] == ["grid", "rule", "rule", "muted"]


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([10, 50], [10, 50]),
        ([10, 12, 14], [10, 24, 38]),
        ([90, 95, 99], [72, 86, 100]),
        ([], []),
    ],
)
def test_labels_do_not_cover_each_other(places, moved):
    assert spread(places, 14, 0, 100) == moved
