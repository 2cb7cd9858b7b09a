"""Where the device's time goes, on traces small enough to reckon by hand. Times are in microseconds."""

import pytest

from maskprof.analysis.analyze import analyze
from tests.support.traces import TraceBuilder


def device_time(builder, tmp_path):
    return analyze(builder.read(tmp_path)).whole.device


def idle(device):
    return (device.idle_launch_us, device.idle_gap_us, device.idle_other_us)


def test_busy_time_is_the_union_over_streams_and_kinds(tmp_path):
    builder = TraceBuilder()
    builder.kernel("a", 100, 50, 1).kernel("b", 120, 50, 2, stream=8)
    builder.kernel("Memcpy HtoD (Pinned -> Device)", 160, 20, 3, cat="gpu_memcpy").memset(300, 10, 4)
    device = device_time(builder, tmp_path)
    assert (device.kernel_count, device.kernel_time_us) == (2, 100)
    assert (device.memcpy_count, device.memcpy_us, device.memset_count, device.memset_us) == (1, 20, 1, 10)
    assert (device.busy_us, device.span_us, device.streams) == (90, 210, 2)
    assert device.idle_us == 120
    assert device.idle_pct == pytest.approx(100 * 120 / 210)


def test_a_gap_until_the_launch_and_its_floor_is_the_hosts(tmp_path):
    # The shortest delay is the first one: 5 us. The second kernel was launched at 130, so until 135 there was
    # nothing to do; it started at 142 all the same.
    builder = TraceBuilder().launch(95, 1).kernel("a", 100, 20, 1)
    builder.launch(130, 2).kernel("b", 142, 10, 2)
    assert idle(device_time(builder, tmp_path)) == (15, 7, 0)


def test_a_gap_before_work_that_was_launched_in_time_is_the_devices(tmp_path):
    builder = TraceBuilder().launch(95, 1).launch(97, 2).kernel("a", 100, 20, 1).kernel("b", 123, 10, 2)
    assert idle(device_time(builder, tmp_path)) == (0, 3, 0)


def test_a_launch_may_come_just_before_the_end_of_the_work_before(tmp_path):
    # Launched at 118, at the device by 123: two of the three idle microseconds are the floor's.
    builder = TraceBuilder().launch(95, 1).kernel("a", 100, 20, 1).launch(118, 2).kernel("b", 124, 10, 2)
    assert idle(device_time(builder, tmp_path)) == (3, 1, 0)


def test_time_inside_the_launch_call_is_the_hosts(tmp_path):
    # Loading code on first use, for one: the call lasts from 105 to 160.
    builder = TraceBuilder().launch(95, 1).kernel("a", 100, 10, 1)
    builder.launch(105, 2, dur=55).kernel("b", 165, 10, 2)
    assert idle(device_time(builder, tmp_path)) == (50, 5, 0)


def test_a_full_queue_shows_no_floor_so_it_is_limited(tmp_path):
    # Every delay is 500 us or more; taken as the floor, it would make the host answer for everything.
    builder = TraceBuilder().launch(0, 1).kernel("a", 500, 100, 1)
    builder.launch(90, 2).kernel("b", 650, 10, 2)
    assert idle(device_time(builder, tmp_path)) == (0, 50, 0)


def test_without_a_launch_no_cause_is_told(tmp_path):
    builder = (
        TraceBuilder().kernel("a", 100, 20, 1).kernel("b", 130, 10, 2).launch(133, 3).kernel("c", 150, 1, 3)
    )
    # 130 is not linked; 150 was launched at 133, while b ran: its delay of 17 is the floor.
    assert idle(device_time(builder, tmp_path)) == (10, 0, 10)


def test_gaps_inside_a_graph_are_the_devices(tmp_path):
    builder = TraceBuilder().graph_launch(90, 1, dur=5)
    builder.kernel("a", 100, 10, 1).kernel("b", 112, 10, 1).kernel("c", 125, 10, 1)
    assert idle(device_time(builder, tmp_path)) == (0, 5, 0)


def test_a_long_event_hides_gaps_of_other_streams(tmp_path):
    builder = TraceBuilder().kernel("long", 100, 100, 1).kernel("a", 110, 10, 2, stream=8)
    builder.kernel("b", 150, 10, 3, stream=8).kernel("c", 210, 5, 4, stream=8)
    device = device_time(builder, tmp_path)
    assert (device.busy_us, device.span_us, device.idle_us) == (105, 115, 10)


def test_clocks_that_disagree_leave_no_negative_time(tmp_path):
    builder = TraceBuilder().launch(120, 1).kernel("a", 100, 10, 1).launch(140, 2).kernel("b", 130, 10, 2)
    device = device_time(builder, tmp_path)
    assert idle(device) == (20, 0, 0)
    assert device.busy_us == 20


