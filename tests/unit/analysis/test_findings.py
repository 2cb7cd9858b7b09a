"""The first paragraph, word by word, for each thing that can bound a run. Times are in microseconds."""

from dataclasses import replace

import pytest

from maskprof import analyze, read_trace
from maskprof.analysis.findings import headline
from maskprof.results.trace_summary import BlockPhase, Blocks, BlockTime, DevicePeaks, Roofline, RooflineRow
from tests.support.traces import TraceBuilder

A100 = [{"id": 0, "name": "NVIDIA A100"}]
NCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"


@pytest.fixture
def said(tmp_path):
    return lambda builder, **options: list(analyze(builder.read(tmp_path), **options).headline)


def test_bound_by_the_host(said):
    builder = TraceBuilder(deviceProperties=A100).event("python_function", "forward", 0, 1)
    for i in range(4):
        builder.launch(100 * i, i + 1).kernel("gemm", 100 * i + 5, 10, i + 1)
    assert said(builder) == [
        (
            "Bound by the host (launch-bound): the NVIDIA A100 works 13 % of 310 us, "
            "waiting 87 % for the host's next launch."
        ),
        "A kernel takes 10 us on average and launches come 77.5 us apart; on average 0.0 events are queued before one.",
        "Of the device's work, matrix products 100 %.",
        "gemm takes 100 % of the kernels' time.",
        "Python's frames were recorded, which slows the host: without that the device waits less.",
    ]


def test_bound_by_matrix_products(said):
    builder = TraceBuilder(deviceProperties=A100)
    for i in range(4):
        name = "void cutlass::Kernel2<cutlass_80_gemm>(Params)" if i < 3 else "relu_kernel"
        builder.launch(2 * i, i + 1).kernel(name, 100 * i + 10, 100, i + 1)
    assert said(builder) == [
        (
            "Bound by the device's own work, for the most part matrix products, experts and attention: "
            "the NVIDIA A100 works 100 % of 400 us."
        ),
        "The host runs ahead: a launch finds 2 events queued on average and its work starts after 157 us (median).",
        "Of the device's work, matrix products 75 %, elementwise kernels 25 %.",
        "cutlass_80_gemm takes 75 % of the kernels' time.",
    ]


def test_bound_by_memory_traffic(said):
    builder = TraceBuilder().launch(0, 1).launch(1, 2).launch(2, 3)
    builder.kernel("relu_kernel", 10, 90, 1).kernel("softmax", 100, 60, 2).kernel("gemm", 160, 50, 3)
    assert said(builder) == [
        "Bound by the device's own work, for the most part memory traffic: device 0 works 100 % of 200 us.",
        "The host runs ahead: a launch finds 1 event queued on average and its work starts after 99 us (median).",
        "Of the device's work, elementwise kernels 45 %, softmax 30 %, matrix products 25 %.",
        (
            "75 % of the kernels' time is in kernels that do little arithmetic for what they read and write: "
            "memory bounds them."
        ),
    ]


def test_bound_by_communication(said):
    builder = TraceBuilder().launch(0, 1).launch(2, 2)
    builder.kernel("gemm", 10, 20, 1).kernel(NCCL, 20, 100, 2, stream=8)
    assert said(builder) == [
        "Bound by communication: device 0 works 100 % of 110 us, 82 % with nothing but communication.",
        "Of the device's work, communication 83 %, matrix products 17 %.",
    ]


def test_idle_although_launched(said):
    builder = (
        TraceBuilder()
        .launch(0, 1)
        .launch(2, 2)
        .kernel("gemm", 10, 20, 1)
        .kernel("void a::b<3>(int)", 200, 20, 2)
    )
    assert said(builder)[:2] == [
        (
            "Idle for the most part, and not for want of launches: device 0 works 19 % of 210 us, "
            "idle 81 % although the next event was launched."
        ),
        (
            "One gap of 170 us is 100 % of the idle time: before b<3>, which had been launched: "
            "it waited for another stream or for something outside of the trace; "
            "without it the device would work 100 % of the time."
        ),
    ]


@pytest.mark.parametrize(
    ("launched", "took", "why"),
    [(150, 1, "which the host launched late"), (50, 140, "whose launch call alone took 140 us")],
)
def test_a_single_gap_of_the_hosts(said, launched, took, why):
    builder = TraceBuilder().launch(0, 1).kernel("gemm", 10, 20, 1)
    builder.launch(launched, 2, dur=took).kernel("gemm", 200, 20, 2)
    assert said(builder)[1].startswith(
        f"One gap of 170 us is 100 % of the idle time: before gemm, {why}; without it"
    )


