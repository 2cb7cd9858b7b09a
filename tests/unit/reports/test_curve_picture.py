from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskprof.reports.curve_picture import Curve, curve_picture, round_marks


@pytest.mark.parametrize(
    ("highest", "marks"),
    [
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (22.7, [0, 5, 10, 15, 20, 25]),
        (70, [0, 10, 20, 30, 40, 50, 60, 70]),
        (85, [0, 20, 40, 60, 80, 100]),
        (0.034, [0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035]),
        (0, [0, 1]),
    ],
)
def test_marks_are_round(highest, marks):
    assert round_marks(highest) == pytest.approx(marks)


@given(st.floats(1e-6, 1e9))
def test_marks_reach_the_highest_and_are_few(highest):
    marks = round_marks(highest)
    assert marks[-2] < highest <= marks[-1] * (1 + 1e-9)
    assert 4 <= len(marks) <= 8


def column(picture, x):
    return {picture.getpixel((x, y)) for y in range(picture.height)}


@pytest.mark.parametrize("points", [((1, 3.0),), ((4, 8.0), (8, 16.0)), tuple((n, 0.0) for n in range(81))])
def test_a_picture_of_any_number_of_points(points):
    ideal = Curve(name="ideal", points=points, dashed=True)
    measured = Curve(
        name="measured", points=points, low=(0.0,) * len(points), high=tuple(2 * y for _, y in points)
    )
    png, size = curve_picture("Prefill", [measured, ideal])
    picture = Image.open(BytesIO(png)).convert("RGB")
    assert picture.size == size == (1000, 620)
    assert len(column(picture, 90 + 880 - 1)) > 2, "something is drawn at the last point"
