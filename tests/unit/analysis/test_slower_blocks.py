import math

import pytest

from maskprof import serial
from maskprof.analysis.slower_blocks import compare_blocks, difference_interval
from maskprof.errors import TraceError
from maskprof.reports.slower_blocks_table import comparison_table, verdict
from tests.support.traces import TraceBuilder

STEPS = 200


def side(tmp_path, name, factors, *, steps=STEPS, machine=lambda step: 1.0, device=False, skipped=()):
    """A prefill and steps of blocks of 1000 us times a factor each, on a machine that is slower at times."""
    builder, now, correlation = TraceBuilder(), 0, 1
    for step in range(-1, steps):
        began = now
        for block, factor in enumerate(factors):
            jitter = 1 + 0.01 * math.sin(7 * step + 3 * block + len(name))
            took = round(1000 * factor * machine(step) * jitter)
            part = "skipped" if block in skipped else "active"
            builder.annotation(f"block.{block:02d}.{part}", now, took)
            if device:
                builder.launch(now + 1, correlation).kernel("gemm", now + 10, took // 2, correlation)
                correlation += 1
            now += took
        builder.annotation("phase.decode" if step >= 0 else "phase.prefill", began, now - began)
    return builder.read(tmp_path)


def decode_steps(tmp_path, took_us, *, builder=None):
    """Decode steps alone: for each the time of every block's turn, None where the block does not turn."""
    builder, now = builder or TraceBuilder(), 10_000
    for step in took_us:
        began = now
        for block, took in enumerate(step):
            if took is not None:
                builder.annotation(f"block.{block:02d}.active", now, took)
                now += took
        builder.annotation("phase.decode", began, now - began)
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


def test_intervals_of_a_difference_take_each_sides_own_distance():
    # Below: 3 of the one, 4 that the other may lie above; above: 12 of the one, 5 that the other may lie below.
    assert difference_interval(10.0, (7.0, 22.0), 1.0, (-4.0, 5.0)) == (9.0 - 5.0, 9.0 + 13.0)


def test_the_interval_has_room_for_all_blocks_and_is_in_shares_of_the_usual(tmp_path):
    varying = [1000 + 10 * ((7 * step) % 41) for step in range(41)]
    before = decode_steps(tmp_path, [[1000] * 4] * 41)
    after = decode_steps(tmp_path, [[1000, 1000, 1000, took] for took in varying])
    changes = compare_blocks([before], [after]).changes
    # Nothing is uncertain on the side before, so that the interval is that of the side after. 95 % for four.
    shares = [math.log(took / 1000) for took in varying]
    quartile, (low, high) = serial.lower_quartile(shares, confidence=1 - 0.05 / 4)
    assert [(change.block, change.phase, change.turns) for change in changes] == [
        (block, "decode", 41) for block in range(4)
    ]
    assert changes[3].change == pytest.approx(math.expm1(quartile))
    assert changes[3].interval == pytest.approx((math.expm1(low), math.expm1(high)))
    assert (changes[3].before_us, changes[3].after_us) == (1000.0, 1200.0)
    assert [(change.change, change.interval) for change in changes[:3]] == [(0.0, (0.0, 0.0))] * 3


def test_three_blocks_are_the_fewest_that_tell_what_is_usual(tmp_path):
    before = decode_steps(tmp_path, [[1000] * 4] * 40)
    after = decode_steps(tmp_path, [[1000, 1050, 1100, 2000]] * 40)
    changes = compare_blocks([before], [after]).changes
    assert [change.change for change in changes] == pytest.approx(
        [1000 / 1050 - 1, 0, 1100 / 1050 - 1, 2000 / 1050 - 1]
    )


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


def test_a_block_that_became_slower_is_named(tmp_path):
    before = side(tmp_path, "a", (1.0, 1.0, 2.0, 1.0, 1.0, 1.0))
    after = side(tmp_path, "bb", (1.0, 1.0, 2.0, 1.05, 1.0, 1.0))
    comparison = compare_blocks([before], [after])
    (slower,) = comparison.clear
    assert (slower.block, slower.phase, slower.turns) == (3, "decode", STEPS)
    assert slower.change == pytest.approx(0.05, abs=0.01)
    assert slower.interval[0] < 0.05 < slower.interval[1]
    assert slower.before_us == pytest.approx(1000, rel=0.01)
    assert verdict(comparison).startswith("Block 3 is ")
    assert "slower in decode" in verdict(comparison)


def test_a_slower_machine_is_no_change(tmp_path):
    before = side(tmp_path, "a", (1.0, 1.0, 2.0, 1.0, 1.0, 1.0))
    after = side(
        tmp_path, "bb", (1.0, 1.0, 2.0, 1.0, 1.0, 1.0), machine=lambda step: 1.5 if step > 100 else 1.2
    )
    comparison = compare_blocks([before], [after])
    assert comparison.clear == ()
    assert verdict(comparison) == "No block changed by more than chance can explain."


def test_one_prefill_tells_nothing_and_says_so(tmp_path):
    before, after = (side(tmp_path, name, (1.0, 1.0, 3.0, 1.0)) for name in ("a", "bb"))
    prefill = [change for change in compare_blocks([before], [after]).changes if change.phase == "prefill"]
    assert [change.interval for change in prefill] == [None] * 4
    table = comparison_table(compare_blocks([before], [after]))
    assert table.columns[5].cells[:4] == ("-",) * 4


def test_several_traces_of_a_side_count_together(tmp_path):
    before = [side(tmp_path, "a" * n, (1.0,) * 6, steps=100) for n in (1, 2)]
    after = [side(tmp_path, "a" * n, (1.0, 1.1, *[1.0] * 4), steps=125) for n in (3, 4)]
    changes = compare_blocks(before, after).changes
    assert {change.turns for change in changes if change.phase == "decode"} == {200}
    assert [change.block for change in compare_blocks(before, after).clear] == [1]


def test_with_a_device_its_time_is_compared(tmp_path):
    before = side(tmp_path, "a", (1.0,) * 6, device=True)
    after = side(tmp_path, "bb", (1.0, 1.0, 1.1, 1.0, 1.0, 1.0), device=True)
    comparison = compare_blocks([before], [after])
    assert comparison.device
    assert [(change.block, change.phase) for change in comparison.clear] == [(2, "decode")]
    assert comparison.clear[0].before_us == pytest.approx(500, rel=0.01)


def test_what_cannot_be_compared(tmp_path):
    whole, masked = side(tmp_path, "a", (1.0,) * 5), side(tmp_path, "b", (1.0,) * 5, skipped=(2,))
    with pytest.raises(TraceError, match=r"\[0, 1, 2, 3, 4\] and \[0, 1, 3, 4\]"):
        compare_blocks([whole], [masked])
    two = side(tmp_path, "c", (1.0, 1.0))
    with pytest.raises(TraceError, match="at least 4 active blocks"):
        compare_blocks([two], [two])
