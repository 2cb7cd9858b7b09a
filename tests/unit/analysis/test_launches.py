"""Delays and queues of launch calls, on traces small enough to reckon by hand."""

from maskprof.analysis.analyze import analyze
from tests.support.traces import TraceBuilder


def launches(builder, tmp_path):
    return analyze(builder.read(tmp_path)).whole.launches


def test_delay_is_from_the_calls_start_to_its_first_event(tmp_path):
    builder = TraceBuilder().launch(100, 1, dur=4).kernel("a", 107, 1, 1)
    builder.graph_launch(200, 2, dur=10).kernel("b", 260, 1, 2).kernel("c", 230, 1, 2)
    builder.launch(300, 3)  # a call that started nothing
    facts = launches(builder, tmp_path)
    assert (facts.count, facts.host_us) == (2, 14)
    assert (facts.min_delay_us, facts.median_delay_us, facts.p95_delay_us) == (7, 18.5, 7)


def test_the_95th_percentile_is_a_delay_that_occurred(tmp_path):
    builder = TraceBuilder()
    for i in range(41):
        builder.launch(1000 * i, i + 1).kernel("a", 1000 * i + 10 + i, 1, i + 1)
    facts = launches(builder, tmp_path)
    assert (facts.median_delay_us, facts.p95_delay_us) == (30, 48)


def test_depth_counts_what_earlier_calls_launched_and_has_not_started(tmp_path):
    builder = TraceBuilder().graph_launch(10, 1)
    for start in (20, 30, 40):
        builder.kernel("g", start, 10, 1)
    # At 12 the graph's three are queued; at 25, two of them and the first call's own.
    builder.launch(12, 2, tid=101).kernel("a", 50, 10, 2).launch(25, 3).kernel("b", 60, 10, 3)
    facts = launches(builder, tmp_path)
    assert facts.max_queue_depth == 3
    assert facts.mean_queue_depth == (0 + 3 + 3) / 3


def test_an_event_that_starts_with_the_call_is_not_queued(tmp_path):
    builder = TraceBuilder().launch(10, 1).kernel("a", 20, 10, 1).launch(20, 2).kernel("b", 40, 1, 2)
    assert launches(builder, tmp_path).max_queue_depth == 0


def test_clocks_that_disagree(tmp_path):
    builder = TraceBuilder().launch(100, 1).kernel("a", 90, 1, 1).launch(200, 2).kernel("b", 195, 1, 2)
    facts = launches(builder, tmp_path)
    assert (facts.min_delay_us, facts.median_delay_us, facts.max_queue_depth) == (-10, -7.5, 0)


def test_a_range_has_the_calls_inside(tmp_path):
    builder = TraceBuilder().launch(5, 1).annotation("step", 10, 20).launch(12, 2).launch(14, 3).launch(40, 4)
    for i in range(1, 5):
        builder.kernel("a", 100 * i, 10, i)
    (step,) = analyze(builder.read(tmp_path)).ranges
    facts = step.breakdown.launches
    assert (facts.count, facts.median_delay_us, facts.min_delay_us) == (2, (188 + 286) / 2, 188)
    assert (facts.mean_queue_depth, facts.max_queue_depth) == (1.5, 2)


def test_without_links_there_are_no_launches(tmp_path):
    assert launches(TraceBuilder().launch(0, 1).kernel("a", 10, 1, 2), tmp_path) is None
    assert launches(TraceBuilder().op("aten::add", 0, 1), tmp_path) is None
