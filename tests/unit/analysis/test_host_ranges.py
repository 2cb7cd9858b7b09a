"""Ranges by name: what is listed, and what counts as inside."""

import json

import pytest

from maskprof import analyze
from maskprof.errors import TraceError
from maskprof.results.serialize_trace import dump_summaries
from tests.support.traces import TraceBuilder


def ranges(builder, tmp_path):
    return {
        r.name: (r.count, r.host_us, r.device_us, r.kernel_count, r.launch_count)
        for r in analyze(builder.read(tmp_path)).ranges
    }


def test_annotations_and_our_phases_are_listed_by_first_appearance(tmp_path):
    builder = TraceBuilder().annotation("later", 50, 10).annotation("ProfilerStep#3", 0, 100)
    builder.op("phase.decode", 20, 10).annotation("phase.prefill", 5, 10)
    assert [*ranges(builder, tmp_path)] == ["ProfilerStep#3", "phase.prefill", "phase.decode", "later"]


def test_what_is_not_a_range_of_the_users(tmp_path):
    builder = TraceBuilder().annotation("block.01.active", 0, 10).op("block.01.mask_check", 1, 1)
    builder.annotation("instrument.turn", 20, 5).event("python_function", "nn.Module: Linear_0", 0, 9)
    builder.device_annotation("step", 0, 100).op("aten::mm", 0, 5)
    assert ranges(builder, tmp_path) == {}


def test_our_own_ranges_are_listed_apart_with_the_same_figures(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 100).annotation("block.01.active", 5, 40)
    builder.op("block.01.mask_check", 6, 1).annotation("instrument.turn", 200, 5).annotation(
        "block.one", 300, 1
    )
    builder.launch(20, 1).kernel("a", 60, 10, 1)
    summary = analyze(builder.read(tmp_path))
    assert [found.name for found in summary.ranges] == ["phase.decode", "block.one"]
    assert {r.name: (r.count, r.host_us, r.device_us, r.kernel_count) for r in summary.own_ranges} == {
        "block.01.active": (1, 40, 10, 1),
        "block.01.mask_check": (1, 1, 0, 0),
        "instrument.turn": (1, 5, 0, 0),
    }
    entry = json.loads(dump_summaries([summary]))["ranges"]
    assert [*entry] == [
        "phase.decode",
        "block.one",
        "block.01.active",
        "block.01.mask_check",
        "instrument.turn",
    ]
    assert entry["block.01.active"].keys() == entry["phase.decode"].keys()
    inside = analyze(builder.read(tmp_path), within="block.*.active")
    assert [found.name for found in inside.own_ranges] == ["block.01.active", "block.01.mask_check"]
    assert inside.whole.device.kernel_count == 1


def test_kernels_count_for_all_ranges_around_their_launch(tmp_path):
    builder = TraceBuilder().annotation("outer", 0, 100).annotation("inner", 20, 30)
    builder.launch(10, 1).launch(30, 2).launch(40, 3).launch(150, 4)
    builder.kernel("a", 200, 10, 1).kernel("b", 300, 5, 2).kernel("c", 500, 7, 4).memset(400, 50, 3)
    assert ranges(builder, tmp_path) == {"outer": (1, 100, 15, 2, 3), "inner": (1, 30, 5, 1, 2)}


def test_a_range_inside_one_of_its_own_name_counts_its_kernels_once(tmp_path):
    builder = (
        TraceBuilder().annotation("f", 0, 100).annotation("f", 20, 30).launch(30, 1).kernel("a", 200, 10, 1)
    )
    assert ranges(builder, tmp_path) == {"f": (2, 130, 10, 1, 1)}


def test_ranges_that_overlap_in_part_have_what_is_launched_in_both(tmp_path):
    builder = (
        TraceBuilder().annotation("a", 0, 60).annotation("b", 40, 60).launch(50, 1).kernel("k", 200, 10, 1)
    )
    assert ranges(builder, tmp_path) == {"a": (1, 60, 10, 1, 1), "b": (1, 60, 10, 1, 1)}


def test_what_starts_when_a_range_ends_is_the_next_ones(tmp_path):
    builder = (
        TraceBuilder().annotation("a", 0, 50).annotation("b", 50, 50).launch(50, 1).kernel("k", 200, 10, 1)
    )
    assert ranges(builder, tmp_path) == {"a": (1, 50, 0, 0, 0), "b": (1, 50, 10, 1, 1)}


def test_kernels_of_other_threads_are_counted_apart(tmp_path):
    builder = (
        TraceBuilder().annotation("step", 0, 100).launch(10, 1).launch(50, 2, tid=7).launch(150, 3, tid=7)
    )
    builder.annotation("step", 40, 20, tid=8)
    builder.kernel("forward", 200, 10, 1).kernel("backward", 300, 20, 2).kernel("late", 400, 30, 3)
    (step,) = analyze(builder.read(tmp_path)).ranges
    assert (step.count, step.host_us, step.kernel_count, step.device_us) == (2, 120, 1, 10)
    assert (step.elsewhere_kernel_count, step.elsewhere_device_us) == (1, 20)


