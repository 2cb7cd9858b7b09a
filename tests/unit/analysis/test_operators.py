"""Operators: calls, time, time by themselves, and the kernels that they launched."""

import pytest

from maskprof.analysis import operators
from maskprof.analysis.analyze import analyze
from tests.support.traces import TraceBuilder


def by_name(breakdown):
    return {
        o.name: (o.count, o.total_us, o.self_us, o.device_us, o.kernel_count) for o in breakdown.operators
    }


@pytest.fixture(params=[2**16, 2, 1], ids=["one window", "windows of two", "windows of one"])
def window(request, monkeypatch):
    """Results may not depend on where the operators are cut into windows."""
    monkeypatch.setattr(operators, "_WINDOW", request.param)


@pytest.mark.usefixtures("window")
class TestOperators:
    def test_self_time_leaves_out_children_of_the_same_thread(self, tmp_path):
        builder = TraceBuilder().op("aten::linear", 0, 100).op("aten::t", 5, 10).op("aten::addmm", 20, 70)
        builder.op("aten::view", 30, 5).op("aten::add", 40, 10, tid=7)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {
            "aten::linear": (1, 100, 20, 0, 0),
            "aten::addmm": (1, 70, 65, 0, 0),
            "aten::t": (1, 10, 10, 0, 0),
            "aten::add": (1, 10, 10, 0, 0),
            "aten::view": (1, 5, 5, 0, 0),
        }

    def test_an_operator_inside_one_of_its_own_name(self, tmp_path):
        builder = TraceBuilder().op("f", 0, 100).op("f", 10, 50).op("f", 20, 5)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {"f": (3, 155, 100, 0, 0)}

    def test_kernels_belong_to_the_innermost_operator(self, tmp_path):
        builder = TraceBuilder().op("outer", 0, 100).op("inner", 10, 20)
        builder.launch(15, 1).launch(50, 2).launch(95, 3).launch(200, 4).launch(15, 5, tid=9)
        for i in range(1, 6):
            builder.kernel("k", 1000 * i, i, i)
        builder.launch(60, 6).memset(9000, 50, 6)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {
            "outer": (1, 100, 80, 5, 2),
            "inner": (1, 20, 20, 1, 1),
        }

    def test_a_launch_before_all_operators_and_one_after_the_last_began(self, tmp_path):
        builder = TraceBuilder().launch(1, 1).op("a", 10, 5).op("b", 20, 50).launch(60, 2)
        builder.kernel("k", 100, 3, 1).kernel("k", 110, 4, 2)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {
            "a": (1, 5, 5, 0, 0),
            "b": (1, 50, 50, 4, 1),
        }

    def test_our_own_ranges_are_no_operators(self, tmp_path):
        builder = TraceBuilder().op("phase.decode", 0, 100).op("block.00.cache.dummy", 10, 50)
        builder.op("instrument.inner", 5, 1).op("aten::zeros", 20, 10).op("phase.of.the.moon", 80, 1)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {
            "aten::zeros": (1, 10, 10, 0, 0),
            "phase.of.the.moon": (1, 1, 1, 0, 0),
        }

    def test_in_ranges(self, tmp_path):
        builder = TraceBuilder().op("outer", 0, 100)
        builder.annotation("step", 10, 50).op("a", 20, 20).op("b", 25, 5).annotation("late", 70, 20).op(
            "a", 75, 5
        )
        builder.launch(26, 1).kernel("k", 200, 9, 1).launch(41, 2).kernel("k", 300, 1, 2)
        summary = analyze(builder.read(tmp_path))
        ranges = {r.name: by_name(r.breakdown) for r in summary.ranges}
        assert ranges["step"] == {"a": (1, 20, 15, 0, 0), "b": (1, 5, 5, 9, 1)}
        assert ranges["late"] == {"a": (1, 5, 5, 0, 0)}
        assert by_name(summary.whole)["outer"] == (1, 100, 75, 1, 1)

    def test_events_in_any_order_of_the_file(self, tmp_path):
        builder = TraceBuilder().op("b", 20, 5).op("c", 40, 9).op("a", 0, 100).op("d", 41, 1)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {
            "a": (1, 100, 86, 0, 0),
            "c": (1, 9, 8, 0, 0),
            "b": (1, 5, 5, 0, 0),
            "d": (1, 1, 1, 0, 0),
        }

    def test_of_equal_start_the_longer_is_around_the_other(self, tmp_path):
        builder = TraceBuilder().op("in", 10, 5).op("out", 10, 50).launch(10, 1).kernel("k", 99, 2, 1)
        assert by_name(analyze(builder.read(tmp_path)).whole) == {
            "out": (1, 50, 45, 0, 0),
            "in": (1, 5, 5, 2, 1),
        }


def test_operators_have_categories(tmp_path):
    builder = TraceBuilder().op("aten::mm", 0, 10).op("aten::frobnicate", 20, 5)
    assert [o.category for o in analyze(builder.read(tmp_path)).whole.operators] == ["gemm", "other"]