def test_no_single_thing(said):
    builder = TraceBuilder().launch(0, 1).kernel("gemm", 10, 40, 1).kernel(NCCL, 50, 25, 9)
    builder.launch(100, 2).kernel("gemm", 110, 5, 2)
    assert said(builder)[0] == (
        "Bound by no single thing: device 0 works 67 % of 105 us, 24 % with nothing but communication, "
        "waiting 33 % for the host's next launch."
    )


def test_launches_that_are_missing(said):
    assert said(TraceBuilder().kernel("gemm", 0, 20, 1).kernel("gemm", 100, 20, 2)) == [
        (
            "Idle for the most part, for reasons that this trace cannot tell: device 0 works 33 % of 120 us, "
            "idle 67 % before events whose launch is not in the trace."
        ),
        (
            "One gap of 80 us is 100 % of the idle time: before gemm, whose launch is not in the trace; "
            "without it the device would work 100 % of the time."
        ),
        "Of the device's work, matrix products 100 %.",
        "gemm takes 100 % of the kernels' time.",
        "2 of 2 device events have no launch in the trace: they count in all figures, and in no range.",
    ]


def test_work_queued_before_the_trace_and_unclassified_kernels(said):
    builder = TraceBuilder().kernel("what", 0, 20, 9).launch(1, 1).kernel("gemm", 20, 30, 1)
    assert said(builder)[-2:] == [
        "1 of 2 device events was launched before the trace began: it counts in all figures, and in no range.",
        "40.0 % of the kernels' time is in kernels of no known category.",
    ]


def test_graphs_and_several_devices(said):
    builder = TraceBuilder(deviceProperties=[*A100, {"id": 1, "name": "NVIDIA A100"}]).graph_launch(0, 1)
    builder.kernel("gemm", 10, 20, 1).kernel("gemm", 10, 20, 1, device=1)
    assert said(builder) == [
        (
            "Bound by the device's own work, for the most part matrix products, experts and attention: "
            "at least one of 2 devices (NVIDIA A100) works 100 % of 20 us (each by itself 100 % and 100 %; "
            "2.0 at a time on average)."
        ),
        "Of the device's work, matrix products 100 %.",
        "gemm takes 100 % of the kernels' time.",
        "2 of 2 device events come from launches of whole graphs, inside of which no operators are recorded.",
    ]


def test_devices_that_take_turns_are_not_taken_for_busy_ones(said):
    builder = TraceBuilder()
    for i in range(10):
        builder.launch(100 * i, i + 1).kernel("gemm", 100 * i + 10, 100, i + 1, device=i % 5)
    assert said(builder)[0] == (
        "Bound by the device's own work, for the most part matrix products, experts and attention: at least one of "
        "5 devices (device 0, device 1, device 2, device 3, device 4) works 100 % of 1 ms (each by itself 20 %; "
        "1.0 at a time on average)."
    )


def test_devices_that_differ(said):
    builder = TraceBuilder(deviceProperties=[{"id": i, "name": "A100"} for i in range(4)])
    for i in range(4):
        builder.launch(i, i + 1).kernel("gemm", 10, 25 * (i + 1), i + 1, device=i)
    assert said(builder)[0].endswith(
        "at least one of 4 devices (A100) works 100 % of 100 us (each by itself 25 % to 100 %; "
        "2.5 at a time on average)."
    )


def test_device_events_that_take_no_time(said):
    assert said(TraceBuilder().launch(1, 1, dur=0).kernel("gemm", 20, 0, 1)) == [
        "The trace has 1 device event, but by its times it takes no time at all: what bounds the device cannot be told."
    ]


def _backward(own: int, others: int) -> TraceBuilder:
    builder = TraceBuilder(deviceProperties=A100).annotation("backward", 0, 1000).op("aten::sum", 5, 10)
    for i in range(own + others):
        thread = {} if i < own else {"tid": 7}
        builder.launch(10 + 20 * i, i + 1, **thread).kernel("gemm", 15 + 20 * i, 10, i + 1)
    return builder


def test_a_range_whose_work_other_threads_launch_says_so_first(said):
    sentences = said(_backward(own=1, others=3), within="backward")
    assert sentences[:2] == [
        (
            "While backward was open, other threads launched 3 kernels of 30 us and its own thread 1 of 10 us, "
            "as a backward pass has a thread of its own: the figures are of its own thread alone."
        ),
        "Of what its own thread launched: the NVIDIA A100 works 100 % of 10 us.",
    ]


