import pytest

from maskprof.analysis.attribution import attribute
from maskprof.results.schema import BlockCost, InstrumentCost
from maskprof.traces.reader import read_trace
from tests.support.traces import TraceBuilder


def _block(block, active, *costs):
    host_us, device_us, mask_check_us, cache_us, kernel_count = costs
    return BlockCost(
        block=block,
        active=active,
        host_us=host_us,
        device_us=device_us,
        mask_check_us=mask_check_us,
        cache_us=cache_us,
        kernel_count=kernel_count,
    )


def _active_turn(builder, block, at, *, operators=2):
    """A turn of 100 us: the mask check reports 3 us, each operator 10 us."""
    builder.annotation(f"block.{block:02d}.active", at, 100).op(f"block.{block:02d}.mask_check", at + 2, 3)
    builder.annotation(f"block.{block:02d}.compute", at + 10, 80)
    for i in range(operators):
        builder.op("aten::mm", at + 20 + 20 * i, 10)
    return builder


def _skipped_turn(builder, block, at, *, cache="dummy", cache_us=6):
    """A turn of 30 us: the mask check reports 3 us."""
    builder.annotation(f"block.{block:02d}.skipped", at, 30).op(f"block.{block:02d}.mask_check", at + 2, 3)
    return builder.op(f"block.{block:02d}.cache.{cache}", at + 10, cache_us)


def _pass(builder, at=0):
    """A prefill of 400 us with vision (100) and projector (50), then two decode steps of 200 us."""
    builder.annotation("phase.prefill", at, 400)
    builder.annotation("phase.vision", at + 1, 100).op("aten::conv2d", at + 5, 50)
    builder.annotation("phase.projector", at + 101, 50).op("aten::mm", at + 105, 5)
    _active_turn(builder, 0, at + 160)
    _skipped_turn(builder, 1, at + 270)
    builder.op("aten::lm_head", at + 350, 10)
    for step in (at + 500, at + 800):
        builder.annotation("phase.decode", step, 200)
        _active_turn(builder, 0, step + 10, operators=1)
        _skipped_turn(builder, 1, step + 120, cache="reuse", cache_us=4)
    return builder


def test_cpu_trace_without_instrument_ranges(tmp_path):
    found = attribute(_pass(TraceBuilder()).read(tmp_path))
    prefill, decode = found.phases
    assert (prefill.phase, prefill.steps, prefill.host_us, prefill.device_us) == ("prefill", 1, 250.0, None)
    assert prefill.blocks == (
        _block(0, True, 100.0, None, 3.0, None, 2.0),
        _block(1, False, 30.0, None, 3.0, 6.0, 0.0),
    )
    assert (decode.phase, decode.steps, decode.host_us, decode.device_us) == ("decode", 2, 200.0, None)
    assert decode.blocks == (
        _block(0, True, 100.0, None, 3.0, None, 1.0),
        _block(1, False, 30.0, None, 3.0, 4.0, 0.0),
    )
    assert found.instrument is None
    assert found.account["operators_in_blocks"] == 4
    assert (found.account["turns"], found.account["turns_outside_phases"], found.account["kernels"]) == (
        6,
        0,
        0,
    )


def test_instrument_cost_is_measured_and_subtracted(tmp_path):
    trace = _pass(TraceBuilder()).empty_turns(count=5, turn=7, inner=1, inner_total=2).read(tmp_path)
    found = attribute(trace)
    assert found.instrument == InstrumentCost(
        inner_us=1.0, inner_total_us=2.0, turn_us=7.0, inner_resolution_us=0.0, samples=5
    )
    # Active: 100 - 7 (turn) - 7 (compute) - 2 (one inner range); skipped: 30 - 7 - 2 * 2.
    assert found.phases[0].blocks == (
        _block(0, True, 84.0, None, 2.0, None, 2.0),
        _block(1, False, 19.0, None, 2.0, 5.0, 0.0),
    )
    assert found.phases[0].host_us == 250.0


