import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.reports.escapes import csv_name, markdown, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("aten::add", "aten::add"),
        ("größer", "größer"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\t\x07", "two\\nlines\\t\\x07"),
        ("\u202eright to left\u200b", "\\u202eright to left\\u200b"),
        ("\ud800", "\\ud800"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_what_is_visible_stays(text):
    shown = visible(text)
    assert shown.isprintable()
    assert visible(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("kernel<4, float>", "kernel&lt;4, float&gt;"),
        ("a|b", "a\\|b"),
        ("`c` *d* _e_ ~f~", "\\`c\\` \\*d\\* \\_e\\_ &#126;f&#126;"),
        ("[x](javascript:y)", "\\[x\\](javascript:y)"),
        ("&lt;", "&amp;lt;"),
        ("\\", "\\\\"),
        ("a\nb", "a\\\\nb"),
    ],
)
def test_markdown(text, escaped):
    assert markdown(text) == escaped


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start):
    assert csv_name(f"{start}1") == f"'{start}1"
    assert csv_name(f"a{start}1") == f"a{start}1"
