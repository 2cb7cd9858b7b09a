from io import BytesIO

import pytest
from PIL import Image, ImageFont

from maskprof.reports.charts import raster
from maskprof.reports.charts.palette import colours
from maskprof.reports.charts.raster import png_bytes
from maskprof.reports.charts.shapes import MARKS, Boxes, Dots, Drawing, Line, Segments, Words


def picture(*shapes, theme="light", scale=2.0):
    drawing = Drawing(width=40, height=20, title="t", shapes=shapes)
    return Image.open(BytesIO(png_bytes(drawing, theme=theme, scale=scale))).convert("RGB")


def rgb(name, theme="light"):
    return tuple(bytes.fromhex(colours(theme)[name][1:]))


def near(name):
    """Reducing the picture mixes the edge of a thin line into its middle."""
    return pytest.approx(rgb(name), abs=10)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_size_and_ground(theme):
    image = picture(theme=theme, scale=3)
    assert image.size == (120, 60)
    assert image.getcolors() == [(120 * 60, rgb("ground", theme))]


def test_shapes_are_where_they_are_in_svg():
    image = picture(
        Boxes(boxes=((2, 2, 6, 6),), fill="s0"),
        Line(points=((10, 10), (30, 10)), stroke="s1", width=2),
        Segments(ends=(((34, 2), (34, 18)),), stroke="s2", width=2),
    )
    assert image.getpixel((10, 10)) == rgb("s0")
    assert image.getpixel((40, 20)) == near("s1")
    assert image.getpixel((68, 20)) == near("s2")
    assert image.getpixel((40, 30)) == rgb("ground")


def test_a_dashed_line_has_gaps():
    image = picture(Line(points=((0, 10), (40, 10)), stroke="s1", width=2, dashed=True))
    row = [image.getpixel((x, 20)) for x in range(80)]
    assert row[4] == near("s1")
    assert row[14] == near("ground")


@pytest.mark.parametrize("mark", MARKS)
def test_marks_filled_and_hollow(mark):
    full = picture(Dots(centers=((20, 10),), fill="s0", radius=5, mark=mark))
    hollow = picture(Dots(centers=((20, 10),), fill="s0", radius=5, mark=mark, hollow=True))
    assert full.getpixel((40, 20)) == rgb("s0")
    assert hollow.getpixel((40, 20)) == rgb("ground")
    assert hollow.getcolors(256) != [(80 * 40, rgb("ground"))]


@pytest.mark.parametrize("fonts", ["the system's", "none"])
def test_words_are_drawn_whatever_fonts_there_are(monkeypatch, fonts):
    raster._font.cache_clear()
    if fonts == "none":

        def nothing(*_args, **_options):
            raise OSError("cannot open resource")

        # The font in Pillow itself is read by the same function, from memory.
        own = ImageFont.truetype
        monkeypatch.setattr(
            ImageFont,
            "truetype",
            lambda font, *a, **o: own(font, *a, **o) if hasattr(font, "read") else nothing(),
        )
    image = picture(Words(x=2, y=14, text="10 µs · größer", size=10))
    raster._font.cache_clear()
    assert len(image.getcolors(4096)) > 5
