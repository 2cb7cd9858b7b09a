import numpy as np
import pytest

from maskprof.analysis.bubbles import bubbles_us
from maskprof.analysis.launched import find_launched
from tests.support.traces import TraceBuilder


def _bubbles(tmp_path, builder):
    trace = builder.read(tmp_path)
    skipped = [i for i, name in enumerate(trace.names) if name.endswith(".skipped")]
    rows = np.flatnonzero(np.isin(trace.events.name, skipped))
    return bubbles_us(find_launched(trace), rows).tolist()


def _around(builder):
    """A kernel launched at 5 that ends at 40, and one launched at 85 that starts at 100."""
    builder.launch(5, 1).kernel("before", 20, 20, 1)
    return builder.launch(85, 2).kernel("after", 100, 10, 2)


def test_no_event_inside_leaves_the_whole_gap(tmp_path):
    builder = _around(TraceBuilder()).annotation("block.01.skipped", 10, 50)
    assert _bubbles(tmp_path, builder) == [60.0]


def test_what_runs_in_the_gap_is_taken_off(tmp_path):
    builder = _around(TraceBuilder()).annotation("block.01.skipped", 10, 50)
    builder.launch(15, 3).memset(50, "2.5", 3)
    # Launched long before on another stream; half of it lies in the gap.
    builder.launch(1, 4).kernel("side", 30, 20, 4, stream=9)
    # 60 - 2.5 - 10; the memset starts where the side kernel ends.
    assert _bubbles(tmp_path, builder) == [47.5]


def test_a_queue_that_is_full_leaves_no_bubble(tmp_path):
    builder = TraceBuilder().annotation("block.01.skipped", 10, 50)
    builder.launch(5, 1).kernel("before", 1_000, 100, 1).launch(85, 2).kernel("after", 1_100, 10, 2)
    assert _bubbles(tmp_path, builder) == [0.0]


def test_streams_that_overlap_leave_no_bubble(tmp_path):
    builder = TraceBuilder().annotation("block.01.skipped", 10, 50)
    builder.launch(5, 1).kernel("before", 100, 100, 1).launch(85, 2).kernel("after", 150, 10, 2, stream=9)
    assert _bubbles(tmp_path, builder) == [0.0]


def test_turns_in_a_row_share_one_bubble_by_their_time_on_the_host(tmp_path):
    builder = _around(TraceBuilder())
    builder.annotation("block.01.skipped", 10, 10).annotation("block.02.skipped", 25, 30)
    builder.annotation("block.03.skipped", 60, 20).launch(62, 3).memset(70, 6, 3)
    # 60 - 6, over 10, 30 and 20.
    assert _bubbles(tmp_path, builder) == [9.0, 27.0, 18.0]


def test_a_launch_between_turns_parts_their_bubbles(tmp_path):
    builder = _around(TraceBuilder())
    builder.annotation("block.01.skipped", 10, 10).annotation("block.02.skipped", 40, 10)
    builder.launch(30, 3).kernel("between", 60, 5, 3)
    assert _bubbles(tmp_path, builder) == [20.0, 35.0]


def test_rows_may_come_in_any_order(tmp_path):
    builder = _around(TraceBuilder())
    builder.annotation("block.02.skipped", 40, 10).annotation("block.01.skipped", 10, 10)
    builder.launch(30, 3).kernel("between", 60, 5, 3)
    assert _bubbles(tmp_path, builder) == [35.0, 20.0]


def test_a_graph_after_the_turn_counts_from_its_first_kernel(tmp_path):
    builder = TraceBuilder().annotation("block.01.skipped", 10, 50).launch(5, 1).kernel("before", 20, 20, 1)
    builder.graph_launch(70, 2).kernel("second", 120, 10, 2).kernel("first", 100, 10, 2)
    assert _bubbles(tmp_path, builder) == [60.0]


@pytest.mark.parametrize("edge", ["before", "after", "both"])
def test_there_is_no_bubble_at_the_edges_of_the_trace(tmp_path, edge):
    builder = TraceBuilder().annotation("block.01.skipped", 10, 50)
    if edge == "after":
        builder.launch(5, 1).kernel("before", 20, 20, 1)
    elif edge == "before":
        builder.launch(85, 2).kernel("after", 100, 10, 2)
    else:
        # Without a launch in the trace an event is not before or after anything.
        builder.kernel("queued before", 1, 2, 77).kernel("queued before", 90, 2, 78)
    assert _bubbles(tmp_path, builder) == [0.0]
