"""The facts and the account of a trace, and what is left when most of it is missing."""

import pytest

from maskprof import analyze
from maskprof.results.trace_summary import Breakdown
from tests.support.traces import TraceBuilder

H100 = {"id": 0, "name": "NVIDIA H100 80GB HBM3"}


def test_facts(tmp_path):
    builder = TraceBuilder(distributedInfo={"rank": 3, "world_size": 8}, deviceProperties=[H100])
    builder.op("aten::mm", 100, 50).event("python_function", "nn.Module: Linear_0", 90, 5)
    builder.launch(110, 1).kernel("gemm", 120, 30, 1).event("Trace", "PyTorch Profiler (0)", 0, 1000)
    facts = analyze(builder.read(tmp_path)).facts
    assert facts.path == str(tmp_path / "trace.json")
    assert (facts.events, facts.span_us) == (5, 60)
    assert (facts.devices, facts.ranks, facts.world_size) == (("NVIDIA H100 80GB HBM3",), (3,), 8)
    assert (facts.shapes, facts.stacks, facts.modules) == (False, True, True)


def test_python_frames_count_though_no_figure_needs_them(tmp_path):
    builder = TraceBuilder().op("aten::mm", 100, 50)
    builder.event("python_function", "forward", 90, 100).event("python_function", "f", "80.5", 3)
    summary = analyze(builder.read(tmp_path))
    assert (summary.facts.events, summary.facts.span_us, summary.facts.stacks) == (3, 109.5, True)
    assert (summary.account.events_kept, summary.account.python_frames) == (1, 2)


@pytest.mark.parametrize(
    ("listed", "used", "names"),
    [
        ([H100, {"id": 1, "name": "A"}], [1], ("A",)),
        ([H100, {"id": 1, "name": "A"}], [1, 0], ("NVIDIA H100 80GB HBM3", "A")),
        # AMD's numbers need not be those of the list.
        ([H100], [9], ("NVIDIA H100 80GB HBM3",)),
        ([{"id": 0, "name": ""}], [2], ("device 2",)),
        ([H100, {"id": 1, "name": "A"}], [7], ("device 7",)),
        ("nonsense", [0], ("device 0",)),
        ([None, {"name": 3}], [0], ("device 0",)),
        ([H100], [], ()),
    ],
)
def test_devices(tmp_path, listed, used, names):
    builder = TraceBuilder(deviceProperties=listed).op("aten::mm", 0, 1)
    for i, device in enumerate(used):
        builder.kernel("gemm", 10 * i, 5, i, device=device)
    assert analyze(builder.read(tmp_path)).facts.devices == names


def test_account_of_links(tmp_path):
    builder = TraceBuilder()
    builder.kernel("before", 10, 5, 91).kernel("before on another stream", 12, 5, 92, stream=8)
    builder.launch(20, 1).kernel("linked", 30, 5, 1)
    builder.kernel("lost its launch", 40, 5, 93).graph_launch(50, 2).kernel("g", 60, 5, 2).kernel(
        "g", 70, 5, 2
    )
    account = analyze(builder.read(tmp_path)).account
    assert (account.device_events, account.linked, account.from_graphs) == (6, 3, 2)
    assert (account.unlinked_before_window, account.unlinked_other) == (2, 1)


def test_account_without_any_launch_call(tmp_path):
    account = analyze(TraceBuilder().kernel("a", 10, 5, 1).kernel("b", 20, 5, 2).read(tmp_path)).account
    assert (account.linked, account.unlinked_before_window, account.unlinked_other) == (0, 0, 2)


def test_account_of_categories(tmp_path):
    builder = TraceBuilder().kernel("gemm", 0, 30, 1).kernel("what", 50, 10, 2).kernel("what", 70, 10, 3)
    account = analyze(builder.read(tmp_path)).account
    assert (account.unclassified_count, account.unclassified_us, account.unclassified_pct) == (2, 20, 40)


def test_the_readers_account_is_passed_on(tmp_path):
    builder = TraceBuilder().op("a", 0, 1)
    builder.events += [None, {"ph": "M", "name": "process_name", "pid": 0, "args": {}}]
    builder.event("cpu_op", "open", 5, 0, ph="B")
    account = analyze(builder.read(tmp_path)).account
    assert (account.events_kept, account.events_other, account.events_lost, account.unpaired) == (1, 1, 1, 1)


def test_a_trace_of_the_host_alone(tmp_path):
    summary = analyze(TraceBuilder().annotation("step", 0, 50).op("aten::mm", 10, 20).read(tmp_path))
    whole = summary.whole
    assert (whole.device, whole.launches, whole.kernels, whole.categories) == (None, None, (), ())
    assert [(o.name, o.count, o.self_us) for o in whole.operators] == [("aten::mm", 1, 20)]
    (step,) = summary.ranges
    assert (step.host_us, step.device_us, step.kernel_count) == (50, 0, 0)
    assert [o.name for o in step.breakdown.operators] == ["aten::mm"]


def test_a_trace_of_metadata_alone(tmp_path):
    summary = analyze(TraceBuilder().read(tmp_path))
    assert summary.whole == Breakdown(device=None, kernels=(), categories=(), launches=None, operators=())
    assert (summary.ranges, summary.facts.events, summary.facts.span_us) == ((), 0, 0)
    assert (summary.account.device_events, summary.account.unclassified_pct) == (0, 0)


def test_kernels_by_name(tmp_path):
    builder = (
        TraceBuilder().kernel("gemm", 0, 30, 1).kernel("gemm", 50, 20, 2).kernel("relu_kernel", 80, 50, 3)
    )
    builder.memset(200, 100, 4)
    kernels = analyze(builder.read(tmp_path)).whole.kernels
    assert [(k.name, k.category, k.count, k.total_us, k.mean_us, k.share) for k in kernels] == [
        ("gemm", "gemm", 2, 50, 25, 0.5),
        ("relu_kernel", "elementwise", 1, 50, 50, 0.5),
    ]
