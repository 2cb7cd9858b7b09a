"""Names from a trace are data: whatever is in them, they are shown, and nothing more.

Control characters would move a terminal's cursor, `<` would open a tag in Markdown, `=` a formula in a
spreadsheet.
"""

import re

_MARKDOWN = re.compile(r"[\\`*_\[\]|]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "~": "&#126;"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    r"""The text with what cannot be seen (control, format and surrogate characters) written out as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def markdown(text: str) -> str:
    """The text for Markdown, in a table's cell or outside of one: nothing in it is markup."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(text).translate(_ENTITIES))


def csv_name(text: str) -> str:
    """A name for a CSV cell: visible, and never a formula where a spreadsheet opens the file."""
    shown = visible(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
