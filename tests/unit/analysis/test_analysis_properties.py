"""What holds for every trace, checked against plain Python on traces made at random."""

import tempfile
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof import analyze
from maskprof.traces.reader import read_trace
from tests.support.small_pieces import cut_small
from tests.support.traces import TraceBuilder

KERNELS = ("gemm", "relu_kernel", "ncclKernel_AllReduce", "what")


@st.composite
def nested(draw, names):
    """Ranges of one thread that lie in one another or beside one another: (name, start, duration)."""
    found = []

    def fill(lower, upper, depth):
        at = lower
        while at < upper and len(found) < 12 and draw(st.booleans()):
            start = draw(st.integers(at, upper - 1))
            end = draw(st.integers(start + 1, upper))
            found.append((draw(st.sampled_from(names)), start, end - start))
            if depth < 4:
                fill(start, end, depth + 1)
            at = end

    fill(0, draw(st.integers(1, 300)), 0)
    return found


@st.composite
def traces(draw):
    threads = {
        tid: {
            "ops": draw(nested(("a", "b", "c"))),
            "ranges": draw(nested(("x", "y", "ProfilerStep#1"))),
            "calls": draw(st.lists(st.integers(0, 300), max_size=8)),
        }
        for tid in range(draw(st.integers(1, 3)))
    }
    builder, correlation = TraceBuilder(), 0
    device = []
    for tid, thread in threads.items():
        for name, start, duration in thread["ranges"]:
            builder.annotation(name, start, duration, tid=tid)
        for name, start, duration in thread["ops"]:
            builder.op(name, start, duration, tid=tid)
        for start in thread["calls"]:
            correlation += 1
            builder.launch(start, correlation, dur=draw(st.integers(0, 5)), tid=tid)
            for _ in range(draw(st.integers(1, 3))):
                begin = draw(st.integers(max(0, start - 5), 500))
                device.append((begin, draw(st.integers(0, 40)), correlation, tid, start))
    for _ in range(draw(st.integers(0, 3))):
        device.append((draw(st.integers(0, 500)), draw(st.integers(0, 40)), 10_000 + len(device), None, None))
    events = []
    for begin, duration, link, tid, start in device:
        name, stream = draw(st.sampled_from(KERNELS)), draw(st.integers(7, 8))
        cat = draw(st.sampled_from(("kernel", "kernel", "gpu_memcpy", "gpu_memset")))
        builder.kernel(name, begin, duration, link, stream=stream, cat=cat)
        events.append((name, cat, begin, begin + duration, tid, start))
    return builder, threads, events


def summary_of(builder):
    with tempfile.TemporaryDirectory() as folder:
        return analyze(read_trace(builder.write(Path(folder) / "trace.json")))


def moments(intervals):
    return {t for start, end in intervals for t in range(start, end)}


