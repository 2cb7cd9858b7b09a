"""Which turns of traces are compared; what is made of them is asked in test_block_changes.py."""

from dataclasses import replace

import numpy as np
import pytest

from maskprof.analysis.block_changes import PhaseTurns, changes_of
from maskprof.analysis.slower_blocks import compare_blocks, turns_of
from maskprof.errors import TraceError
from tests.support.traces import TraceBuilder


def decode_steps(tmp_path, took_us, *, prefill=None):
    """Decode steps: for each the time of every block's turn, None where the block does not turn."""
    builder, now = TraceBuilder(), 10_000
    for step in [prefill, *took_us] if prefill else took_us:
        began = now
        for block, took in enumerate(step):
            if took is not None:
                builder.annotation(f"block.{block:02d}.active", now, took)
                now += took
        builder.annotation("phase.prefill" if step is prefill else "phase.decode", began, now - began)
    return builder.read(tmp_path)


def device_steps(tmp_path, kernel_us, *, builder=None):
    """Decode steps whose blocks turn for 100 us each and launch a kernel of such a length."""
    builder, turn = builder or TraceBuilder(), 0
    for step, blocks in enumerate(kernel_us):
        builder.annotation("phase.decode", 10_000 * step, 100 * len(blocks))
        for block, took in enumerate(blocks):
            at, turn = 10_000 * step + 100 * block, turn + 1
            builder.annotation(f"block.{block:02d}.active", at, 100).launch(at + 1, turn)
            builder.kernel("gemm", at + 10, took, turn)
    return builder.read(tmp_path)


def test_a_side_with_few_turns_leaves_no_interval(tmp_path):
    before, after = (decode_steps(tmp_path, [[1000] * 4] * steps) for steps in (40, 10))
    for sides in (([before], [after]), ([after], [before])):
        assert {(change.interval, change.turns) for change in compare_blocks(*sides).changes} == {(None, 10)}


def test_a_block_that_misses_a_step_is_left_out(tmp_path):
    steps = [[1000] * 5] * 39 + [[1000, 1000, None, 1000, 1000]]
    changes = compare_blocks([decode_steps(tmp_path, steps)], [decode_steps(tmp_path, steps)]).changes
    assert [change.block for change in changes] == [0, 1, 3, 4]


def test_a_block_without_kernels_in_a_step_is_left_out(tmp_path):
    steps = [[50] * 5] * 39 + [[50, 50, 50, 0, 50]]
    changes = compare_blocks([device_steps(tmp_path, steps)], [device_steps(tmp_path, steps)]).changes
    assert [change.block for change in changes] == [0, 1, 2, 4]


def test_kernels_count_in_the_turn_that_launched_them_and_nothing_else_does(tmp_path):
    builder = TraceBuilder()
    # In no range of ours, before and after all of them; and in a turn, but no kernel.
    builder.launch(-50, 901).kernel("gemm", -40, 30, 901)
    builder.launch(500_000, 902).kernel("gemm", 500_010, 30, 902)
    builder.launch(20, 903, name="cudaMemsetAsync").memset(30, 7, 903)
    # Blocks of less than a microsecond count too, and ranges without kernels come last.
    builder.annotation("instrument.turn", 600_000, 5)
    # One step, so that what counts too much shows in the median.
    steps = [["0.250", 50, 60, 70, "0.500"]]
    trace = device_steps(tmp_path, steps, builder=builder)
    comparison = compare_blocks([trace], [trace])
    assert comparison.device
    assert [change.before_us for change in comparison.changes] == [0.25, 50.0, 60.0, 70.0, 0.5]
    assert [change.change for change in comparison.changes] == [0.0] * 5


def test_intervals_leave_room_for_all_blocks_of_the_phases_that_tell_a_spread(tmp_path):
    took = [
        [[1000 + 40 * step * block % 77 + n * block for block in range(4)] for step in range(12)]
        for n in (0, 1)
    ]
    before, after = (decode_steps(tmp_path, steps, prefill=list(steps[0])) for steps in took)
    sides = [[np.array(steps, dtype=float)] for steps in took]
    both = compare_blocks([before], [after])
    assert [change.interval is None for change in both.changes] == [True] * 4 + [False] * 4
    assert both.changes[4:] == decode_changes(sides, wrong=0.05 / 4)
    every = compare_blocks([before] * 3, [after] * 3)
    assert every.changes[4:] == decode_changes([side * 3 for side in sides], wrong=0.05 / 8)


def decode_changes(sides, *, wrong):
    turns = PhaseTurns(phase="decode", blocks=(0, 1, 2, 3), before=sides[0], after=sides[1])
    return tuple(changes_of(turns, wrong=wrong)[0])


def test_the_power_that_was_asked_for(tmp_path):
    trace = decode_steps(tmp_path, [[1000] * 4] * 2)
    (found,) = compare_blocks([trace], [trace], power=0.9).resolutions
    assert found.power == 0.9


def test_the_host_is_compared_where_not_every_trace_has_a_device(tmp_path):
    with_device = device_steps(tmp_path, [[50] * 4] * 4)
    without = decode_steps(tmp_path, [[100] * 4] * 4)
    for sides in (([with_device], [without]), ([without], [with_device])):
        comparison = compare_blocks(*sides)
        assert not comparison.device
        assert {(change.before_us, change.after_us) for change in comparison.changes} == {(100.0, 100.0)}


def test_when_a_trace_began(tmp_path):
    trace = decode_steps(tmp_path, [[1000] * 4])
    assert (turns_of(trace).began_ns, turns_of(trace).tells_when) == (10_000_000, False)
    told = replace(trace, metadata={"baseTimeNanoseconds": 5})
    assert (turns_of(told).began_ns, turns_of(told).tells_when) == (10_000_005, True)


def test_an_empty_trace_has_no_turns(tmp_path):
    with pytest.raises(TraceError, match="no turns"):
        turns_of(TraceBuilder().read(tmp_path))


def test_of_one_trace_of_each_side_no_order_is_told(tmp_path):
    def began(second):
        return replace(trace, metadata={"baseTimeNanoseconds": second * 10**9})

    trace = decode_steps(tmp_path, [[1000] * 4])
    assert compare_blocks([began(0)], [began(1)]).alternating is None
    assert compare_blocks([began(0), began(2)], [began(1)]).alternating is True
    assert compare_blocks([began(0), began(1)], [began(2)]).alternating is False


def test_traces_of_others_have_no_turns_and_are_refused_with_a_sentence(tmp_path):
    trace = TraceBuilder().op("aten::mm", 0, 10).launch(2, 1).kernel("gemm", 20, 5, 1).read(tmp_path)
    with pytest.raises(
        TraceError, match=r"trace\.json has no turns of active blocks: .*as `maskprof run` writes them"
    ):
        compare_blocks([trace], [trace])
