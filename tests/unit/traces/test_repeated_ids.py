"""Who launched what, where correlation ids are not of one call each. Times are in microseconds."""

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskprof import analyze
from maskprof.traces.links import link_launches
from tests.support.small_pieces import cut_small
from tests.support.traces import TraceBuilder, event_rows


@pytest.fixture(params=["whole", "in small pieces"], autouse=True)
def _pieces(request, monkeypatch):
    if request.param != "whole":
        cut_small(monkeypatch)


def _launched_by(trace) -> dict[str, str | None]:
    """The name of each kernel's call."""
    rows = event_rows(trace)
    launches = link_launches(trace)
    return {
        rows[device][1]: rows[call][1] if call >= 0 else None
        for device, call in zip(launches.device_rows.tolist(), launches.launch_rows.tolist(), strict=True)
    }


def _two_sessions() -> TraceBuilder:
    builder = TraceBuilder()
    for session in (0, 1000):
        for i in (1, 2, 3):
            builder.op(f"op {session}", session + 100 * i, 50)
            builder.launch(session + 100 * i + 5, i, name=f"call {session} {i}")
            builder.kernel(f"kernel {session} {i}", session + 100 * i + 20, 30, i)
    return builder


def test_the_latest_call_before_the_event_counts(tmp_path):
    trace = _two_sessions().read(tmp_path)
    assert _launched_by(trace) == {f"kernel {s} {i}": f"call {s} {i}" for s in (0, 1000) for i in (1, 2, 3)}
    assert link_launches(trace).repeated_ids == 3


def test_every_figure_follows_and_the_account_says_so(tmp_path):
    summary = analyze(_two_sessions().read(tmp_path))
    assert [(o.name, o.kernel_count) for o in summary.whole.operators] == [("op 0", 3), ("op 1000", 3)]
    assert (summary.account.repeated_ids, summary.account.from_graphs, summary.account.linked) == (3, 0, 6)


def test_the_order_in_the_file_does_not_matter(tmp_path):
    builder = _two_sessions()
    builder.events.reverse()
    assert _launched_by(builder.read(tmp_path))["kernel 1000 2"] == "call 1000 2"


def test_where_all_calls_begin_later_the_first_of_them_counts(tmp_path):
    builder = TraceBuilder().launch(50, 1, name="late").launch(90, 1, name="later").kernel("k", 10, 5, 1)
    assert _launched_by(builder.read(tmp_path)) == {"k": "late"}


def test_a_call_inside_of_another_with_its_id_is_the_same_one(tmp_path):
    builder = TraceBuilder().launch(10, 1, dur=20, name="runtime")
    builder.launch(12, 1, dur=10, name="driver", cat="cuda_driver").kernel("k", 60, 5, 1)
    trace = builder.read(tmp_path)
    assert _launched_by(trace) == {"k": "runtime"}
    assert link_launches(trace).repeated_ids == 0


def test_ids_that_no_device_event_has_are_not_counted(tmp_path):
    builder = TraceBuilder().launch(10, 1).kernel("k", 60, 5, 1)
    builder.launch(20, 2, name="synchronize").launch(30, 2, name="synchronize")
    assert link_launches(builder.read(tmp_path)).repeated_ids == 0


def _two_processes(*, sure: int) -> TraceBuilder:
    """Processes 100 and 200 launch at one time what devices 0 and 1 do late; `sure` ids are of one process alone."""
    builder = TraceBuilder()
    for i in range(1, 4):
        for device, pid in enumerate((100, 200)):
            builder.launch(10 * i + device, i, name=f"call {pid} {i}", pid=pid)
            builder.kernel(f"kernel {device} {i}", 100 * i + device, 50, i, device=device)
    for i in range(4, 4 + sure):
        for device, pid in enumerate((100, 200)):
            own = 10 * i + device
            builder.launch(10 * i + device, own, name=f"call {pid} {i}", pid=pid)
            builder.kernel(f"kernel {device} {i}", 100 * i + device, 50, own, device=device)
    return builder


def test_events_whose_ids_are_unique_tell_the_process_of_a_device(tmp_path):
    found = _launched_by(_two_processes(sure=1).read(tmp_path))
    assert found == {f"kernel {d} {i}": f"call {100 * (d + 1)} {i}" for d in (0, 1) for i in (1, 2, 3, 4)}


def test_where_no_process_can_be_told_time_decides(tmp_path):
    found = _launched_by(_two_processes(sure=0).read(tmp_path))
    assert {found[f"kernel {device} 1"] for device in (0, 1)} == {"call 200 1"}


def test_a_process_without_that_call_is_not_helped_out_by_another(tmp_path):
    builder = _two_processes(sure=2)
    builder.launch(900, 99, name="elsewhere", pid=200).launch(910, 99, name="again", pid=200)
    builder.kernel("queued before", 950, 5, 99, device=0).kernel("own", 960, 5, 99, device=1)
    found = _launched_by(builder.read(tmp_path))
    assert (found["queued before"], found["own"]) == (None, "again")


def test_device_events_with_the_number_of_their_process(tmp_path):
    builder = TraceBuilder()
    for pid in (100, 200):
        builder.launch(pid / 100, 1, name=f"call {pid}", pid=pid)
        builder.event("kernel", f"kernel {pid}", 10, 5, pid=pid, tid="stream 7", correlation=1)
    assert _launched_by(builder.read(tmp_path)) == {f"kernel {pid}": f"call {pid}" for pid in (100, 200)}


CALLS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30)), max_size=14, unique=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(calls=CALLS, kernels=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 40)), max_size=10))
def test_any_calls_of_one_process(tmp_path, calls, kernels):
    builder = TraceBuilder()
    starts = defaultdict(list)
    for number, start in calls:
        builder.launch(start, number, dur=0, name=f"{number} at {start}", tid=1000 + start)
        starts[number].append(start)
    expected = {}
    for place, (number, start) in enumerate(kernels):
        builder.kernel(f"kernel {place}", start, 1, number)
        before = [other for other in starts[number] if other <= start]
        best = max(before) if before else min(starts[number], default=None)
        expected[f"kernel {place}"] = None if best is None else f"{number} at {best}"
    trace = builder.read(tmp_path)
    assert _launched_by(trace) == expected
    joined = {number for number, _ in kernels if len(starts[number]) > 1}
    assert link_launches(trace).repeated_ids == len(joined)
