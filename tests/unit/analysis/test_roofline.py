import pytest

from maskprof.analysis.devices import peaks_of_device
from maskprof.analysis.launched import find_launched
from maskprof.analysis.roofline import roofline
from maskprof.results.trace_summary import DevicePeaks, RooflineRow
from tests.support.traces import SHARED_TRACES, TraceBuilder, read_trace

PEAKS = DevicePeaks(
    name="mine", tflops={"bf16": 100.0, "tf32": 50.0}, bandwidth_gb_s=1_000.0, source="a test"
)
TYPES = ["c10::BFloat16"] * 2


def _roofline(tmp_path, builder, peaks=PEAKS):
    trace = builder.read(tmp_path)
    return roofline(find_launched(trace), peaks)


class _Calls(TraceBuilder):
    """Operators one after the other, each launching kernels long before they run."""

    def __init__(self, **metadata):
        super().__init__(**metadata)
        self.now, self.device_now, self.correlation = 0, 1_000, 0

    def call(self, name, dims, *kernels, types=TYPES, inside=(), late=0, **inputs):
        """`kernels` are (name, duration); `late` lets the device wait so long for the first one."""
        start = self.now
        at = len(self.events)
        self.now += 10
        for i, (kernel, dur) in enumerate(kernels):
            self.correlation += 1
            if late and i == 0:
                self.now = self.device_now + late - 2
                self.device_now += late
            self.launch(self.now, self.correlation).kernel(kernel, self.device_now, dur, self.correlation)
            self.now += 10
            self.device_now += dur
        for call in inside:
            call()
        self.now += 10
        self.op(name, start, self.now - start, **{"Input Dims": dims, "Input type": types, **inputs})
        self.events.insert(at, self.events.pop())
        return self


def test_a_row_per_operator_shapes_and_type(tmp_path):
    builder = _Calls()
    for _ in range(3):
        builder.call("aten::mm", [[1000, 2000], [2000, 500]], ("gemm", 50))
    builder.call("aten::mm", [[1, 2000], [2000, 500]], ("gemv", 4))
    builder.call("aten::cumsum", [[5]], ("scan", 46))
    found = _roofline(tmp_path, builder)
    assert (found.peaks, found.covered_us, found.kernel_time_us) == (PEAKS, 154.0, 200.0)
    # 2 GFLOP and 7 MB in 50 us: 40 TFLOP/s of 100, 140 GB/s; the ridge is at 100 FLOPs per byte.
    assert found.rows == (
        RooflineRow(
            operator="aten::mm", shapes="1000x2000 x 2000x500", dtype="bf16", count=3, device_us=150.0, flops=2e9,
            bytes=7e6, tflops=40.0, gb_s=140.0, intensity=pytest.approx(2e9 / 7e6), bound="compute", share_of_peak=0.4,
        ),
        RooflineRow(
            operator="aten::mm", shapes="1x2000 x 2000x500", dtype="bf16", count=1, device_us=4.0, flops=2e6,
            bytes=2_005_000.0, tflops=0.5, gb_s=501.25, intensity=pytest.approx(2e6 / 2_005_000), bound="memory",
            share_of_peak=0.50125,
        ),
    )  # fmt: skip


def test_several_kernels_are_of_one_call(tmp_path):
    builder = _Calls().call("aten::mm", [[64, 64], [64, 64]], ("gemm_splitK", 7), ("splitKreduce", 3))
    (row,) = _roofline(tmp_path, builder).rows
    assert (row.count, row.device_us) == (1, 10.0)


def test_the_innermost_operator_that_can_be_told_has_the_kernel(tmp_path):
    builder = _Calls()
    builder.call(
        "aten::linear", [[64, 64], [64, 64], []], types=[*TYPES, ""],
        inside=[lambda: builder.call("aten::matmul", [[64, 64], [64, 64]], inside=[
            lambda: builder.call("aten::mm", [[64, 64], [64, 64]], ("gemm", 10)),
        ])],
    )  # fmt: skip
    # Here the inner one has types that are not known.
    builder.call(
        "aten::linear", [[64, 64], [64, 64], []], types=[*TYPES, ""],
        inside=[lambda: builder.call("aten::addmm", [[64], [64, 64], [64, 64]], ("gemm", 30), types=["", "", ""])],
    )  # fmt: skip
    rows = _roofline(tmp_path, builder).rows
    assert [(row.operator, row.count, row.device_us) for row in rows] == [
        ("aten::linear", 1, 30.0),
        ("aten::mm", 1, 10.0),
    ]


