"""How wide a text is in a terminal: many characters of East Asia and emoji take two cells, marks on others none."""

import unicodedata
from collections.abc import Iterator

# Wide by newer tables than that of the running Python: trigrams, hexagrams, counting rods.
_WIDE = ((0x2630, 0x2637), (0x268A, 0x268F), (0x4DC0, 0x4DFF), (0x1D300, 0x1D376))
_NO_WIDTH = frozenset({"Mn", "Me", "Cf"})
# Makes an emoji, two cells wide, of the character before it.
_EMOJI_SELECTOR = "\ufe0f"


def cells(text: str) -> int:
    """How many cells the text takes; never fewer than terminals give it."""
    return len(text) if text.isascii() else sum(map(_width, text))


def cut_end(text: str, width: int) -> str:
    """At most `width` cells; what goes is taken from the end."""
    return text if cells(text) <= width else f"{_start(text, width - 1)}…"


def cut_middle(text: str, width: int) -> str:
    """At most `width` cells; what goes is taken from the middle, since both ends of a name tell."""
    if cells(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{_start(text, width - 1 - tail)}…{_end(text, tail)}"


def _start(text: str, width: int) -> str:
    return text[: sum(1 for _ in _fitting(iter(text), width))]


def _end(text: str, width: int) -> str:
    # A mark belongs to the character before it, and without that to nothing.
    return text[len(text) - sum(1 for _ in _fitting(reversed(text), width)) :].lstrip(_EMOJI_SELECTOR)


def _fitting(characters: Iterator[str], width: int) -> Iterator[str]:
    for character in characters:
        width -= _width(character)
        if width < 0:
            return
        yield character


def _width(character: str) -> int:
    if character.isascii():
        return 1
    if character == _EMOJI_SELECTOR:
        return 1
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 2 if any(first <= ord(character) <= last for first, last in _WIDE) else 1
