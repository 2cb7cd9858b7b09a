"""Arrays made piece by piece: the same as all at once, however small the pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.traces import pieces, spilling

VALUES = st.lists(st.integers(-5, 5) | st.integers(-(2**40), 2**40), max_size=30)


@pytest.fixture(scope="module", autouse=True)
def smallest_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", 3)
        patch.setattr(pieces, "_SPAN", 4)
        patch.setattr(pieces, "_SORTED_AT_ONCE", 4)
        patch.setattr(spilling, "LEAST_BYTES", 16)
        yield


def array(values):
    return np.array(values, dtype=np.int64)


@given(VALUES)
def test_order_is_that_of_a_stable_sort(values):
    keys = array(values)
    found = pieces.order(len(keys), lambda piece: keys[piece])
    assert found.tolist() == np.argsort(keys, kind="stable").tolist()


@given(VALUES)
def test_positions_are_those_where_it_is_true(values):
    chosen = array(values) > 0
    assert (
        pieces.positions(len(chosen), lambda piece: chosen[piece]).tolist() == np.flatnonzero(chosen).tolist()
    )


@given(VALUES, st.sampled_from([np.int8, np.int32, np.int64]))
def test_a_column_holds_every_value_and_is_wide_enough(values, at_least):
    made = pieces.column(len(values), lambda piece: array(values)[piece], at_least=at_least)
    assert made.tolist() == values
    assert made.dtype.itemsize >= np.dtype(at_least).itemsize


@given(st.lists(st.integers(0, 50), max_size=20))
def test_rows_far_apart_come_in_slices_that_cover_little_and_all_of_them(values):
    rows = array(values)
    found = list(pieces.row_slices(rows))
    assert [at for piece in found for at in range(piece.start, piece.stop)] == [*range(len(rows))]
    assert pieces.row_column(rows, lambda some: some * 2).tolist() == (rows * 2).tolist()


def test_rows_in_order_that_lie_far_apart_are_never_asked_for_together():
    rows = array([0, 1, 2, 100, 200, 300])
    spans = [int(rows[piece][-1] - rows[piece][0]) for piece in pieces.row_slices(rows)]
    assert spans == [2, 0, 0, 0]


@given(VALUES)
def test_sums_before_each_and_of_all(values):
    found = pieces.sums_before(len(values), lambda piece: array(values)[piece])
    assert found.tolist() == [sum(values[:count]) for count in range(len(values) + 1)]
