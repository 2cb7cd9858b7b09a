"""One page of HTML with everything in it: no network, no fonts, no file beside it (jinja2)."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from maskprof.reports.charts.palette import Theme, colours
from maskprof.reports.charts.svg import inline_svg, key_svg
from maskprof.reports.layout import Column, columns_that_fit
from maskprof.reports.page import Page
from maskprof.reports.plots.drift import Course, draw_spark
from maskprof.reports.plots.plot import Plot
from maskprof.reports.sections import Section, TableView
from maskprof.version import __version__

_POLICY = "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"
# What may end a script element or be read as markup, and what older scripts take for the end of a line.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_page(page: Page) -> str:
    """The page as text. Every name in it is escaped, and its policy allows its own script and style alone."""
    style, script = _style(), _resource("page.js")
    plots = [
        (f"{prefix}{plot.name}", plot)
        for prefix, sections in [("", page.comparison)]
        + [(f"r{number}-", part.sections) for number, part in enumerate(page.parts)]
        for plot in _plots(sections)
    ]
    template = _environment().from_string(_resource("page.html"))
    return template.render(
        page=page,
        version=__version__,
        style=_trusted(style),
        script=_trusted(script),
        policy=_POLICY.format(script=_hash(script), style=_hash(style)),
        data=_trusted(json_for_script(_data(plots))),
        grounds=(colours("light")["ground"], colours("dark")["ground"]),
    )


def json_for_script(value: object) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element or begins markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char, escaped in _UNSAFE.items():
        text = text.replace(char, escaped)
    return text


def style_variables(theme: Theme) -> str:
    """The palette as custom properties."""
    return "".join(f"--{name}:{colour};" for name, colour in colours(theme).items())


def _style() -> str:
    light, dark = style_variables("light"), style_variables("dark")
    classes = "".join(f".f-{n}{{fill:var(--{n})}}.k-{n}{{stroke:var(--{n})}}" for n in colours("light"))
    # Paper is white: the dark theme is for screens only.
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}"
        f"{classes}\n{_resource('page.css')}"
    )


def _plots(sections: Iterable[Section]) -> Iterable[Plot]:
    for section in sections:
        yield from section.plots
        for fold in section.folds:
            yield from fold.plots


def _data(plots: Sequence[tuple[str, Plot]]) -> dict[str, object]:
    """Where each plot can be pointed at: [x, y, series, key, heading, text] by plot.

    Series are numbers; keys, headings and texts are places in lists of their own, since many are the same. -1 is none.
    """
    keys: dict[str, int] = {}
    texts: dict[str, int] = {}

    def place(text: str, among: dict[str, int]) -> int:
        return among.setdefault(text, len(among)) if text else -1

    found = {
        name: [
            [
                *(round(target.x), round(target.y), -1 if target.series is None else target.series),
                *(place(target.key, keys), place(target.heading, texts), place(target.text, texts)),
            ]
            for target in plot.drawing.targets
        ]
        for name, plot in plots
    }
    return {"keys": list(keys), "texts": list(texts), "plots": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    text: str
    markup: Markup | None = None
    kind: str = ""


def _rows(view: TableView) -> list[tuple[str, bool, list[_Cell]]]:
    """(key, whether it stands out, cells) of every row."""
    columns = columns_that_fit(view.table, None)
    rows = []
    for row in range(view.table.num_rows):
        cells = [_cell(column, column.cells[row]) for column in columns]
        if view.sparks:
            cells.insert(1, _spark(view.sparks[row]))
        rows.append((view.keys[row] if view.keys else "", row in view.table.strong_rows, cells))
    return rows


def _heads(view: TableView) -> list[tuple[str, str]]:
    """(title, class) of every column."""
    heads = [(c.title.replace("\n", " ").strip(), _class(c)) for c in columns_that_fit(view.table, None)]
    if view.sparks:
        heads.insert(1, ("in the order of time", "spark"))
    return heads


def _class(column: Column) -> str:
    if column.role == "mask":
        return "mask"
    return "n" if column.justify == "right" else "wrap" if column.wraps else "t"


def _cell(column: Column, text: str) -> _Cell:
    if column.role == "mask":
        return _Cell(text=text, markup=_mask(text))
    kind = _class(column)
    # Most cells are figures, and say nothing of it.
    return _Cell(text=text, kind="" if kind == "n" else kind)


def _spark(course: Course) -> _Cell:
    return _Cell(text="", markup=_trusted(inline_svg(draw_spark(course))))


def _mask(cells: str) -> Markup:
    """A mask's cells as a small picture; `cells` are made by `units.mask_cells`."""
    return mask_svg([{"█": 1.0, "▒": 0.5}.get(cell, 0.0) for cell in cells])


def mask_svg(shares: Sequence[float]) -> Markup:
    """A mask as a strip of cells, filled where blocks are active, half where only some of a cell's are."""
    places = list(enumerate(shares))
    active = "".join(f"M{4 * n + 1.5} {0 if share == 1 else 4}V9" for n, share in places if share)
    none = "".join(f"M{4 * n + 1.5} 8v1" for n, share in places if not share)
    label = "".join("1" if share == 1 else "0" if not share else "+" for share in shares)
    width = 4 * len(shares)
    return Markup(
        '<svg class="mask" viewBox="0 0 {} 9" width="{}" height="9" role="img" aria-label="mask {}">'
        '<path class="k-active" d="{}"/><path class="k-rest" d="{}"/></svg>'
    ).format(width, width, label, active, none)


def _trusted(text: str) -> Markup:
    """What is not to be escaped again: our own style, script and JSON, and SVG whose writer escapes every name."""
    return Markup(text)  # noqa: S704


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@cache
def _resource(name: str) -> str:
    return (files("maskprof.reports") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["svg"] = lambda drawing: _trusted(inline_svg(drawing))
    environment.filters["mark"] = lambda key: _trusted(key_svg(key.colour, key.mark, hollow=key.hollow))
    environment.filters["view"] = lambda table: TableView(table=table)
    environment.filters["rows"] = _rows
    environment.filters["heads"] = _heads
    environment.filters["mask"] = lambda active: mask_svg([float(on) for on in active])
    return environment