def test_a_turn_after_a_skipped_one_has_the_cost_of_warm_caches_subtracted(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 1_000)
    _active_turn(builder, 0, 10)
    for block, at in ((1, 200), (2, 300), (3, 400)):
        _skipped_turn(builder, block, at)
    _active_turn(builder, 4, 500)
    builder.annotation("phase.decode", 1_100, 100)
    _skipped_turn(builder, 0, 1_110)
    builder.empty_turns(count=3, turn=7, inner=1, inner_total=2)
    for i in range(3):
        at = 2_000_000 + 100 * i
        builder.annotation("instrument.next_turn", at, 3 + 2 * 1)
        builder.op("instrument.inner", at + 1, 1).op("instrument.inner", at + 3, 1)
        builder.annotation("instrument.next_empty_turn", at + 50, 3)
    found = attribute(builder.read(tmp_path))
    assert found.instrument == InstrumentCost(
        inner_us=1.0,
        inner_total_us=2.0,
        turn_us=7.0,
        inner_resolution_us=0.0,
        samples=3,
        next_turn_us=3.0,
        next_inner_total_us=1.0,
    )
    # First: 30 - 7 - 2 * 2; the next: 30 - 3 - 2 * 1. The active one after them: 100 - 2 * 3 - 1.
    # Block 0 is active in one step and skipped in the other, where it is the first of its phase.
    host = {block.block: 2 * block.host_us for block in found.phases[0].blocks}
    assert host == {0: (100 - 2 * 7 - 2) + 19, 1: 19, 2: 25, 3: 25, 4: 93}


def test_resolution_is_the_spread_of_empty_inner_ranges(tmp_path):
    builder = (
        TraceBuilder().annotation("instrument.turn", 0, 20).annotation("instrument.empty_turn", 5_000, 8)
    )
    for i, duration in enumerate(["1.0", "3.0"]):
        builder.op("instrument.inner", 2 + 5 * i, duration)
    instrument = attribute(builder.read(tmp_path)).instrument
    assert instrument is not None
    assert instrument.inner_us == 2.0
    assert instrument.inner_total_us == 6.0
    assert instrument.inner_resolution_us == pytest.approx(1.8)


def test_what_an_empty_inner_range_reports_is_taken_from_turns_that_find_the_caches_cold(tmp_path):
    builder = TraceBuilder().empty_turns(count=3, turn=7, inner=1, inner_total=2)
    # Inner ranges of warm turns, and of none at all, report other times.
    builder.annotation("instrument.next_turn", 2_000_000, 50).op("instrument.inner", 2_000_001, 9)
    builder.annotation("instrument.next_empty_turn", 2_000_100, 3)
    builder.op("instrument.inner", 2_000_200, 9)
    instrument = attribute(builder.read(tmp_path)).instrument
    assert (instrument.inner_us, instrument.inner_resolution_us) == (1.0, 0.0)
    assert (instrument.next_turn_us, instrument.next_inner_total_us) == (3.0, 47.0)


def test_incomplete_instrument_ranges_are_not_used(tmp_path):
    assert attribute(TraceBuilder().annotation("instrument.turn", 0, 9).read(tmp_path)).instrument is None
    builder = TraceBuilder().annotation("instrument.turn", 0, 9).annotation("instrument.empty_turn", 20, 7)
    assert attribute(builder.read(tmp_path)).instrument is None
    builder = TraceBuilder().annotation("instrument.turn", 0, 9).op("instrument.inner", 2, 1)
    assert attribute(builder.read(tmp_path)).instrument is None


def test_noise_is_not_clamped(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 100)
    _skipped_turn(builder, 0, 10, cache_us="0.5")
    (block,) = attribute(builder.empty_turns(turn=30, inner=4).read(tmp_path)).phases[0].blocks
    assert (block.host_us, block.mask_check_us, block.cache_us) == (-4.0, -1.0, -3.5)


def test_several_passes_are_averaged(tmp_path):
    once = attribute(_pass(TraceBuilder()).read(tmp_path))
    thrice = attribute(_pass(_pass(_pass(TraceBuilder()), 2_000), 4_000).read(tmp_path))
    assert [phase.steps for phase in thrice.phases] == [3, 6]
    assert [phase.blocks for phase in thrice.phases] == [phase.blocks for phase in once.phases]
    assert [phase.host_us for phase in thrice.phases] == [phase.host_us for phase in once.phases]


def test_ranges_of_either_category_and_of_others_around_and_between(tmp_path):
    builder = _pass(TraceBuilder())
    plain = attribute(builder.read(tmp_path))
    for event in builder.events:
        if event["name"].startswith(("block.", "phase.")):
            event["cat"] = {"cpu_op": "user_annotation", "user_annotation": "cpu_op"}[event["cat"]]
    builder.annotation("ProfilerStep#3", -10, 5_000).annotation("mine", 165, 90).annotation(
        "block.9.other", 165, 80
    )
    builder.event("python_function", "nn.Module: Block_0", 158, 104).device_annotation(
        "block.01.skipped", 160, 100
    )
    mixed = attribute(builder.read(tmp_path))
    assert mixed.phases == plain.phases


