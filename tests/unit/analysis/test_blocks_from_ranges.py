import pytest

from maskprof.analysis.blocks import find_blocks_in
from maskprof.analysis.launched import find_launched
from maskprof.results.trace_summary import Blocks, BlockTime, BlockWork, CategoryTime
from tests.support.traces import TraceBuilder


def _found(tmp_path, builder):
    trace = builder.read(tmp_path)
    return find_blocks_in(find_launched(trace))


def _step(builder, phase, at, first_id):
    """400 us on the host: block 0 runs two kernels and a copy, block 1 is skipped with a memset; then the head."""
    builder.annotation(phase, at, 400)
    builder.annotation("block.00.active", at + 10, 100).op("block.00.mask_check", at + 12, 3)
    builder.annotation("block.00.compute", at + 20, 80).op("aten::linear", at + 25, 60).op(
        "aten::addmm", at + 30, 40
    )
    builder.launch(at + 40, first_id).kernel("gemm", at + 50, 20, first_id)
    builder.launch(at + 60, first_id + 1).kernel("gemm", at + 70, "10.5", first_id + 1)
    builder.launch(at + 80, first_id + 2, name="cudaMemcpyAsync")
    builder.kernel("Memcpy DtoD", at + 90, 2, first_id + 2, cat="gpu_memcpy")
    builder.annotation("block.01.skipped", at + 120, 30).op("block.01.cache.dummy", at + 125, 20)
    builder.op("aten::zeros", at + 130, 10).launch(at + 132, first_id + 3, name="cudaMemsetAsync")
    builder.memset(at + 140, 3, first_id + 3)
    builder.op("aten::mm", at + 200, 20).launch(at + 210, first_id + 4)
    return builder.kernel("head", at + 250, 30, first_id + 4)


_ACTIVE = BlockTime(
    block=0, name="block.00", active=True, host_us=100.0, device_us=30.5, kernel_count=2.0, launch_count=3.0,
    copy_us=2.0, copy_count=1.0, operator_count=2.0, bubble_us=None,
    categories=(CategoryTime(category="gemm", count=2.0, total_us=30.5, share=1.0),),
    work=(
        BlockWork(name="gemm", kind="kernel", category="gemm", count=2.0, total_us=30.5),
        BlockWork(name="Memcpy DtoD", kind="copy", category="copy", count=1.0, total_us=2.0),
    ),
)  # fmt: skip
# The gap from 92 to 250 without the memset.
_SKIPPED = BlockTime(
    block=1, name="block.01", active=False, host_us=30.0, device_us=0.0, kernel_count=0.0, launch_count=1.0,
    copy_us=3.0, copy_count=1.0, operator_count=1.0, bubble_us=155.0,
    work=(BlockWork(name="Memset (Device)", kind="memset", category="memset", count=1.0, total_us=3.0),),
)  # fmt: skip


def test_time_per_block_and_phase_with_the_skipped_one(tmp_path):
    builder = _step(TraceBuilder(), "phase.prefill", 0, 1)
    for step in (1, 2):
        _step(builder, "phase.decode", 1_000 * step, 10 * step)
    found = _found(tmp_path, builder)
    assert isinstance(found, Blocks)
    assert (found.source, found.note) == ("ranges", None)
    assert [(p.phase, p.steps, p.host_us, p.device_us, p.outside_device_us) for p in found.phases] == [
        ("prefill", 1, 400.0, 60.5, 30.0),
        ("decode", 2, 400.0, 60.5, 30.0),
    ]
    assert [phase.blocks for phase in found.phases] == [(_ACTIVE, _SKIPPED)] * 2


def test_vision_inside_the_prefill_is_not_the_prefills(tmp_path):
    builder = TraceBuilder().annotation("phase.prefill", 0, 500).annotation("phase.vision", 1, 100)
    builder.launch(50, 1).kernel("patches", 60, 40, 1)
    builder.annotation("block.00.active", 150, 100).launch(200, 2).kernel("gemm", 210, 7, 2)
    (prefill,) = _found(tmp_path, builder).phases
    assert (prefill.host_us, prefill.device_us, prefill.outside_device_us) == (400.0, 7.0, 0.0)


