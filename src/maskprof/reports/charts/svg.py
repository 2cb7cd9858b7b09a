"""A drawing as SVG: for a page, whose style sheet colours it, or as a file of its own with colours in it."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby

from maskprof.reports.charts.palette import Theme, colours
from maskprof.reports.charts.shapes import Boxes, Dots, Drawing, Line, Mark, Point, Segments, Shape, Words

_FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def inline_svg(drawing: Drawing) -> str:
    """For a page: colours are classes (`f-ink` fills, `k-ink` strokes), series are groups with `data-s`."""
    return (
        f'<svg viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" role="img" '
        f'aria-label="{_e(drawing.title)}">{_body(drawing.shapes, None)}</svg>'
    )


def svg_file(drawing: Drawing, *, theme: Theme = "light") -> str:
    """A file of its own: colours and the ground are in it, fonts are asked for by family."""
    named = colours(theme)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(drawing.width)}" height="{_n(drawing.height)}" '
        f'viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}" font-family="{_FONTS}">'
        f"<title>{_e(drawing.title)}</title>"
        f'<rect width="100%" height="100%" fill="{named["ground"]}"/>'
        f"{_body(drawing.shapes, named)}</svg>\n"
    )


def key_svg(colour: str, mark: Mark, *, hollow: bool = False) -> str:
    """The mark of a legend's entry, for a page."""
    dots = Dots(centers=((6, 6),), fill=colour, radius=4.2, mark=mark, hollow=hollow)
    return f'<svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">{_dots(dots, None)}</svg>'


def _body(shapes: Iterable[Shape], named: Mapping[str, str] | None) -> str:
    parts = []
    for series, members in groupby(shapes, key=lambda shape: shape.series):
        inside = "".join(_alike(list(group), named) for _, group in groupby(members, key=_style_of_words))
        parts.append(inside if series is None else f'<g data-s="{series}">{inside}</g>')
    return "".join(parts)


def _style_of_words(shape: Shape) -> tuple[object, ...] | None:
    return (shape.fill, shape.size, shape.anchor, shape.bold) if isinstance(shape, Words) else None


def _alike(shapes: Sequence[Shape], named: Mapping[str, str] | None) -> str:
    """Shapes one after the other; lines of text of one style share it, since axes have many."""
    first = shapes[0]
    if not isinstance(first, Words):
        return "".join(_shape(shape, named) for shape in shapes)
    anchor = "" if first.anchor == "start" else f' text-anchor="{first.anchor}"'
    bold = ' font-weight="600"' if first.bold else ""
    texts = (
        f'<text x="{_n(words.x)}" y="{_n(words.y)}">{_e(words.text)}</text>'
        for words in shapes
        if isinstance(words, Words)
    )
    style = f'font-size="{_n(first.size)}"{anchor}{bold} {_paint(named, fill=first.fill)}'
    return f"<g {style}>{''.join(texts)}</g>"


def _shape(shape: Shape, named: Mapping[str, str] | None) -> str:
    match shape:
        case Line():
            dash = ' stroke-dasharray="5 4"' if shape.dashed else ""
            return (
                f'<path d="M{"L".join(_at(point) for point in shape.points)}" fill="none" '
                f'{_paint(named, stroke=shape.stroke)} stroke-width="{_n(shape.width)}"{dash}/>'
            )
        case Segments():
            path = "".join(f"M{_at(first)}L{_at(second)}" for first, second in shape.ends)
            return f'<path d="{path}" {_paint(named, stroke=shape.stroke)} stroke-width="{_n(shape.width)}"/>'
        case Boxes():
            path = "".join(f"M{_n(x)} {_n(y)}h{_n(w)}v{_n(h)}h{_n(-w)}z" for x, y, w, h in shape.boxes)
            if shape.hollow:
                return f'<path d="{path}" fill="none" {_paint(named, stroke=shape.fill)}/>'
            return f'<path d="{path}" {_paint(named, fill=shape.fill)}/>'
        case Dots():
            return _dots(shape, named)
        case Words():
            return _alike([shape], named)


def _dots(shape: Dots, named: Mapping[str, str] | None) -> str:
    faint = ' opacity=".55"' if shape.faint else ""
    if shape.mark == "circle" and not shape.hollow:
        # A stroke of no length with round ends: a fifth of the text of two arcs, and pages hold thousands.
        path = "".join(f"M{_at(center)}h0" for center in shape.centers)
        stroke = _paint(named, stroke=shape.fill)
        return (
            f'<path d="{path}" {stroke} stroke-width="{_n(2 * shape.radius)}" stroke-linecap="round"{faint}/>'
        )
    path = "".join(_outline(shape, center) for center in shape.centers)
    if shape.hollow:
        return (
            f'<path d="{path}" {_paint(named, fill="ground", stroke=shape.fill)} stroke-width="1.6"{faint}/>'
        )
    return f'<path d="{path}" {_paint(named, fill=shape.fill)}{faint}/>'


def _outline(shape: Dots, center: Point) -> str:
    (x, y), r = center, shape.radius
    match shape.mark:
        case "circle":
            return f"M{_n(x - r)} {_n(y)}a{_n(r)} {_n(r)} 0 1 0 {_n(2 * r)} 0a{_n(r)} {_n(r)} 0 1 0 {_n(-2 * r)} 0z"
        case "square":
            r *= 0.88
            return f"M{_n(x - r)} {_n(y - r)}h{_n(2 * r)}v{_n(2 * r)}h{_n(-2 * r)}z"
        case "diamond":
            r *= 1.2
            return f"M{_n(x)} {_n(y - r)}l{_n(r)} {_n(r)}l{_n(-r)} {_n(r)}l{_n(-r)} {_n(-r)}z"
        case "triangle":
            r *= 1.15
            return f"M{_n(x)} {_n(y - r)}l{_n(r)} {_n(1.8 * r)}h{_n(-2 * r)}z"


def _paint(named: Mapping[str, str] | None, *, fill: str | None = None, stroke: str | None = None) -> str:
    if named is None:
        names = [f"f-{fill}" if fill else "", f"k-{stroke}" if stroke else ""]
        return f'class="{" ".join(name for name in names if name)}"'
    ways = [f'fill="{named[fill]}"' if fill else "", f'stroke="{named[stroke]}"' if stroke else ""]
    return " ".join(way for way in ways if way)


def _at(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _e(text: str) -> str:
    # Control characters are not allowed in XML at all.
    return escape("".join(char if char.isprintable() else " " for char in text))