def test_communication_is_exposed_where_nothing_else_runs(tmp_path):
    nccl = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
    builder = TraceBuilder().kernel(nccl, 100, 50, 1, stream=20).kernel(nccl, 130, 40, 2, stream=21)
    builder.kernel("gemm", 90, 30, 3).kernel("gemm", 160, 5, 4)
    device = device_time(builder, tmp_path)
    # All-reduces from 100 to 170; products from 90 to 120 and 160 to 165: alone from 120 to 160 and 165 to 170.
    assert device.communication_us == 70
    assert device.exposed_communication_us == 45
    assert device.busy_us == 80


def test_a_range_has_the_time_of_what_was_launched_inside(tmp_path):
    builder = TraceBuilder().annotation("step", 0, 50).launch(10, 1).launch(30, 2)
    builder.annotation("other", 60, 20).launch(65, 3)
    builder.kernel("a", 100, 10, 1).kernel("c", 115, 20, 3, stream=8).kernel("b", 140, 10, 2)
    ranges = {r.name: r for r in analyze(builder.read(tmp_path)).ranges}
    step = ranges["step"].breakdown.device
    # From 110 to 140 nothing of its own ran: 20 us of it went to the other range's kernel.
    assert (step.kernel_count, step.busy_us, step.span_us, step.elsewhere_us) == (2, 20, 50, 20)
    assert idle(step) == (0, 10, 0)
    assert step.idle_pct == pytest.approx(20)
    other = ranges["other"].breakdown.device
    assert (other.kernel_count, other.busy_us, other.span_us, other.idle_us) == (1, 20, 20, 0)


def test_spans_of_a_range_that_comes_again_are_summed(tmp_path):
    builder = TraceBuilder()
    for i in range(3):
        builder.annotation("step", 1000 * i, 100).launch(1000 * i + 10, 2 * i + 1).launch(
            1000 * i + 20, 2 * i + 2
        )
        builder.kernel("a", 1000 * i + 20, 10, 2 * i + 1).kernel("b", 1000 * i + 35, 10, 2 * i + 2)
    (step,) = analyze(builder.read(tmp_path)).ranges
    assert (step.count, step.host_us, step.device_us, step.kernel_count, step.launch_count) == (
        3,
        300,
        60,
        6,
        6,
    )
    device = step.breakdown.device
    assert (device.busy_us, device.span_us, idle(device)) == (60, 75, (0, 15, 0))


def test_a_damaged_clock_of_decades_is_borne(tmp_path):
    # Exporters wrote zeros for some events of a trace whose clock counts from 1970.
    late = 1_700_000_000_000_000
    builder = TraceBuilder().op("aten::add", 0, 0).annotation("lost", 0, 0)
    for thread in range(12):
        start = late + 10 * thread
        builder.annotation("step", start, 5, tid=thread).op("aten::mm", start, 4, tid=thread)
        builder.launch(start + 1, thread + 1, tid=thread).kernel("gemm", start + 5, 2, thread + 1)
        builder.op("aten::zero", 0, 0, tid=thread)
    summary = analyze(builder.read(tmp_path))
    assert summary.whole.device.kernel_count == 12
    assert summary.whole.device.span_us == 112
    (step,) = [r for r in summary.ranges if r.name == "step"]
    assert (step.count, step.host_us, step.kernel_count) == (12, 60, 12)
    operators = {o.name: o for o in summary.whole.operators}
    assert (operators["aten::mm"].count, operators["aten::mm"].kernel_count) == (12, 12)
    assert operators["aten::zero"].count == 12


def test_an_mtia_runs_executables_and_copies_and_does_not_work_while_it_waits(tmp_path):
    builder = TraceBuilder()

    def event(name, ts, dur, stream, **args):
        builder.event("mtia_ccp_events", name, ts, dur, pid=17, tid=stream, stream=stream, **args)

    event("event_wait", 100, 500, 1)
    event("remote", 200, 50, 1, correlation=7)
    event("dma_request", 260, 10, 2)
    event("event_record", 300, 10, 2)
    builder.event("mtia_runtime", "runFunction", 150, 5, correlation=7)
    summary = analyze(builder.read(tmp_path))
    device = summary.whole.device
    assert (device.kernel_count, device.memcpy_count, device.busy_us, device.span_us) == (1, 1, 60, 70)
    assert [(k.name, k.category) for k in summary.whole.kernels] == [("remote", "compiled")]
    assert (summary.account.device_events, summary.account.linked) == (2, 1)
