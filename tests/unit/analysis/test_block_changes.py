import math
import re
from dataclasses import replace

import numpy as np
import pytest

from maskprof.analysis.block_changes import PhaseTurns, changes_of, own_times
from maskprof.analysis.slower_blocks import compare_blocks
from maskprof.errors import TraceError
from maskprof.reports.slower_blocks_table import comparison_table, resolution, verdict
from maskprof.results.slower_blocks import BlockComparison, PhaseResolution
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
    (decode,) = [found for found in comparison.resolutions if found.phase == "decode"]
    assert 0 < decode.typical <= decode.smallest < 0.05


def test_one_prefill_tells_nothing_and_says_so(tmp_path):
    before, after = (side(tmp_path, name, (1.0, 1.0, 3.0, 1.0)) for name in ("a", "bb"))
    prefill = [change for change in compare_blocks([before], [after]).changes if change.phase == "prefill"]
    assert [change.interval for change in prefill] == [None] * 4
    comparison = compare_blocks([before], [after])
    assert comparison_table(comparison).columns[5].cells[:4] == ("-",) * 4
    assert [(r.phase, r.unit, r.smallest is None) for r in comparison.resolutions] == [
        ("prefill", "pieces", True),
        ("decode", "pieces", False),
    ]
    said = resolution(comparison)
    assert said[0].startswith("Resolution: a block slower by ")
    assert " in decode would have been found 80 % of the time; a smaller slowdown may be there" in said[0]
    assert said[1] == "Of prefill nothing can be told from 1 trace of a side: record more."
    assert said[2].startswith("That is by the spread inside of traces")


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


def recorded(generator, sizes, *, pairs, steps=40, own=0.01, recording=0.002, state=0.2):
    """The turns of a side as a machine gives them: a state that all share, own noise, and what lasts a trace."""
    blocks = len(sizes)
    return [
        1000
        * np.asarray(sizes)
        * np.exp(
            state * generator.normal(size=(steps, 1))
            + own * generator.normal(size=(steps, blocks))
            + recording * generator.normal(size=blocks)
        )
        for _ in range(pairs)
    ]


def phase(before, after):
    return PhaseTurns(phase="decode", blocks=tuple(range(before[0].shape[1])), before=before, after=after)


def test_what_the_traces_could_have_shown():
    generator = np.random.default_rng(3)
    sides = [recorded(generator, [1.0] * 8, pairs=6) for _ in range(2)]
    changes, found = changes_of(phase(*sides), wrong=0.05 / 8, asked=0.005)
    assert not any(change.is_clear for change in changes)
    assert (found.unit, found.traces, found.power) == ("traces", 6, 0.8)
    # Each trace's figure is off by the median's noise of 40 turns and by what lasts a trace, both sides together.
    error = math.sqrt(2 * (0.002**2 + (0.01 * 1.05) ** 2 / 40) / 6)
    assert found.typical == pytest.approx(4 * error, rel=0.35)
    assert found.smallest == max(change.resolution for change in changes) >= found.typical
    assert found.spread == pytest.approx(error * math.sqrt(6), rel=0.6)
    # What is asked for is finer than what six could show, and what is had from so many is what was asked for.
    assert found.traces_needed > 6
    (enough,) = {changes_of(phase(*sides), wrong=0.05 / 8, asked=found.smallest)[1].traces_needed}
    assert enough == 6
    assert changes_of(phase(*sides), wrong=0.05 / 8, asked=1e-6)[1].traces_needed is None


def test_a_slowdown_of_the_resolution_is_found_four_times_of_five_and_nothing_is_where_nothing_is():
    generator = np.random.default_rng(8)
    alarms, hits, experiments = 0, 0, 150
    for _ in range(experiments):
        before, after = (recorded(generator, [1.0] * 8, pairs=5) for _ in range(2))
        changes, found = changes_of(phase(before, after), wrong=0.05 / 8)
        alarms += any(change.is_clear for change in changes)
        slower = [turns.copy() for turns in after]
        for turns in slower:
            turns[:, 3] *= 1 + found.typical
        changes, _ = changes_of(phase(before, slower), wrong=0.05 / 8)
        hits += changes[3].is_clear
    assert alarms / experiments <= 0.05 + 2 * 0.018
    assert 0.68 <= hits / experiments <= 0.92