def test_a_graphs_kernels_are_inside_where_its_launch_is(tmp_path):
    builder = TraceBuilder().annotation("decode", 0, 100).graph_launch(10, 1)
    builder.kernel("a", 200, 10, 1).kernel("b", 210, 10, 1)
    assert ranges(builder, tmp_path) == {"decode": (1, 100, 20, 2, 1)}


def test_a_range_on_a_device_thread_number_of_another_process(tmp_path):
    builder = TraceBuilder().annotation("a", 0, 50, pid=1, tid=5).launch(10, 1, pid=2, tid=5)
    builder.kernel("k", 200, 10, 1)
    assert ranges(builder, tmp_path) == {"a": (1, 50, 0, 0, 0)}


def test_the_breakdown_of_a_range(tmp_path):
    builder = TraceBuilder().annotation("step", 0, 100).op("aten::mm", 5, 20).launch(10, 1).launch(30, 2)
    builder.launch(40, 3).launch(150, 4)
    builder.kernel("my_gemm", 200, 30, 1).kernel("my_gemm", 300, 10, 2).memset(400, 60, 3).kernel(
        "x", 500, 9, 4
    )
    (step,) = analyze(builder.read(tmp_path)).ranges
    breakdown = step.breakdown
    assert [(k.name, k.category, k.count, k.total_us, k.share) for k in breakdown.kernels] == [
        ("my_gemm", "gemm", 2, 40, 1.0)
    ]
    assert breakdown.kernels[0].mean_us == 20
    assert [(c.category, c.count, c.total_us, c.share) for c in breakdown.categories] == [
        ("memset", 1, 60, 0.6),
        ("gemm", 2, 40, 0.4),
    ]
    assert [(o.name, o.kernel_count) for o in breakdown.operators] == [("aten::mm", 1)]


def test_a_range_without_device_work(tmp_path):
    builder = TraceBuilder().annotation("idle", 0, 10).launch(20, 1).kernel("k", 30, 1, 1)
    (idle,) = analyze(builder.read(tmp_path)).ranges
    assert (idle.breakdown.device, idle.breakdown.launches, idle.breakdown.kernels) == (None, None, ())


@pytest.fixture
def steps(tmp_path):
    builder = TraceBuilder()
    for i in range(3):
        start = 1000 * i
        builder.annotation(f"ProfilerStep#{i}", start, 100).annotation("forward", start + 10, 50)
        builder.op("aten::mm", start + 15, 20).launch(start + 20, 10 * i + 1).launch(start + 90, 10 * i + 2)
        builder.kernel("gemm", start + 30, 10, 10 * i + 1).kernel("relu_kernel", start + 95, 5, 10 * i + 2)
    builder.annotation("forward", 5000, 10).launch(5005, 99).kernel("gemm", 5010, 7, 99)
    return builder.read(tmp_path)


def test_within_one_name_the_whole_is_that_range(steps):
    everything = analyze(steps)
    summary = analyze(steps, within="ProfilerStep#1")
    (step,) = [r for r in everything.ranges if r.name == "ProfilerStep#1"]
    assert summary.whole == step.breakdown
    assert [(r.name, r.count, r.kernel_count) for r in summary.ranges] == [
        ("ProfilerStep#1", 1, 2),
        ("forward", 1, 1),
    ]
    assert summary.account.device_events == everything.account.device_events == 7
    assert summary.account.notes == (
        "5 of 7 device events were launched outside of the chosen ranges, or on other threads, and are in no figure",
    )


def test_within_a_pattern_time_between_the_ranges_is_left_out(steps):
    summary = analyze(steps, within="ProfilerStep#?")
    device = summary.whole.device
    assert (device.kernel_count, device.busy_us, device.span_us) == (6, 45, 210)
    assert [(o.name, o.count) for o in summary.whole.operators] == [("aten::mm", 3)]
    assert [(r.name, r.count) for r in summary.ranges][-1] == ("ProfilerStep#2", 1)
    assert [r.count for r in summary.ranges if r.name == "forward"] == [3]


def test_within_a_name_that_is_not_there(steps, tmp_path):
    with pytest.raises(
        TraceError, match=r"has no range named decode; it has ProfilerStep#0, forward, "
    ) as error:
        analyze(steps, within="decode")
    assert "\n" not in str(error.value)
    empty = TraceBuilder().op("a", 0, 1).read(tmp_path)
    with pytest.raises(TraceError, match=r"has no range named decode; it has none$"):
        analyze(empty, within="decode")
    many = TraceBuilder()
    for i in range(11):
        many.annotation(f"r{i:02}", i, 1)
    with pytest.raises(TraceError, match=r"it has r00, r01, r02, r03, r04, r05, r06, r07 and 3 more$"):
        analyze(many.read(tmp_path), within="decode")