@pytest.fixture(params=["whole", "pieces"], autouse=True)
def pieces(request):
    """The same with everything cut into the smallest pieces, on disk, and with sums kept by sorted keys."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pieces":
            cut_small(patch)
        yield


@settings(max_examples=60, deadline=None)
@given(traces())
def test_device_time_against_a_count_of_moments(made):
    builder, _, events = made
    whole = summary_of(builder).whole
    if not events:
        assert whole.device is None
        return
    device = whole.device
    busy = moments((s, e) for _, _, s, e, _, _ in events)
    span = max(e for _, _, _, e, _, _ in events) - min(s for _, _, s, _, _, _ in events)
    assert device.busy_us == len(busy)
    assert device.span_us == span
    assert device.busy_us + device.idle_us == pytest.approx(span)
    assert min(device.idle_launch_us, device.idle_gap_us, device.idle_other_us) >= 0
    kernels = [e for e in events if e[1] == "kernel"]
    communicating = moments((s, e) for n, _, s, e, _, _ in kernels if n.startswith("nccl"))
    computing = moments((s, e) for n, _, s, e, _, _ in kernels if not n.startswith("nccl"))
    assert device.communication_us == len(communicating)
    assert device.exposed_communication_us == len(communicating - computing)
    assert device.kernel_time_us == sum(e - s for _, _, s, e, _, _ in kernels)
    assert device.kernel_time_us == pytest.approx(sum(k.total_us for k in whole.kernels))
    everything = device.kernel_time_us + device.memcpy_us + device.memset_us
    assert everything == pytest.approx(sum(c.total_us for c in whole.categories))
    assert len(events) == sum(c.count for c in whole.categories)


@settings(max_examples=60, deadline=None)
@given(traces())
def test_operators_against_a_count_of_moments(made):
    builder, threads, events = made
    summary = summary_of(builder)
    expected = defaultdict(lambda: [0, 0, 0, 0])
    for thread in threads.values():
        for name, _, duration in thread["ops"]:
            expected[name][0] += 1
            expected[name][1] += duration
    for tid, thread in threads.items():
        for _, cat, start, end, of, launched in events:
            if of == tid and cat == "kernel":
                around = [o for o in thread["ops"] if o[1] <= launched <= o[1] + o[2]]
                if around:
                    # The latest to start; of those that start together the shortest.
                    inner = max(enumerate(around), key=lambda o: (o[1][1], -o[1][2], o[0]))[1]
                    expected[inner[0]][2] += 1
                    expected[inner[0]][3] += end - start
    found = {o.name: [o.count, o.total_us, o.kernel_count, o.device_us] for o in summary.whole.operators}
    assert found == dict(expected)
    top_level = sum(len(moments((s, s + d) for _, s, d in t["ops"])) for t in threads.values())
    assert sum(o.self_us for o in summary.whole.operators) == pytest.approx(top_level)
    assert all(o.self_us >= 0 for o in summary.whole.operators)


@settings(max_examples=60, deadline=None)
@given(traces())
def test_ranges_against_plain_python(made):
    builder, threads, events = made
    for r in summary_of(builder).ranges:
        of_thread = {
            tid: [(s, s + d) for n, s, d in thread["ranges"] if n == r.name]
            for tid, thread in threads.items()
        }
        own = [(s, e) for ranges in of_thread.values() for s, e in ranges]
        assert (r.count, r.host_us) == (len(own), sum(e - s for s, e in own))
        inside = [
            e for e in events if e[4] is not None and any(s <= e[5] < end for s, end in of_thread[e[4]])
        ]
        kernels = [e for e in inside if e[1] == "kernel"]
        meanwhile = [
            e
            for e in events
            if e[4] is not None and e[1] == "kernel" and any(s <= e[5] < end for s, end in own)
        ]
        assert (r.kernel_count, r.device_us) == (len(kernels), sum(e[3] - e[2] for e in kernels))
        assert r.elsewhere_kernel_count == len(meanwhile) - len(kernels)
        assert r.elsewhere_device_us == sum(e[3] - e[2] for e in meanwhile) - r.device_us
        calls = {
            (tid, i)
            for tid, thread in threads.items()
            for i, at in enumerate(thread["calls"])
            if any(s <= at < e for s, e in of_thread[tid])
        }
        assert r.launch_count == len(calls)
        assert sum(c.count for c in r.breakdown.categories) == len(inside)
        assert sum(k.count for k in r.breakdown.kernels) == len(kernels)
        names = [
            name
            for tid, thread in threads.items()
            for name, start, _ in thread["ops"]
            if any(s <= start < e for s, e in of_thread[tid])
        ]
        assert {o.name: o.count for o in r.breakdown.operators} == {n: names.count(n) for n in names}
        device = r.breakdown.device
        if device is None:
            assert not inside
            continue
        assert device.busy_us + device.idle_us + device.elsewhere_us == pytest.approx(device.span_us)
        assert min(device.idle_launch_us, device.idle_gap_us, device.elsewhere_us) >= 0
        assert device.idle_other_us == 0
        assert 0 <= device.exposed_communication_us <= device.communication_us <= device.busy_us


@settings(max_examples=40, deadline=None)
@given(traces(), st.sampled_from(("x", "y", "ProfilerStep#*", "*")))
def test_a_scope_is_the_range_of_that_name(made, within):
    builder, threads, _ = made
    names = {n for t in threads.values() for n, _, _ in t["ranges"]}
    if not any(fnmatchcase(name, within) for name in names):
        return
    with tempfile.TemporaryDirectory() as folder:
        trace = read_trace(builder.write(Path(folder) / "trace.json"))
    scoped = analyze(trace, within=within)
    if within in names:
        (same,) = [r for r in analyze(trace).ranges if r.name == within]
        assert scoped.whole == same.breakdown
    if within == "*":
        counts = {r.name: r.count for r in analyze(trace).ranges}
        assert {r.name: r.count for r in scoped.ranges} == counts
