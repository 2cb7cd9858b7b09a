"""Blocks of two traces in as few rows as tell what changed."""

from hypothesis import given
from hypothesis import strategies as st

from maskprof.reports.diff_blocks import block_groups, block_numbers, block_work_tables, blocks_diff_table
from maskprof.results.trace_comparison import BlockDiffRow, DiffRow


def row(block, us_b=10.0, *, status="same", count_b=4.0, kernels=("gemm", "norm")):
    """A block that takes 10 us in A, by four calls, of two kernels where not said otherwise."""
    work = tuple(
        DiffRow(
            key=name,
            count_a=2.0,
            count_b=count_b / 2,
            us_a=5.0,
            us_b=us_b / 2,
            status=status,
        )
        for name in kernels
    )
    return BlockDiffRow(
        key=str(block),
        count_a=4.0,
        count_b=count_b,
        us_a=10.0,
        us_b=us_b,
        status=status,
        work=work,
    )


def gone(block, kernels=("gemm", "norm")):
    return row(block, 0.0, status="removed", count_b=0.0, kernels=kernels)


def shown(rows):
    return [(group.label, group.row.status, group.row.us_a, group.row.us_b) for group in block_groups(rows)]


@given(st.sets(st.integers(0, 60), min_size=1))
def test_numbers_of_blocks(blocks):
    text = block_numbers(sorted(blocks))
    read = set()
    for part in text.split(", "):
        first, _, last = part.partition("-")
        read |= set(range(int(first), int(last or first) + 1))
    assert read == blocks


def test_what_is_the_same_shares_a_row():
    assert shown([row(0), row(1), row(2)]) == [("0-2", "same", 30.0, 30.0)]


def test_blocks_with_the_same_kernels_go_together():
    rows = [row(0), gone(1), gone(2), gone(3, ("gemm", "rope")), gone(4), row(5)]
    assert shown(rows) == [
        ("0, 5", "same", 20.0, 20.0),
        ("1-2, 4", "removed", 30.0, 0.0),
        ("3", "removed", 10.0, 0.0),
    ]


def test_what_changed_stands_alone():
    rows = [
        row(0),
        row(1, 20.0, status="slower"),
        row(2, 5.0, status="faster"),
        row(3, 21.0, status="slower"),
    ]
    assert [label for label, *_ in shown(rows)] == ["0", "1", "2", "3"]


def test_of_many_that_changed_the_largest_stand_alone():
    rows = [row(block, 20.0 + block, status="slower") for block in range(30)]
    assert [label for label, *_ in shown(rows)] == ["0-21", *map(str, range(22, 30))]
    # One more than eight needs no row for a rest of one.
    assert len(shown(rows[:9])) == 9


def test_thirty_blocks_are_a_few_lines():
    rows = [*(row(block) for block in range(12)), *(gone(block) for block in range(12, 30))]
    table = blocks_diff_table(rows, where=" in decode", counts="kernels")
    assert [
        column.cells for column in table.columns if column.key.startswith(("name", "blocks", "status"))
    ] == [
        ("0-11", "12-29"),
        ("12", "18"),
        ("same", "removed"),
    ]
    (tables,) = block_work_tables(rows, where=" in decode", what="kernel", top=10)
    assert tables.title == "Gone with blocks 12-29 in decode: 18 blocks, 4 kernels each (per step)"
    assert tables.columns[0].cells == ("gemm", "norm")


def test_kernels_beyond_the_top_are_counted():
    names = tuple(f"k{number}" for number in range(5))
    (table,) = block_work_tables([gone(0, names), gone(1, names)], where="", what="kernel", top=3)
    assert table.columns[0].cells == ("k0", "k1", "k2")
    assert table.notes == (
        "Calls of each block; times of all of them.",
        "2 other kernels with 4 calls each, 20.0 us.",
    )


def test_many_kinds_of_blocks_have_three_tables():
    rows = [gone(block, (f"k{block}",)) for block in range(5)]
    tables = block_work_tables(rows, where="", what="kernel", top=3)
    assert [table.title for table in tables] == [
        f"Gone with block {block}: 4 kernels (per step)" for block in range(3)
    ]
    assert tables[-1].notes == ("Likewise blocks 3-4, with other kernels: they are in --json and --csv.",)


def test_the_same_change_of_several_blocks_is_one_row():
    rows = [row(0, 20.0, status="slower"), row(1, 22.0, status="slower"), row(2)]
    (table,) = block_work_tables(rows, where="", what="kernel", top=4)
    cells = {column.key: column.cells for column in table.columns}
    assert table.title == "Changed inside other blocks (per step)"
    assert (cells["us_a"], cells["us_b"], cells["delta"]) == (
        ("10.00", "10.00"),
        ("21.00", "21.00"),
        ("+11.00", "+11.00"),
    )


def test_a_kernel_exchanged_in_a_block_that_takes_as_long_is_shown():
    changed = BlockDiffRow(
        key="1", count_a=1.0, count_b=1.0, us_a=5.0, us_b=5.0, status="same",
        work=(
            DiffRow(key="old", count_a=1.0, count_b=0.0, us_a=5.0, us_b=0.0, status="removed"),
            DiffRow(key="new", count_a=0.0, count_b=1.0, us_a=0.0, us_b=5.0, status="added"),
        ),
    )  # fmt: skip
    (table,) = block_work_tables([row(0), changed], where="", what="kernel", top=4)
    assert {column.key: column.cells for column in table.columns}["status"] == ("removed", "added")
