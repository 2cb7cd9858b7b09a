import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maskprof.traces.intervals import gaps, union, union_length

INTERVALS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted), max_size=12)


def _arrays(intervals):
    array = np.array(intervals, dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _points(intervals) -> set[int]:
    return {t for start, end in intervals for t in range(start, end)}


def test_touching_intervals_are_joined():
    start, end = union(*_arrays([[5, 7], [1, 3], [3, 4], [6, 9], [2, 2]]))
    assert (start.tolist(), end.tolist()) == ([1, 5], [4, 9])


def test_nothing():
    assert union_length(*_arrays([])) == 0
    assert [len(a) for a in gaps(*_arrays([]))] == [0, 0]


@given(INTERVALS)
def test_union_covers_the_same_times(intervals):
    start, end = union(*_arrays(intervals))
    assert _points(zip(start.tolist(), end.tolist(), strict=True)) == _points(intervals)
    assert np.all(start[1:] > end[:-1])
    assert union_length(*_arrays(intervals)) == len(_points(intervals))


@given(INTERVALS)
def test_gaps_are_the_rest_of_the_span(intervals):
    covered = _points(intervals)
    start, end = gaps(*_arrays(intervals))
    span = set(range(min(covered), max(covered) + 1)) if covered else set()
    assert _points(zip(start.tolist(), end.tolist(), strict=True)) == span - covered