def test_a_range_all_of_whose_work_other_threads_launch(said):
    sentences = said(_backward(own=0, others=3), within="backward")
    assert sentences[:3] == [
        (
            "While backward was open, other threads launched 3 kernels of 30 us and its own thread none, "
            "as a backward pass has a thread of its own: the figures are of its own thread alone."
        ),
        (
            "Inside backward (1 range of 1 ms) nothing was launched that a device ran. "
            "All 3 device events of the trace were launched outside of it, or on other threads."
        ),
        "Bound by reductions: operators take 10 us by themselves, in 1 range of 1 ms.",
    ]


def test_a_range_to_which_other_threads_add_a_part(said):
    sentences = said(_backward(own=8, others=2), within="backward")
    assert sentences[0] == (
        "While backward was open, other threads launched 2 kernels of 20 us and its own thread 8 of 80 us: "
        "the figures are of its own thread alone."
    )
    assert sentences[1].startswith("Bound by the device's own work")
    assert said(_backward(own=99, others=1), within="backward")[0].startswith("Bound by")


def test_a_range_in_which_nothing_happens(said):
    builder = TraceBuilder().launch(1, 1).kernel("gemm", 20, 30, 1).annotation("idle", 500, 49)
    assert said(builder, within="idle") == [
        (
            "Inside idle (1 range of 49 us) no operator ran and nothing was launched that a device ran. "
            "The trace's only device event was launched outside of it, or on other threads."
        )
    ]


def test_a_range_without_operators_in_a_trace_of_the_host_alone(said):
    builder = TraceBuilder().op("aten::mm", 1, 5).annotation("idle", 500, 49).annotation("idle", 600, 1)
    assert said(builder, within="idle") == [
        "Inside idle (2 ranges of 50 us together) no operator ran, and the trace holds no work of a device."
    ]


def test_operators_that_take_no_time_are_not_said_to_be_absent(said):
    assert said(TraceBuilder().op("aten::mm", 1, 0)) == [
        "A trace of the host alone: it holds no work of a device."
    ]


def test_unlinked_events_are_in_no_figure_of_a_range(said):
    builder = TraceBuilder().annotation("step", 0, 50).launch(1, 1).kernel("gemm", 20, 30, 1)
    builder.kernel("gemm", 60, 30, 9)
    assert said(builder, within="step")[-1] == (
        "1 of 2 device events has no launch in the trace: it is in no figure here."
    )


def test_negative_durations_are_mentioned(said):
    builder = TraceBuilder().op("aten::mm", 1, -5).op("aten::mm", 3, 5)
    assert said(builder)[-1] == "1 event ends before it begins by the times in the file: taken as 0 long."


def test_the_host_alone(said):
    assert said(TraceBuilder().op("aten::mm", 0, 60).op("aten::add", 60, 20)) == [
        "A trace of the host alone: it holds no work of a device.",
        "Bound by matrix products: operators take 80 us by themselves, in a trace of 80 us.",
        "Of that, matrix products 75 %, elementwise kernels 25 %.",
        "aten::mm takes most: 75 % in 1 call of 60 us each.",
    ]


def test_the_host_alone_without_a_bound(said):
    builder = (
        TraceBuilder().op("aten::mm", 0, 40).op("aten::add", 60, 30).op("aten::add", 100, 30).op("x", 200, 70)
    )
    assert said(builder) == [
        "A trace of the host alone: it holds no work of a device.",
        "Operators take 170 us by themselves, in a trace of 270 us.",
        "Of that, elementwise kernels 35 %, matrix products 24 %.",
        "x takes most: 41 % in 1 call of 70 us each.",
    ]


def test_nothing(said):
    assert said(TraceBuilder()) == [
        "The trace holds 0 events with a duration, but no operators and no work of a device."
    ]
    assert said(TraceBuilder().annotation("step", 0, 9)) == [
        "The trace holds 1 event with a duration, but no operators and no work of a device."
    ]


def test_a_file_that_was_cut_off(tmp_path):
    text = TraceBuilder().op("aten::mm", 0, 60).kernel("gemm", 100, 5, 1).text()
    path = tmp_path / "trace.json"
    path.write_text(text[: text.index('"kernel"')])
    said = analyze(read_trace(path)).headline
    assert (
        said[0]
        == "The file ends before any device event, which profilers write last; of the host it shows this."
    )
    path.write_text(text[: text.index("}", text.index('"kernel"')) + 2])
    said = analyze(read_trace(path)).headline
    assert said[-1] == "The file ends before the trace does: what is missing is in no figure."


def test_damage_is_mentioned(said):
    builder = TraceBuilder()
    builder.events.append(None)
    builder.kernel("gemm", 0, 20, 1)
    assert said(builder)[-1] == "1 damaged event could not be read and is in no figure."
    builder.events.insert(0, None)
    assert said(builder)[-1] == "2 damaged events could not be read and are in no figure."


