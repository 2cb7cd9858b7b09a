import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskprof.traces.links import innermost, link_launches, nearest_of, nest
from tests.support.traces import TraceBuilder

QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def test_launches_by_correlation(tmp_path):
    builder = TraceBuilder().kernel("queued before", 1, 1, 3).launch(10, 5).graph_launch(20, 6).launch(25, 9)
    builder.kernel("a", 30, 1, 6).memset(32, 1, 5).kernel("b", 34, 1, 6).kernel("no id", 36, 1, 0)
    launches = link_launches(builder.launch(40, 0).read(tmp_path))
    assert launches.device_rows.tolist() == [0, 4, 5, 6, 7]
    assert launches.launch_rows.tolist() == [-1, 2, 1, 2, -1]
    assert launches.linked.tolist() == [False, True, True, True, False]


def test_launches_of_the_driver_count(tmp_path):
    builder = TraceBuilder().launch(1, 4, name="cuLaunchKernel", cat="cuda_driver").kernel("triton", 5, 1, 4)
    assert link_launches(builder.read(tmp_path)).launch_rows.tolist() == [0]


def test_nothing_to_link(tmp_path):
    trace = TraceBuilder().read(tmp_path)
    assert len(link_launches(trace).device_rows) == 0
    nesting = nest(trace.events, np.empty(0, dtype=np.int64))
    assert innermost(trace.events, nesting, np.empty(0, dtype=np.int64)).tolist() == []


def _rows(count):
    return np.arange(count, dtype=np.int64)


def test_nesting_keeps_threads_apart(tmp_path):
    trace = (
        TraceBuilder()
        .op("outer", 0, 100)
        .op("inner", 10, 20)
        .op("other thread", 5, 200, tid=2)
        .read(tmp_path)
    )
    nesting = nest(trace.events, _rows(3))
    around = {trace.names[r]: p for r, p in zip(nesting.rows.tolist(), nesting.parents.tolist(), strict=True)}
    assert trace.names[nesting.rows[around["inner"]]] == "outer"
    assert around["outer"] == around["other thread"] == -1


SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(1, 2)), max_size=14, unique=True
)


@QUIET
@given(spans=SPANS, points=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 2)), max_size=8))
def test_innermost_is_the_last_started_range_around(tmp_path, spans, points):
    builder = TraceBuilder()
    for start, duration, tid in spans:
        builder.op("range", start, duration, tid=tid)
    for start, tid in points:
        builder.op("point", start, 0, tid=tid)
    trace = builder.read(tmp_path)
    nesting = nest(trace.events, _rows(len(spans)))

    for row, parent in zip(nesting.rows.tolist(), nesting.parents.tolist(), strict=True):
        start, duration, tid = spans[row]
        around = [
            (s, -d)
            for s, d, t in spans
            if t == tid and s <= start and s + d >= start + duration and (s, d) != spans[row][:2]
        ]
        found = None if parent < 0 else (spans[nesting.rows[parent]][0], -spans[nesting.rows[parent]][1])
        assert found == max(around, default=None)

    positions = innermost(trace.events, nesting, len(spans) + _rows(len(points)))
    for (time, tid), position in zip(points, positions.tolist(), strict=True):
        around = [(s, -d) for s, d, t in spans if t == tid and s <= time <= s + d]
        found = (
            None if position < 0 else (spans[nesting.rows[position]][0], -spans[nesting.rows[position]][1])
        )
        assert found == max(around, default=None)


def test_nearest_wanted_range(tmp_path):
    trace = TraceBuilder().op("a", 0, 100).op("b", 10, 50).op("c", 20, 10).read(tmp_path)
    nesting = nest(trace.events, _rows(3))
    wanted = np.array([True, False, False])
    assert nearest_of(nesting, np.array([2, 1, 0, -1]), wanted).tolist() == [0, 0, 0, -1]
    assert nearest_of(nesting, np.array([2]), ~np.ones(3, dtype=bool)).tolist() == [-1]
