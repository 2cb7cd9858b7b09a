from dataclasses import replace
from itertools import pairwise

import pytest

from maskprof.reports.plots.drift import course_table, courses, draw_spark, drift, drift_plots
from tests.support.results import make_configuration, make_result, make_sample


def timed(*scales, configuration=None):
    """A result whose prefill was these multiples of the usual, one sample every 10 s."""
    configuration = configuration or make_configuration(16)
    result = make_result([configuration])
    samples = tuple(
        replace(make_sample(configuration, n, scale=scale), started_s=10.0 * n)
        for n, scale in enumerate(scales)
    )
    return replace(result, samples=samples)


def cells(table, heading):
    return next(column.cells for column in table.columns if column.title == heading)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 1, 1, 1, 1, 1), 0.0),
        ((1, 1, 5, 5, 2, 2), 1.0),
        ((4, 4, 1, 1, 3, 3), -0.25),
        ((1, 2, 3), None),
        ((), None),
        ((0, 0, 1, 1, 2, 2), None),
    ],
)
def test_drift_is_the_last_third_against_the_first(values, expected):
    assert drift(values) == expected


def test_samples_stand_by_time_and_distance_from_their_median():
    plot = drift_plots(timed(1.0, 1.1, 0.9, 1.0, 1.0))[0]
    assert plot.name == "samples-prefill"
    points = [target for target in plot.drawing.targets if target.series == 0]
    assert [point.text for point in points][1:3] == [
        "16 blocks, sample 1\n23.3 ms (+10.0 %)",
        "16 blocks, sample 2\n19.1 ms (-10.0 %)",
    ]
    xs = [point.x for point in points]
    assert [after - before for before, after in pairwise(xs)] == pytest.approx([xs[1] - xs[0]] * 4)
    assert points[1].y < points[0].y < points[2].y


def test_every_round_has_its_median_where_it_has_several_samples():
    plot = drift_plots(make_result())[0]
    rounds = [target.text for target in plot.drawing.targets if target.series == 1]
    assert rounds == [
        f"round {n}: median {pct} %" for n, pct in enumerate(("-2.0", "-1.0", "+0.0", "+1.0", "+2.0"))
    ]
    assert [key.label for key in drift_plots(timed(1, 2, 3))[0].legend] == ["one sample"]


def test_a_sample_far_off_stands_at_the_edge_and_says_so():
    scales = [1.0 + 0.001 * (n % 5) for n in range(60)]
    plot = drift_plots(timed(*scales[:30], 50.0, *scales[30:]))[0]
    assert "1 sample beyond stand at the edge" in plot.drawing.title
    far = next(target for target in plot.drawing.targets if target.text.startswith("16 blocks, sample 30\n"))
    assert far.y == min(target.y for target in plot.drawing.targets)
    assert far.text.endswith("%)")


def test_references_have_no_part_in_it():
    result = make_result()
    assert any(sample.reference for sample in result.samples)
    points = [target for target in drift_plots(result)[0].drawing.targets if target.series == 0]
    assert len(points) == 4 * 5


def test_no_course_of_one_sample():
    assert drift_plots(timed(1.0)) == ()
    assert [course.values_ms for course in courses(timed(1.0), "prefill")] == [(pytest.approx(21.2),)]


def test_the_table_has_spread_and_drift():
    table = course_table("Prefill", courses(timed(1, 1, 1, 1, 1.5, 1.5), "prefill"))
    assert cells(table, "median") == ("21.20",)
    assert cells(table, "most") == ("31.80",)
    assert cells(table, "drift") == ("+50 %",)
    assert cells(course_table("Prefill", courses(timed(1, 1), "prefill")), "drift") == ("-",)


def test_a_small_picture_of_a_course():
    (course,) = courses(timed(1.0, 3.0, 2.0), "prefill")
    drawing = draw_spark(course)
    dots = drawing.shapes[-1]
    assert dots.centers == ((4, 26), (75, 4), (146, pytest.approx(15)))
    assert drawing.title == "16 blocks: 3 samples in the order of time, 21.2 ms to 63.6 ms"
    (constant,) = courses(timed(1.0, 1.0), "prefill")
    assert {y for _, y in draw_spark(constant).shapes[-1].centers} == {26}