def _gpu_step(builder):
    """One decode step, two blocks: block 0 runs, block 1 is skipped; the device lags behind by far."""
    builder.annotation("phase.decode", 0, 300)
    _active_turn(builder, 0, 10).launch(32, 1).launch(52, 2)
    _skipped_turn(builder, 1, 150).launch(162, 3, name="cudaMemsetAsync")
    builder.op("aten::argmax", 250, 20).launch(255, 4)
    builder.kernel("gemm", 1_000, "10.5", 1).kernel("norm", 1_020, 4, 2).memset(1_040, 2, 3)
    return builder.kernel("argmax", 1_060, 3, 4)


def test_gpu_trace(tmp_path):
    found = attribute(_gpu_step(TraceBuilder()).read(tmp_path))
    (decode,) = found.phases
    assert (decode.host_us, decode.device_us) == (300.0, 17.5)
    assert decode.blocks == (
        _block(0, True, 100.0, 14.5, 3.0, None, 2.0),
        _block(1, False, 30.0, 0.0, 3.0, 6.0, 0.0),
    )
    assert found.account == {
        "events_read": 18,
        "events_lost": 0,
        "truncated": 0,
        "kernels": 3,
        "kernels_linked": 3,
        "kernels_unlinked": 0,
        "kernels_in_blocks": 2,
        "copies_in_blocks": 1,
        "operators_in_blocks": 2,
        "turns": 2,
        "turns_outside_phases": 0,
    }


def test_device_annotations_do_not_move_kernels(tmp_path):
    plain = attribute(_gpu_step(TraceBuilder()).read(tmp_path))
    builder = _gpu_step(TraceBuilder()).device_annotation("block.01.skipped", 990, 60)
    builder.device_annotation("block.00.active", 1_055, 20).device_annotation("phase.decode", 1_055, 20)
    assert attribute(builder.read(tmp_path)).phases == plain.phases


def test_kernels_without_a_launch_belong_to_no_block(tmp_path):
    builder = _gpu_step(TraceBuilder()).kernel("queued before", 20, 50, 77)
    found = attribute(builder.read(tmp_path))
    assert found.phases == attribute(_gpu_step(TraceBuilder()).read(tmp_path)).phases
    assert (found.account["kernels"], found.account["kernels_unlinked"]) == (4, 1)


def test_only_the_launching_thread_counts(tmp_path):
    builder = _gpu_step(TraceBuilder())
    builder.op("aten::elsewhere", 30, 5, tid=2).launch(33, 9, tid=2).kernel("elsewhere", 1_100, 100, 9)
    found = attribute(builder.read(tmp_path))
    assert found.phases == attribute(_gpu_step(TraceBuilder()).read(tmp_path)).phases
    assert (found.account["kernels_linked"], found.account["kernels_in_blocks"]) == (4, 2)
    assert found.account["operators_in_blocks"] == 2


def test_graph_launch_gives_its_kernels_to_the_place_of_the_launch(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 300)
    _active_turn(builder, 0, 10, operators=0).graph_launch(40, 5)
    for i in range(4):
        builder.kernel(f"k{i}", 500 + 10 * i, 5, 5)
    builder.graph_launch(200, 6).kernel("outside the blocks", 600, 7, 6)
    (decode,) = attribute(builder.read(tmp_path)).phases
    assert decode.device_us == 27.0
    assert decode.blocks == (_block(0, True, 100.0, 20.0, 3.0, None, 4.0),)


def test_device_events_without_kernels_mean_zero_not_none(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 100)
    _skipped_turn(builder, 0, 10).launch(22, 3).memset(50, 5, 3)
    (decode,) = attribute(builder.read(tmp_path)).phases
    assert (decode.device_us, decode.blocks[0].device_us, decode.blocks[0].kernel_count) == (0.0, 0.0, 0.0)


def test_a_turn_outside_any_phase_counts_in_the_account_whole(tmp_path):
    # The very first range of the trace: position 0 is a turn like any other.
    builder = TraceBuilder()
    _active_turn(builder, 0, 10).launch(32, 1).launch(34, 2, name="cudaMemsetAsync")
    builder.kernel("gemm", 500, 10, 1).memset(520, 2, 2)
    account = attribute(builder.read(tmp_path)).account
    assert (account["turns"], account["turns_outside_phases"]) == (1, 1)
    assert (account["kernels_in_blocks"], account["copies_in_blocks"]) == (1, 1)
    assert account["operators_in_blocks"] == 2


def test_device_time_of_a_phase_is_per_step(tmp_path):
    builder = TraceBuilder()
    for step in (0, 1_000):
        builder.annotation("phase.decode", step, 300)
        _active_turn(builder, 0, step + 10).launch(step + 32, step + 1)
        builder.kernel("gemm", step + 500, 10, step + 1)
    (decode,) = attribute(builder.read(tmp_path)).phases
    assert (decode.steps, decode.device_us) == (2, 10.0)
    assert (decode.blocks[0].device_us, decode.blocks[0].kernel_count) == (10.0, 1.0)