def test_what_differs_from_recording_to_recording_is_no_change():
    generator = np.random.default_rng(4)
    named = 0
    for _ in range(60):
        sides = [recorded(generator, [1.0] * 8, pairs=4, own=0.001, recording=0.02) for _ in range(2)]
        named += any(change.is_clear for change in changes_of(phase(*sides), wrong=0.05 / 8)[0])
    assert named <= 7


def test_a_change_of_one_block_does_not_make_the_others_change():
    generator = np.random.default_rng(5)
    before = recorded(generator, [1.0, 3.0, 1.0, 1.0, 2.0], pairs=6)
    after = recorded(generator, [1.0, 3.0, 1.3, 1.0, 2.0], pairs=6)
    changes, _ = changes_of(phase(before, after), wrong=0.01)
    assert [change.block for change in changes if change.is_clear] == [2]
    assert changes[2].change == pytest.approx(0.3, abs=0.01)
    assert all(abs(change.change) < 0.01 for change in changes if change.block != 2)


def test_sides_of_different_numbers_of_traces():
    generator = np.random.default_rng(6)
    before, after = recorded(generator, [1.0] * 6, pairs=4), recorded(generator, [1.0] * 5 + [1.05], pairs=7)
    changes, found = changes_of(phase(before, after), wrong=0.01)
    assert [change.block for change in changes if change.is_clear] == [5]
    assert (found.unit, found.traces) == ("traces", 4)


def test_bursts_of_other_work_do_not_count():
    generator = np.random.default_rng(7)
    quiet = recorded(generator, [1.0] * 8, pairs=1, steps=400)[0]
    hit = quiet * np.where(generator.random(quiet.shape) < 0.2, 3.0, 1.0)
    assert own_times(hit) - own_times(hit).mean() == pytest.approx(
        own_times(quiet) - own_times(quiet).mean(), abs=0.002
    )
    alone = np.full((1, 5), 1000.0) * [1, 2, 1, 1, 1]
    assert own_times(alone) == pytest.approx(np.log([1, 2, 1, 1, 1]))


def test_whether_the_sides_were_recorded_alternately(tmp_path):
    def trace(name, began_s):
        made = side(tmp_path, name, (1.0,) * 5, steps=30)
        return replace(made, metadata={"baseTimeNanoseconds": began_s * 10**9})

    a, b = [trace("a", n) for n in (0, 3, 4)], [trace("bb", n) for n in (1, 2, 5)]
    assert compare_blocks(a, b).alternating is True
    assert compare_blocks(list(reversed(a)), b).changes == compare_blocks(a, b).changes
    later = compare_blocks(a, [trace("bb", n) for n in (6, 7, 8)])
    assert later.alternating is False
    assert resolution(later)[-1].startswith("The sides were not recorded alternately")
    assert compare_blocks([side(tmp_path, "a", (1.0,) * 5)], [b[0]]).alternating is None


def test_how_many_traces_are_needed_in_words(tmp_path):
    traces = [[side(tmp_path, "x" * (n + 3 * s), (1.0,) * 5, steps=30) for n in (1, 2, 3)] for s in (0, 1)]
    few = resolution(compare_blocks(*traces, resolve=0.0001))[-1]
    assert re.fullmatch(
        r"To find 0.01 % in decode 80 % of the time, about \d+ traces of each side like these are needed: an estimate "
        r"from the spread of the 3 traces here\.",
        few,
    ) or few.endswith("is enough: record more decode steps in each.")
    plenty = resolution(compare_blocks(*traces, resolve=0.5))[-1]
    assert plenty == "To find 50 % in decode 80 % of the time, these 3 traces of each side are enough."


def test_a_resolution_that_is_none_and_one_for_which_no_number_is_enough():
    unclear = PhaseResolution(
        phase="prefill",
        unit="traces",
        traces=4,
        smallest=20.8,
        typical=3.0,
        spread=1.5,
        power=0.8,
        asked=0.01,
        traces_needed=None,
    )
    clear = replace(unclear, phase="decode", smallest=0.0163)
    said = resolution(BlockComparison(changes=(), device=False, resolutions=(unclear, clear)))
    assert said[0] == (
        "Resolution: a block slower by a factor of 22 in prefill or 1.6 % in decode would have been found 80 % of the "
        "time; a smaller slowdown may be there unseen."
    )
    enough = "To find 1 % in {} 80 % of the time, no number of traces like these is enough{}."
    assert said[1:] == (
        enough.format("prefill", ""),
        enough.format("decode", ": record more decode steps in each"),
    )
