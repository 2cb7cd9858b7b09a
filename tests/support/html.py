"""What a page says, read back by Python's own parser: elements, texts, scripts; nothing of ours has a part in it."""

from html.parser import HTMLParser

_NO_END = {"meta", "br", "img", "link", "input", "hr"}
_BLOCKS = {
    "p",
    "li",
    "tr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "caption",
    "summary",
    "title",
    "footer",
    "div",
    "ul",
    "table",
}


class ReadPage(HTMLParser):
    """A page that was read.

    Attributes:
        elements: (name, attributes) of every element, in order.
        lines: what it says, a line per paragraph, heading or row; what pictures are called stands in brackets.
        scripts: (type, text) of every script element.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._line: list[str] = []
        self.lines: list[str] = []
        self.feed(text)
        self._end_line()

    def names(self) -> set[str]:
        return {name for name, _ in self.elements}

    def attributes(self) -> set[str]:
        return {attribute for _, attributes in self.elements for attribute in attributes}

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag in _BLOCKS:
            self._end_line()
        if tag in ("td", "th"):
            self._line.append(" | ")
        if tag == "svg" and attributes.get("aria-label"):
            self._line.append(f"[{attributes['aria-label']}]")
        if tag not in _NO_END:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append((attributes.get("type") or "", ""))

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag in _BLOCKS:
            self._end_line()

    def handle_data(self, data):
        if "script" in self._open:
            kind, before = self.scripts[-1]
            self.scripts[-1] = (kind, before + data)
        elif "style" not in self._open and "svg" not in self._open:
            self._line.append(data)

    def _end_line(self):
        text = " ".join("".join(self._line).split()).removeprefix("| ")
        if text:
            self.lines.append(text)
        self._line = []
