import math

import pytest

from maskprof.analysis.slower_blocks import compare_blocks
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
