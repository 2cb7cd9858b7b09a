import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.errors import TraceError
from maskprof.viewing.speedscope import speedscope, speedscope_text
from tests.support.traces import TraceBuilder


def opened(profile):
    """(name's number, start, end, depth) of each span; that each closes what was opened last is checked."""
    stack, spans, at = [], [], profile["startValue"]
    for event in profile["events"]:
        assert event["at"] >= at, "in the order of time"
        at = event["at"]
        if event["type"] == "O":
            stack.append(event)
        else:
            start = stack.pop()
            assert start["frame"] == event["frame"]
            spans.append((event["frame"], start["at"], at, len(stack)))
    assert stack == []
    assert at == profile["endValue"]
    return sorted(spans, key=lambda span: (span[1], span[3]))


def test_threads_and_streams_are_profiles_of_nested_spans(tmp_path):
    trace = (
        TraceBuilder()
        .annotation("phase.prefill", 10, 20)
        .op("aten::mul", 12, 5)
        .op("aten::mul", 20, "3.5")
        .op("aten::other", 11, 2, tid=101)
        .launch(13, 1)
        .kernel("gemm", 40, 8, 1)
        .device_annotation("phase.prefill", 40, 8)
        .event("Trace", "PyTorch Profiler (0)", 0, 99, pid="Spans", tid="PyTorch Profiler")
        .read(tmp_path)
    )
    found = speedscope(trace)
    names = [frame["name"] for frame in found["shared"]["frames"]]
    shown = {
        profile["name"]: [(names[frame], start, end, depth) for frame, start, end, depth in opened(profile)]
        for profile in found["profiles"]
    }
    assert shown == {
        "GPU 0, stream 7": [("gemm", 40000, 48000, 0)],
        "process 100, thread 100": [
            ("phase.prefill", 10000, 30000, 0),
            ("aten::mul", 12000, 17000, 1),
            ("cudaLaunchKernel", 13000, 14000, 2),
            ("aten::mul", 20000, 23500, 1),
        ],
        "process 100, thread 101": [("aten::other", 11000, 13000, 0)],
    }
    assert found["profiles"][found["activeProfileIndex"]]["name"] == "process 100, thread 100"
    assert {profile["unit"] for profile in found["profiles"]} == {"nanoseconds"}


def test_of_two_that_overlap_in_part_the_shorter_is_cut(tmp_path):
    trace = (
        TraceBuilder()
        .op("outer", 0, 10)
        .op("inner", 5, 7)
        .op("next", 10, 4)
        .op("again", 13, 4)
        .read(tmp_path)
    )
    (profile,) = speedscope(trace)["profiles"]
    assert [(start, end, depth) for _, start, end, depth in opened(profile)] == [
        (0, 10000, 0),
        (5000, 10000, 1),
        (10000, 14000, 0),
        (13000, 14000, 1),
    ]


def test_a_range_is_whole_beside_the_calls_that_open_and_close_it(tmp_path):
    trace = (
        TraceBuilder()
        .op("run", 0, 100)
        .op("enter", 1, 3)
        .annotation("phase.prefill", 3, 50)
        .op("exit", 52, 4)
        .read(tmp_path)
    )
    (profile,) = speedscope(trace)["profiles"]
    assert [(start, end, depth) for _, start, end, depth in opened(profile)] == [
        (0, 100000, 0),
        (1000, 3000, 1),
        (3000, 53000, 1),
        (52000, 53000, 2),
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), min_size=1, max_size=30))
def test_whatever_overlaps_comes_out_nested(spans):
    builder = TraceBuilder()
    for start, length in spans:
        builder.op("x", start, length)
    with TemporaryDirectory() as folder:
        (profile,) = speedscope(builder.read(Path(folder)))["profiles"]
    assert len(opened(profile)) == len(spans)


def test_events_without_length_and_of_one_length(tmp_path):
    trace = (
        TraceBuilder().op("a", 0, 10).op("b", 0, 10).op("c", 3, 0).op("d", 3, 0).op("e", 10, 0).read(tmp_path)
    )
    (profile,) = speedscope(trace)["profiles"]
    assert Counter(frame for frame, *_ in opened(profile)) == Counter(range(5))


def test_the_file_is_json_and_names_the_format(tmp_path):
    name = 'a "kernel" of <script> and ü'
    path = TraceBuilder().kernel(name, 1, 1, 1).write(tmp_path / "x.json.gz")
    found = json.loads(speedscope_text(path))
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert found["shared"]["frames"] == [{"name": name}]
    assert found["name"] == "x.json.gz"


def test_a_trace_without_spans_is_refused(tmp_path):
    trace = TraceBuilder().event("c", "counter", 1, 0, ph="C").read(tmp_path)
    with pytest.raises(TraceError, match="holds no event with a duration"):
        speedscope(trace)