def test_work_is_not_counted_twice(tmp_path):
    """Attention by matrix products: its own kernels scale and mask, the products are the inner operators'."""
    shape = [1, 2, 8, 4]
    builder = _Calls()
    builder.call(
        "aten::_scaled_dot_product_attention_math", [shape] * 3, ("softmax", 5), types=["float"] * 3,
        inside=[lambda: builder.call("aten::bmm", [[2, 8, 4], [2, 4, 8]], ("sgemm", 3), types=["float"] * 2)],
    )  # fmt: skip
    found = _roofline(tmp_path, builder)
    assert [row.operator for row in found.rows] == ["aten::bmm"]
    assert (found.covered_us, found.kernel_time_us) == (3.0, 8.0)


def test_what_moves_numbers_is_bound_by_memory(tmp_path):
    builder = _Calls().call("aten::add", [[1000, 500], [1000, 500], []], ("add", 6), types=[*TYPES, "Scalar"])
    (row,) = _roofline(tmp_path, builder).rows
    assert row == RooflineRow(
        operator="aten::add", shapes="1000x500, 1000x500", dtype="bf16", count=1, device_us=6.0, flops=0.0,
        bytes=3e6, tflops=0.0, gb_s=500.0, intensity=0.0, bound="memory", share_of_peak=0.5,
    )  # fmt: skip
    assert _roofline(tmp_path, builder).without_figure == 0.0


def test_what_moves_inside_a_product_is_the_products(tmp_path):
    """A workspace that is filled is a part of the attention that asked for it."""
    shape = [1, 2, 8, 4]
    builder = _Calls()
    builder.call(
        "aten::_efficient_attention_backward", [shape] * 4 + [[], shape] + [[]] * 4 + [[1, 2, 8]], ("fmha", 5),
        types=["float"] * 4 + ["", "float"] + [""] * 4 + ["float"],
        inside=[lambda: builder.call("aten::zero_", [[64]], ("fill", 3), types=["float"])],
    )  # fmt: skip
    found = _roofline(tmp_path, builder)
    assert [(row.operator, row.count, row.device_us) for row in found.rows] == [
        ("aten::_efficient_attention_backward", 1, 8.0)
    ]


def test_what_moves_beside_an_inner_product_has_its_own_row(tmp_path):
    builder = _Calls()
    builder.call(
        "aten::linear", [[64, 64], [64, 64], []], types=[*TYPES, ""],
        inside=[
            lambda: builder.call("aten::copy_", [[64, 64], [64, 64]], ("copy", 4)),
            lambda: builder.call("aten::mm", [[64, 64], [64, 64]], ("gemm", 10)),
        ],
    )  # fmt: skip
    found = _roofline(tmp_path, builder)
    assert [(row.operator, row.device_us) for row in found.rows] == [("aten::mm", 10.0), ("aten::copy_", 4.0)]


def test_how_much_has_no_figure(tmp_path):
    builder = _Calls().call("aten::mm", [[64, 64], [64, 64]], ("gemm", 30)).call("my::op", [[64]], ("k", 10))
    assert _roofline(tmp_path, builder).without_figure == 0.25


def test_float32_that_is_multiplied_as_tf32(tmp_path):
    builder = _Calls()
    for i, kernel in enumerate(
        ("cutlass_80_tensorop_s1688gemm_128x64", "volta_sgemm_128x32_nt", "sm80_xmma_gemm_f32tf32")
    ):
        builder.call("aten::mm", [[256, 256], [256, 256 + i]], (kernel, 10), types=["float"] * 2)
    found = {row.shapes[-3:]: row for row in _roofline(tmp_path, builder).rows}
    assert {shape: row.dtype for shape, row in found.items()} == {"256": "tf32", "257": "fp32", "258": "tf32"}
    # There is no peak for fp32.
    assert (found["257"].bound, found["257"].share_of_peak) == ("unknown", None)


def test_a_device_that_waits_for_launches(tmp_path):
    dims = [[64, 64], [64, 64]]
    builder = _Calls().call("aten::add", [], ("first", 5))
    # A launch returns after 1 us, and takes 2 us at least: of the 40 us before it, all are the host's.
    builder.call("aten::mm", dims, ("gemm", 39), late=40)
    assert _roofline(tmp_path, builder).rows[0].bound == "launch"
    builder = _Calls().call("aten::add", [], ("first", 5)).call("aten::mm", dims, ("gemm", 41), late=40)
    assert _roofline(tmp_path, builder).rows[0].bound == "memory"


def test_a_gap_after_the_launch_is_not_the_hosts(tmp_path):
    builder = _Calls().call("aten::add", [], ("first", 5))
    builder.device_now += 500
    builder.call("aten::mm", [[64, 64], [64, 64]], ("gemm", 10))
    assert _roofline(tmp_path, builder).rows[0].bound == "memory"


