from hypothesis import given
from hypothesis import strategies as st

from maskprof.reports.layout import (
    GAP,
    MIN_WRAP_WIDTH,
    Column,
    Table,
    columns_that_fit,
    to_markdown,
    with_texts,
)


def column(key, width, **options):
    return Column(key=key, title=key, cells=("x" * width,), **options)


def keys(table, width):
    return [shown.key for shown in columns_that_fit(table, width)]


TABLE = Table(
    title="t",
    columns=(
        column("a", 10),
        column("b", 10, rank=1),
        column("wide", 10, rank=9),
        column("narrow", 4, rank=5, instead_of="wide"),
    ),
)


def test_what_is_dear_stays():
    assert keys(TABLE, None) == ["a", "b", "wide"]
    assert keys(TABLE, 34) == ["a", "b", "wide"]
    assert keys(TABLE, 33) == ["a", "b", "narrow"]
    assert keys(TABLE, 30) == ["a", "b", "narrow"]
    assert keys(TABLE, 29) == ["a", "b"]
    assert keys(TABLE, 21) == ["a"]
    assert keys(TABLE, 1) == ["a"]


def test_columns_of_one_rank_go_together():
    table = Table(title="t", columns=(column("a", 5), column("b", 5, rank=2), column("c", 5, rank=2)))
    assert keys(table, 18) == ["a"]


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5)), min_size=1, max_size=8), st.integers(1, 120)
)
def test_it_fits_or_only_what_must_stay_is_left(shapes, width):
    table = Table(
        title="t", columns=tuple(column(str(i), size, rank=rank) for i, (size, rank) in enumerate(shapes))
    )
    shown = columns_that_fit(table, width)
    needed = sum(c.width for c in shown) + GAP * (len(shown) - 1)
    assert needed <= width or all(c.rank == 0 for c in shown)
    assert {c.key for c in table.columns if c.rank == 0} <= {c.key for c in shown}


def test_widths():
    assert Column(key="a", title="two\nlines", cells=("x",)).width == 5
    assert column("a", 100, wraps=True).width == MIN_WRAP_WIDTH


def test_markdown():
    table = Table(
        title="Title",
        columns=(
            Column(key="a", title="\nname", cells=("x|y", "two\nlines"), justify="left"),
            Column(key="b", title="time\nms", cells=("1", "2")),
        ),
        notes=("A note.",),
    )
    assert to_markdown(table) == (
        "**Title**\n\n| name | time ms |\n| :--- | ---: |\n| x\\|y | 1 |\n| two lines | 2 |\n\nA note.\n"
    )


def test_texts_can_be_changed_all_at_once():
    changed = with_texts(
        Table(title="t", columns=(Column(key="k", title="h", cells=("c",)),), notes=("n",)), str.upper
    )
    assert (changed.title, changed.notes, changed.columns[0].title, changed.columns[0].cells) == (
        "T",
        ("N",),
        "H",
        ("C",),
    )
