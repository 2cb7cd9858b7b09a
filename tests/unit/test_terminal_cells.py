"""Names in the cells of a terminal; rich, which lays out the tables, must not find them wider than we do."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from maskprof.kernel_names import short_names
from maskprof.reports.escapes import visible
from maskprof.terminal_cells import cells, cut_end, cut_middle

# What names can hold once they are made visible.
PRINTABLE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("日本語推理ｶ한글é́❤️🚀👩🏽¼"),
    )
).map(visible)


def test_no_character_is_wider_than_it_is_taken_for():
    characters = (chr(code) for code in range(0x110000))
    shown = (c for c in characters if c.isprintable() and unicodedata.category(c) not in ("Co", "Cn"))
    assert [c for c in shown if cell_len(c) > cells(c)] == []


@given(PRINTABLE, st.integers(1, 60))
def test_cut_texts_are_as_wide_as_there_is_room(text, width):
    for cut in (cut_end, cut_middle):
        found = cut(text, width)
        assert cell_len(found) <= cells(found) <= width
        assert found == text or "…" in found
    if cells(text) <= width:
        assert cut_end(text, width) == cut_middle(text, width) == text


@given(st.lists(PRINTABLE, unique=True, max_size=5), st.integers(16, 60))
def test_short_names_are_as_wide_as_there_is_room(names, width):
    assert all(cell_len(name) <= width for name in short_names(names, width))


@pytest.mark.parametrize(
    ("text", "width", "middle", "end"),
    [
        ("abcdefghij", 10, "abcdefghij", "abcdefghij"),
        ("abcdefghij", 6, "abc…ij", "abcde…"),
        ("推理阶段计时", 12, "推理阶段计时", "推理阶段计时"),
        ("推理阶段计时", 11, "推理…计时", "推理阶段计…"),
        ("推理阶段计时", 10, "推理…计时", "推理阶段…"),
        ("推理", 1, "…", "…"),
    ],
)
def test_examples(text, width, middle, end):
    assert cut_middle(text, width) == middle
    assert cut_end(text, width) == end


def test_marks_and_emoji():
    assert cells("e\u0301") == 1
    assert cells("❤\ufe0f") == 2
    assert cells("🚀") == 2