def test_peaks_by_the_device_and_without(tmp_path):
    builder = _Calls(deviceProperties=[{"id": 0, "name": "NVIDIA B200"}])
    builder.call("aten::mm", [[64, 64], [64, 64]], ("gemm", 10))
    assert _roofline(tmp_path, builder, None).peaks == peaks_of_device("NVIDIA B200")
    builder.metadata["deviceProperties"] = []
    found = _roofline(tmp_path, builder, None)
    assert (found.peaks, found.rows[0].bound, found.rows[0].share_of_peak) == (None, "unknown", None)
    assert found.rows[0].tflops == pytest.approx(2 * 64**3 / 10 / 1e6)


def test_kernels_of_no_duration_have_no_rate(tmp_path):
    (row,) = _roofline(tmp_path, _Calls().call("aten::mm", [[64, 64], [64, 64]], ("gemm", 0))).rows
    assert (row.tflops, row.gb_s, row.bound) == (0.0, 0.0, "memory")


@pytest.mark.parametrize(
    "builder",
    [
        TraceBuilder(),
        TraceBuilder().op("aten::mm", 0, 10).launch(5, 1).kernel("gemm", 20, 5, 1),
        _Calls().call("aten::mm", [[64, 64], [64, 64]]),
        _Calls().call("aten::cumsum", [[64]], ("scan", 5)),
        _Calls().call("aten::mm", [[64, 64], [64, 64]], ("gemm", 5), types=[]),
    ],
    ids=["nothing", "no shapes", "no kernels", "no product", "no types"],
)
def test_nothing_to_compare(tmp_path, builder):
    assert _roofline(tmp_path, builder) is None


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED_TRACES.is_dir(), reason=f"no foreign traces at {SHARED_TRACES}")
class TestTracesOfOthers:
    def _found(self, file):
        trace = read_trace(SHARED_TRACES / f"{file}.json.gz")
        return roofline(find_launched(trace))

    def test_qwen_has_the_products_of_its_layers(self):
        """24 layers, 16 sequences of 559 tokens, hidden size 1024, 16 heads of 64, intermediate size 2816."""
        found = self._found("qwen1.5-0.5b_h100")
        rows, hidden, wide, layers = 16 * 559, 1024, 2816, 24
        attention = 4 * 16 * 16 * 559**2 * 64 / 2
        expected = {
            ("aten::addmm", f"{rows}x{hidden} x {hidden}x{hidden}", 3 * layers): 2
            * rows
            * hidden**2,  # q, k, v
            ("aten::mm", f"{rows}x{hidden} x {hidden}x{hidden}", layers): 2 * rows * hidden**2,  # out
            ("aten::mm", f"{rows}x{hidden} x {hidden}x{wide}", 2 * layers): 2
            * rows
            * hidden
            * wide,  # gate, up
            ("aten::mm", f"{rows}x{wide} x {wide}x{hidden}", layers): 2 * rows * hidden * wide,  # down
            ("aten::_flash_attention_forward", "q 16x16x559x64, kv 16x16x559x64, causal", layers): attention,
            ("aten::bmm", "1x32x1 x 1x1x559", 1): 2 * 32 * 559,  # angles of the rotary embedding
        }
        computing = [row for row in found.rows if row.flops]
        assert {(row.operator, row.shapes, row.count): row.flops for row in computing} == expected
        assert found.peaks == peaks_of_device("NVIDIA H100 80GB HBM3")
        assert [row.bound for row in computing] == [
            "compute",
            "memory",
            "compute",
            "compute",
            "compute",
            "launch",
        ]

    @pytest.mark.parametrize(
        "file", ["qwen1.5-0.5b_h100", "bert-small_h100", "vllm_eager_b200", "v1_training_a100_control"]
    )
    def test_nothing_is_faster_than_its_device(self, file):
        found = self._found(file)
        assert found.rows
        assert found.covered_us == pytest.approx(sum(row.device_us for row in found.rows))
        assert found.covered_us <= found.kernel_time_us
        for row in found.rows:
            if row.flops:
                assert row.tflops < found.peaks.tflops[row.dtype], row
            else:
                # The A100's cache is of 40 MB: some of what was written just before is in it still.
                assert row.gb_s < found.peaks.bandwidth_gb_s or row.bytes < 64e6, row
            assert row.device_us > 0

    def test_what_small_products_wait_for(self):
        assert {row.bound for row in self._found("bert-small_h100").rows} == {"launch"}
