"""Columns that grow: the values come back, in the narrowest type."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.traces.growing import GrowingColumn

VALUES = st.one_of(st.integers(-3, 3), st.integers(-(2**15), 2**16), st.integers(-(2**63), 2**63 - 1))
PIECES = st.lists(st.lists(VALUES, max_size=6), max_size=6)


@given(pieces=PIECES, floor=st.sampled_from([np.int8, np.int16, np.int32, np.int64]))
def test_values_come_back_in_the_narrowest_type(pieces, floor):
    column = GrowingColumn(at_least=floor)
    for piece in pieces:
        column.extend(np.array(piece, dtype=np.int64))
    expected = [value for piece in pieces for value in piece]
    assert len(column) == len(expected)
    found = column.finish()
    assert found.tolist() == expected
    assert found.shape == (len(expected),)
    widths = [np.dtype(kind) for kind in (np.int8, np.int16, np.int32, np.int64)]
    fitting = [w for w in widths if all(np.iinfo(w).min <= v <= np.iinfo(w).max for v in expected)]
    assert found.dtype == max(fitting[0], np.dtype(floor), key=lambda w: w.itemsize)


@pytest.mark.parametrize("values", [[5] * 1000, [-1] * 3])
def test_a_column_of_one_value_takes_no_room(values):
    column = GrowingColumn()
    for _ in range(3):
        column.extend(np.array(values, dtype=np.int64))
    found = column.finish()
    assert found.tolist() == values * 3
    assert found.strides == (0,)
