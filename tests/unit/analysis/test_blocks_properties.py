import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskprof.analysis.blocks import search_blocks
from maskprof.analysis.launched import find_launched
from maskprof.analysis.roofline import roofline
from tests.support.traces import TraceBuilder

HOST_NAMES = [
    "phase.prefill", "phase.decode", "phase.vision", "block.00.active", "block.00.skipped", "block.01.skipped",
    "block.01.active", "block.01.cache.dummy", "layers.0", "layers.1", "layers.2", "aten::mm", "aten::linear",
]  # fmt: skip
MODULES = ["Model_0", "Layer_0", "Layer_1", "Layer_2", "Attention_0", "Attention_1", "Linear_0"]
KERNELS = ["rms_norm_kernel", "sm90_xmma_gemm", "flash_fwd_kernel", "indexSelectLargeIndex", "silu_kernel"]

times = st.integers(0, 400)
spans = st.integers(0, 120)


@st.composite
def traces(draw):
    """Host ranges, module calls, operators and device events at any times: nested, overlapping, on two threads."""
    builder = TraceBuilder(
        deviceProperties=[{"id": 0, "name": draw(st.sampled_from(["NVIDIA B200", "unknown"]))}]
    )
    for name in draw(st.lists(st.sampled_from(HOST_NAMES), max_size=14)):
        cat = "cpu_op" if name.startswith("aten") else draw(st.sampled_from(["user_annotation", "cpu_op"]))
        args = {}
        if name.startswith("aten"):
            args = {"Input Dims": [[4, 8], [8, 8]], "Input type": ["float", "c10::BFloat16"]}
        builder.event(cat, name, draw(times), draw(spans), tid=draw(st.integers(1, 2)), **args)
    for name in draw(st.lists(st.sampled_from(MODULES), max_size=12)):
        builder.event(
            "python_function", f"nn.Module: {name}", draw(times), draw(spans), tid=draw(st.integers(1, 2))
        )
    for correlation in range(1, draw(st.integers(1, 10))):
        if draw(st.booleans()):
            builder.launch(draw(times), correlation, dur=draw(st.integers(0, 5)), tid=draw(st.integers(1, 2)))
        for _ in range(draw(st.integers(0, 3))):
            cat = draw(st.sampled_from(["kernel", "kernel", "gpu_memset"]))
            stream, device = draw(st.integers(7, 8)), draw(st.integers(0, 1))
            builder.kernel(
                draw(st.sampled_from(KERNELS)),
                draw(times),
                draw(spans),
                correlation,
                cat=cat,
                stream=stream,
                device=device,
            )
    return builder


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traces())
def test_figures_of_any_trace_agree_with_one_another(tmp_path, builder):
    trace = builder.read(tmp_path)
    launched = find_launched(trace)
    found = search_blocks(launched)
    assert (found.blocks is None) == (found.reason is not None)
    for phase in found.blocks.phases if found.blocks else ():
        assert phase.steps >= 1
        assert [block.block for block in phase.blocks] == sorted({block.block for block in phase.blocks})
        if phase.device_us is None:
            assert {block.device_us for block in phase.blocks} <= {None}
            continue
        # Blocks may lie in a phase within their own, whose kernels are not the outer one's.
        inside = sum(block.device_us for block in phase.blocks)
        assert phase.outside_device_us >= 0
        assert phase.outside_device_us >= phase.device_us - inside - 1e-6
        for block in phase.blocks:
            assert sum(category.total_us for category in block.categories) == pytest.approx(block.device_us)
            assert sum(category.count for category in block.categories) == pytest.approx(block.kernel_count)
            assert (block.bubble_us is not None) == (block.active is False)
            assert (block.bubble_us or 0.0) >= 0
    against = roofline(launched)
    if against is not None:
        assert against.covered_us == pytest.approx(sum(row.device_us for row in against.rows))
        assert against.covered_us <= against.kernel_time_us + 1e-6
        assert all(row.count >= 1 for row in against.rows)
