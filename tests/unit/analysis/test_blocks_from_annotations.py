import pytest

from maskprof.analysis.blocks import find_blocks_in
from maskprof.analysis.launched import find_launched
from tests.support.traces import TraceBuilder


def _found(tmp_path, builder):
    trace = builder.read(tmp_path)
    return find_blocks_in(find_launched(trace))


def _steps(names, *, steps=2, inner=""):
    builder = TraceBuilder()
    for step in range(steps):
        builder.annotation(f"ProfilerStep#{step}", 1_000 * step, 900)
        for i, name in enumerate(names):
            at, correlation = 1_000 * step + 100 * i, 100 * step + i + 1
            builder.annotation(name, at, 90)
            if inner:
                builder.annotation(f"{name}.{inner}", at + 10, 20)
            builder.op("aten::mm", at + 5, 50).launch(at + 20, correlation)
            builder.kernel("gemm", at + 40, i + 1, correlation)
    return builder


@pytest.mark.parametrize(
    "pattern",
    [
        "layers.{}", "model.layers.{}", "decoder_layer_{}", "transformer.h.{}", "TransformerBlock {}",
        "DecoderLayer_{}", "blocks[{}]", "block:{}",
    ],
)  # fmt: skip
def test_names_of_lists(tmp_path, pattern):
    names = [pattern.format(i) for i in range(3)]
    found = _found(tmp_path, _steps(names, inner="attention"))
    assert found.source == "annotations"
    (phase,) = found.phases
    assert (phase.phase, phase.steps, phase.host_us, phase.device_us, phase.outside_device_us) == (
        "all",
        2,
        None,
        6.0,
        0.0,
    )
    assert [
        (b.block, b.name, b.host_us, b.device_us, b.kernel_count, b.operator_count) for b in phase.blocks
    ] == [(i, name, 90.0, i + 1.0, 1.0, 1.0) for i, name in enumerate(names)]


def test_counting_from_one(tmp_path):
    (phase,) = _found(tmp_path, _steps(["layer 1", "layer 2"])).phases
    assert [(block.block, block.name) for block in phase.blocks] == [(0, "layer 1"), (1, "layer 2")]


@pytest.mark.parametrize(
    "names",
    [
        ["ProfilerStep#0", "ProfilerStep#1"],
        ["iteration 0", "iteration 1"],
        ["microbatch_0", "microbatch_1"],
        ["layers.0"],
        ["layers.0", "layers.5"],
        ["layers.4", "layers.5"],
        ["player0x", "player1x"],
    ],
    ids=str,
)
def test_names_that_are_no_list(tmp_path, names):
    assert _found(tmp_path, _steps(names)) is None


def test_ranges_inside_one_another_are_no_list(tmp_path):
    builder = TraceBuilder().annotation("layers.0", 0, 100).annotation("layers.1", 10, 50)
    assert _found(tmp_path, builder) is None


def test_the_list_with_most_time(tmp_path):
    builder = _steps(["decoder.layers.0", "decoder.layers.1"])
    for i in range(3):
        builder.annotation(f"encoder.layers.{i}", 5_000 + 10 * i, 5)
    assert _found(tmp_path, builder).phases[0].blocks[0].name == "decoder.layers.0"