def test_without_phases_the_trace_is_one(tmp_path):
    builder = TraceBuilder()
    for step in (0, 1_000):
        builder.annotation("block.00.active", step, 100).launch(step + 5, step + 1)
        builder.kernel("gemm", step + 10, 20, step + 1).launch(step + 200, step + 2)
        builder.kernel("head", step + 250, 8, step + 2)
    found = _found(tmp_path, builder)
    (phase,) = found.phases
    assert (found.note, phase.phase, phase.steps, phase.host_us) == (None, "all", 2, None)
    assert (phase.device_us, phase.outside_device_us, phase.blocks[0].device_us) == (28.0, 8.0, 20.0)


def test_turns_outside_the_phases_are_told(tmp_path):
    builder = _step(TraceBuilder(), "phase.decode", 0, 1).annotation("block.01.skipped", 5_000, 30)
    found = _found(tmp_path, builder)
    assert found.note == "1 turn of a block lies outside prefill and decode and is in no figure."
    assert found.phases[0].blocks == (_ACTIVE, _SKIPPED)


def test_a_trace_of_the_host_has_no_device_figures(tmp_path):
    builder = TraceBuilder().annotation("phase.decode", 0, 400).annotation("block.01.skipped", 10, 30)
    builder.op("aten::zeros", 20, 5)
    (decode,) = _found(tmp_path, builder).phases
    assert (decode.device_us, decode.outside_device_us) == (None, None)
    (block,) = decode.blocks
    assert (block.device_us, block.bubble_us, block.kernel_count, block.operator_count) == (
        None,
        None,
        0.0,
        1.0,
    )


def test_without_a_device_a_blocks_work_is_its_operators(tmp_path):
    builder = TraceBuilder()
    for step in (0, 1_000):
        builder.annotation("phase.decode", step, 400).annotation("block.00.active", step + 10, 100)
        builder.op("block.00.mask_check", step + 12, 3)
        builder.op("aten::linear", step + 20, 60).op("aten::addmm", step + 25, 40).op(
            "aten::add", step + 90, 5
        )
        builder.annotation("block.01.skipped", step + 200, 30).op("aten::zeros", step + 205, 5)
        builder.op("aten::mm", step + 300, 20)
    active, skipped = _found(tmp_path, builder).phases[0].blocks
    assert active.work == (
        BlockWork(name="aten::addmm", kind="operator", category="gemm", count=1.0, total_us=40.0),
        BlockWork(name="aten::linear", kind="operator", category="gemm", count=1.0, total_us=20.0),
        BlockWork(name="aten::add", kind="operator", category="elementwise", count=1.0, total_us=5.0),
    )
    assert [(work.name, work.count, work.total_us) for work in skipped.work] == [("aten::zeros", 1.0, 5.0)]


def test_categories_are_of_the_kernels_inside_per_step(tmp_path):
    builder = TraceBuilder()
    for step in (0, 1_000):
        builder.annotation("phase.decode", step, 400).annotation("block.00.active", step, 100)
        for i, (name, dur) in enumerate(
            (("sm90_xmma_gemm_bf16", 6), ("rms_norm_kernel", 1), ("cutlass_gemm", 3))
        ):
            builder.launch(step + 5 + i, step + i + 1).kernel(name, step + 10 + 10 * i, dur, step + i + 1)
    builder.launch(50, 90).memset(60, 100, 90)
    (block,) = _found(tmp_path, builder).phases[0].blocks
    assert block.categories == (
        CategoryTime(category="gemm", count=2.0, total_us=9.0, share=0.9),
        CategoryTime(category="norm", count=1.0, total_us=1.0, share=0.1),
    )


@pytest.mark.parametrize("name", ["block.07.other", "blocks", "phase.decode"])
def test_names_that_are_no_turns(tmp_path, name):
    assert _found(tmp_path, TraceBuilder().annotation(name, 0, 10)) is None


@pytest.mark.parametrize("digits", ["9" * 9, "9" * 10, "9" * 30, "9" * 5_000])
def test_numbers_that_no_block_has(tmp_path, digits):
    builder = (
        TraceBuilder().annotation(f"block.{digits}.active", 0, 10).annotation(f"layers.{digits}", 20, 10)
    )
    found = _found(tmp_path, builder)
    assert found is None or [block.block for block in found.phases[0].blocks] == [999_999_999]
