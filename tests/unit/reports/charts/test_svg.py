from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.reports.charts.palette import colours
from maskprof.reports.charts.shapes import Boxes, Dots, Drawing, Line, Segments, Words
from maskprof.reports.charts.svg import inline_svg, key_svg, svg_file


def inside(*shapes):
    """What the shapes become in a page, without the element around them."""
    text = inline_svg(Drawing(width=100, height=50, title="t", shapes=shapes))
    start = '<svg viewBox="0 0 100 50" role="img" aria-label="t">'
    assert text.startswith(start)
    assert text.endswith("</svg>")
    return text.removeprefix(start).removesuffix("</svg>")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (
            Line(points=((0, 0), (10.04, 5.26)), stroke="s0", width=1.8, dashed=True),
            '<path d="M0 0L10 5.3" fill="none" class="k-s0" stroke-width="1.8" stroke-dasharray="5 4"/>',
        ),
        (
            Segments(ends=(((1, 2), (3, 4)), ((5, 6), (7, 8))), stroke="grid"),
            '<path d="M1 2L3 4M5 6L7 8" class="k-grid" stroke-width="1"/>',
        ),
        (Boxes(boxes=((1, 2, 3, 4),), fill="h0"), '<path d="M1 2h3v4h-3z" class="f-h0"/>'),
        (
            Boxes(boxes=((1, 2, 3, 4),), fill="h0", hollow=True),
            '<path d="M1 2h3v4h-3z" fill="none" class="k-h0"/>',
        ),
        (
            Dots(centers=((1, 2), (3, 4)), fill="s0", radius=2.2, faint=True),
            '<path d="M1 2h0M3 4h0" class="k-s0" stroke-width="4.4" stroke-linecap="round" opacity=".55"/>',
        ),
        (
            Dots(centers=((10, 10),), fill="s1", radius=4, mark="diamond", hollow=True),
            '<path d="M10 5.2l4.8 4.8l-4.8 4.8l-4.8 -4.8z" class="f-ground k-s1" stroke-width="1.6"/>',
        ),
        (
            Words(x=5, y=9, text="a < b", anchor="end", bold=True),
            '<g font-size="12" text-anchor="end" font-weight="600" class="f-ink"><text x="5" y="9">a &lt; b</text></g>',
        ),
    ],
    ids=["line", "segments", "boxes", "hollow boxes", "dots", "hollow diamond", "words"],
)
def test_shapes_in_a_page(shape, expected):
    assert inside(shape) == expected


def test_series_are_groups_that_can_be_hidden():
    first = Boxes(boxes=((0, 0, 1, 1),), fill="s0", series=0)
    assert inside(first, Boxes(boxes=((2, 0, 1, 1),), fill="s1", series=1)) == (
        '<g data-s="0"><path d="M0 0h1v1h-1z" class="f-s0"/></g><g data-s="1"><path d="M2 0h1v1h-1z" class="f-s1"/></g>'
    )


def test_texts_of_one_style_share_it():
    assert inside(Words(x=1, y=2, text="a"), Words(x=3, y=4, text="b")) == (
        '<g font-size="12" class="f-ink"><text x="1" y="2">a</text><text x="3" y="4">b</text></g>'
    )


def test_a_file_has_its_colours_and_its_ground_in_it():
    drawing = Drawing(width=10, height=5, title="t", shapes=(Boxes(boxes=((0, 0, 1, 1),), fill="s0"),))
    for theme in ("light", "dark"):
        text = svg_file(drawing, theme=theme)
        assert f'<path d="M0 0h1v1h-1z" fill="{colours(theme)["s0"]}"/>' in text
        assert f'<rect width="100%" height="100%" fill="{colours(theme)["ground"]}"/>' in text
        assert "class=" not in text


@pytest.mark.parametrize("mark", ["circle", "square", "diamond", "triangle"])
def test_every_mark_can_be_drawn(mark):
    assert ET.fromstring(key_svg("s0", mark))[0].get("class") == "k-s0" if mark == "circle" else "f-s0"
    assert ET.fromstring(key_svg("s0", mark, hollow=True))[0].get("class") == "f-ground k-s0"


@given(st.text())
def test_no_name_is_markup(name):
    drawing = Drawing(width=1, height=1, title=name, shapes=(Words(x=0, y=0, text=name),))
    root = ET.fromstring(svg_file(drawing))
    assert [child.tag.rpartition("}")[2] for child in root] == ["title", "rect", "g"]
    page = ET.fromstring(inline_svg(drawing))
    assert [child.tag for child in page.iter()] == ["svg", "g", "text"]
    assert page[0][0].text or not name.strip() or not name.isprintable()