@pytest.mark.parametrize(("ran", "active"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_block_that_ran_in_most_of_its_turns_is_active(tmp_path, ran, active):
    builder = TraceBuilder().annotation("phase.decode", 0, 1_000)
    for turn in range(3):
        (_active_turn if turn < ran else _skipped_turn)(builder, 0, 10 + 200 * turn)
    (decode,) = attribute(builder.read(tmp_path)).phases
    assert decode.blocks[0].active is active


def test_a_block_that_ran_in_half_of_its_turns_is_not_active(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 1_000)
    _active_turn(builder, 0, 10)
    _skipped_turn(builder, 0, 210)
    assert attribute(builder.read(tmp_path)).phases[0].blocks[0].active is False


def test_events_lost_are_damaged_and_unpaired_ones_together(tmp_path):
    builder = TraceBuilder().op("aten::mm", 0, 5).event("cpu_op", "never ended", 9, 0, ph="B")
    builder.events[1:1] = [None, None]
    assert attribute(builder.read(tmp_path)).account["events_lost"] == 3


def test_turns_outside_the_phases_are_named_not_counted(tmp_path):
    builder = _skipped_turn(_pass(TraceBuilder()), 1, 5_000)
    found = attribute(builder.read(tmp_path))
    assert found.phases == attribute(_pass(TraceBuilder()).read(tmp_path)).phases
    assert found.account["turns_outside_phases"] == 1


def test_a_turn_before_the_first_phase_or_in_the_vision_part_is_outside(tmp_path):
    # The last range of all being a phase must not make the first turn lie in it.
    builder = _skipped_turn(TraceBuilder(), 0, 10).annotation("phase.prefill", 1_000, 300)
    _skipped_turn(builder.annotation("phase.vision", 1_010, 100), 1, 1_020)
    _skipped_turn(builder, 2, 1_200).annotation("phase.decode", 2_000, 100)
    account = attribute(builder.read(tmp_path)).account
    assert (account["turns"], account["turns_outside_phases"]) == (3, 2)


def test_a_trace_without_our_ranges(tmp_path):
    found = attribute(TraceBuilder().op("aten::mm", 0, 5).launch(1, 1).kernel("gemm", 9, 1, 1).read(tmp_path))
    assert (found.phases, found.instrument) == ((), None)
    assert (found.account["kernels_linked"], found.account["kernels_in_blocks"]) == (1, 0)
    assert attribute(TraceBuilder().read(tmp_path)).account["events_read"] == 0


def test_a_trace_made_by_torch(tmp_path, capfd):
    torch = pytest.importorskip("torch")
    fast = getattr(torch._C._profiler, "_RecordFunctionFast", None)
    if fast is None:
        pytest.skip("this torch has no fast range")
    record = torch.profiler.record_function
    inner, check, cache = fast("instrument.inner"), fast("block.01.mask_check"), fast("block.01.cache.dummy")
    values = torch.ones(4, 4)

    def step(phase):
        with record(phase):
            with record("block.00.active"), record("block.00.compute"):
                torch.mm(values, values)
                torch.relu_(values)
            with record("block.01.skipped"):
                with check:
                    pass
                with cache:
                    torch.empty(2, 2)

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as session:
        session.add_metadata_json("mine", '{"active": [0]}')
        for _ in range(20):
            with record("instrument.turn"):
                with inner:
                    pass
                with inner:
                    pass
            with record("instrument.empty_turn"):
                pass
        step("phase.prefill")
        step("phase.decode")
        step("phase.decode")
    session.export_chrome_trace(str(tmp_path / "t.json.gz"))
    capfd.readouterr()

    trace = read_trace(tmp_path / "t.json.gz")
    found = attribute(trace)
    assert trace.metadata["mine"] == {"active": [0]}
    assert (trace.account.lost, trace.account.truncated) == (0, False)
    assert found.instrument is not None
    assert found.instrument.samples == 20
    assert found.instrument.turn_us > 0 < found.instrument.inner_us
    assert [(p.phase, p.steps, p.device_us) for p in found.phases] == [
        ("prefill", 1, None),
        ("decode", 2, None),
    ]
    for phase in found.phases:
        ran, skipped = phase.blocks
        assert (ran.block, ran.active, ran.mask_check_us, ran.cache_us) == (0, True, None, None)
        # How many operators torch calls inside another depends on its version.
        assert ran.kernel_count >= 2.0
        assert skipped.kernel_count == 1.0
        assert (skipped.block, skipped.active) == (1, False)
        assert skipped.mask_check_us is not None
        assert skipped.cache_us is not None
        assert phase.host_us > ran.host_us
    assert found.account["turns_outside_phases"] == 0