def test_a_range_that_shares_the_device(said):
    builder = TraceBuilder().annotation("mine", 0, 10).launch(2, 1).launch(4, 2).launch(20, 3)
    builder.kernel("gemm", 30, 20, 1).kernel("gemm", 60, 40, 3, stream=8).kernel("gemm", 100, 20, 2)
    assert said(builder, within="mine")[0] == (
        "Bound by no single thing: device 0 works 44 % of 90 us on this and 44 % on what was launched outside of it, "
        "idle 11 % although the next event was launched."
    )


def test_names_are_short(said):
    builder = TraceBuilder().kernel("x" * 500, 0, 20, 1)
    assert 36 * "x" + "…" + 35 * "x" + " takes 100 % of the kernels' time." in said(builder)


def block(number, active, **figures):
    return BlockTime(
        block=number,
        name=f"block.{number:02}",
        active=active,
        **{
            "host_us": 10.0,
            "device_us": 5.0,
            "kernel_count": 1.0,
            "launch_count": 1.0,
            "copy_us": 0.0,
            "copy_count": 0.0,
            "operator_count": 3.0,
            "bubble_us": None,
        }
        | figures,
    )


def with_more(tmp_path, **more):
    """The headline of a busy device, given what other parts of the analysis found."""
    builder = (
        TraceBuilder().launch(0, 1).launch(1, 2).kernel("gemm", 10, 60, 1).kernel("relu_kernel", 70, 40, 2)
    )
    summary = analyze(builder.read(tmp_path))
    return headline(summary.facts, summary.whole, summary.account, **more)


def test_what_skipped_blocks_still_cost(tmp_path):
    blocks = (
        block(0, active=True),
        block(1, active=False, host_us=4.0, device_us=0.0, copy_us=1.5, copy_count=1.0, bubble_us=7.0),
        block(2, active=False, host_us=3.0, device_us=0.25, bubble_us=2.0),
    )
    phase = BlockPhase(
        phase="decode", steps=3, host_us=20.0, device_us=9.0, outside_device_us=0.0, blocks=blocks
    )
    found = Blocks(source="ranges", phases=(phase, replace(phase, phase="all", device_us=None)))
    assert with_more(tmp_path, blocks=found)[-2:] == (
        (
            "The 2 skipped of 3 blocks still take, in each step of decode, "
            "7 us of the host, 1.75 us of the device, 9 us in which it waits."
        ),
        "The 2 skipped of 3 blocks still take, in each step, 7 us of the host.",
    )
    active = Blocks(source="ranges", phases=(replace(phase, blocks=blocks[:1]),))
    assert with_more(tmp_path, blocks=active) == with_more(tmp_path)


def row(bound, **figures):
    return RooflineRow(
        **{
            "operator": "aten::mm",
            "shapes": "8x8 x 8x8",
            "dtype": "bf16",
            "count": 1,
            "device_us": 60.0,
            "flops": 1.0,
            "bytes": 1.0,
            "tflops": 250.0,
            "gb_s": 900.0,
            "intensity": 1.0,
            "bound": bound,
            "share_of_peak": 0.25,
        }
        | figures
    )


PEAKS = DevicePeaks(name="A", tflops={"bf16": 1000.0}, bandwidth_gb_s=3000.0, source="a data sheet")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            (row("compute"), row("memory", device_us=20.0)),
            (
                "By their shapes, arithmetic bounds 75 % of the matrix products' and attention's time; "
                "aten::mm reaches 250 TFLOP/s, 25 % of the peak."
            ),
        ),
        (
            (row("memory", share_of_peak=None),),
            (
                "By their shapes, memory bounds 100 % of the matrix products' and attention's time; "
                "aten::mm reaches 900 GB/s."
            ),
        ),
    ],
)
def test_what_shapes_tell(tmp_path, rows, sentence):
    covered = sum(r.device_us for r in rows)
    found = Roofline(peaks=PEAKS, rows=rows, covered_us=covered, kernel_time_us=100.0)
    assert sentence in with_more(tmp_path, roofline=found)


@pytest.mark.parametrize(
    "change", [{"peaks": None}, {"rows": (row("launch"),)}, {"rows": ()}, {"kernel_time_us": 1000.0}]
)
def test_shapes_that_tell_too_little(tmp_path, change):
    found = Roofline(peaks=PEAKS, rows=(row("compute"),), covered_us=60.0, kernel_time_us=100.0)
    assert with_more(tmp_path, roofline=replace(found, **change)) == with_more(tmp_path)
