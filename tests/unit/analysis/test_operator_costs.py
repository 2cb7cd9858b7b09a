import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.analysis.call_inputs import CallCost
from maskprof.analysis.operator_costs import call_cost, is_costed
from maskprof.traces.columns import Inputs
from maskprof.traces.reader import read_trace

BF16, HALF, FLOAT, FP8 = "c10::BFloat16", "c10::Half", "float", "c10::Float8_e4m3fn"


def _cost(operator, dims, types, concrete=()):
    return call_cost(operator, Inputs(json.dumps(dims), json.dumps(types), json.dumps(list(concrete))))


@pytest.mark.parametrize(
    ("operator", "dims", "types", "expected"),
    [
        ("aten::mm", [[5, 7], [7, 11]], [BF16] * 2, (770, 2 * (35 + 77 + 55), "bf16", "5x7 x 7x11")),
        (
            "aten::addmm",
            [[11], [5, 7], [7, 11], [], []],
            [HALF] * 3,
            (770, 2 * (11 + 35 + 77 + 55), "fp16", "5x7 x 7x11"),
        ),
        (
            "aten::bmm",
            [[3, 5, 7], [3, 7, 2]],
            [FLOAT] * 2,
            (420, 4 * (105 + 42 + 30), "fp32", "3x5x7 x 3x7x2"),
        ),
        (
            "aten::baddbmm",
            [[3, 5, 2], [3, 5, 7], [3, 7, 2], [], []],
            [FLOAT] * 3,
            (420, 4 * (30 + 105 + 42 + 30), "fp32", "3x5x7 x 3x7x2"),
        ),
        (
            "aten::linear",
            [[2, 3, 8], [6, 8], [6]],
            [FLOAT] * 3,
            (576, 4 * (48 + 48 + 6 + 36), "fp32", "2x3x8 x 6x8"),
        ),
        (
            "aten::linear",
            [[2, 3, 8], [6, 8], []],
            [FLOAT, FLOAT, ""],
            (576, 4 * (48 + 48 + 36), "fp32", "2x3x8 x 6x8"),
        ),
        (
            "aten::matmul",
            [[4, 1, 5, 7], [3, 7, 2]],
            [FLOAT] * 2,
            (1680, 4 * (140 + 42 + 120), "fp32", "4x1x5x7 x 3x7x2"),
        ),
        ("aten::matmul", [[9], [9, 4]], [FLOAT] * 2, (72, 4 * (9 + 36 + 4), "fp32", "9 x 9x4")),
        # Narrow numbers in, two bytes out.
        (
            "aten::_scaled_mm",
            [[5, 7], [7, 11], [], []],
            [FP8, FP8, FLOAT, FLOAT],
            (770, 35 + 77 + 110, "fp8", "5x7 x 7x11"),
        ),
        # Three experts share out the rows, or the inner dimension; or each has as many of its own.
        (
            "aten::_grouped_mm",
            [[9, 4], [3, 4, 5], [3]],
            [BF16, BF16, "int"],
            (360, 2 * (36 + 60 + 45), "bf16", "9x4 x 3x4x5"),
        ),
        (
            "aten::_grouped_mm",
            [[4, 9], [9, 5], [3]],
            [BF16, BF16, "int"],
            (360, 2 * (36 + 45 + 20), "bf16", "4x9 x 9x5"),
        ),
        (
            "aten::_grouped_mm",
            [[3, 2, 4], [3, 4, 5], []],
            [BF16, BF16, ""],
            (240, 2 * (24 + 60 + 30), "bf16", "3x2x4 x 3x4x5"),
        ),
    ],
)
def test_products(operator, dims, types, expected):
    flops, least, dtype, shapes = expected
    assert _cost(operator, dims, types) == CallCost(flops=flops, bytes=least, dtype=dtype, shapes=shapes)


def test_attention_counts_its_two_products():
    q, kv = [2, 4, 16, 8], [2, 4, 32, 8]
    cost = _cost(
        "aten::scaled_dot_product_attention", [q, kv, kv], [BF16] * 3, ["", "", "", "", "0.", "False"]
    )
    assert cost == CallCost(
        flops=4 * 2 * 4 * 16 * 32 * 8,
        bytes=2 * (1024 + 2048 + 2048 + 1024),
        dtype="bf16",
        shapes="q 2x4x16x8, kv 2x4x32x8",
    )


@pytest.mark.parametrize(
    ("operator", "position"),
    [
        ("scaled_dot_product_attention", 5),
        ("_scaled_dot_product_flash_attention", 4),
        ("_scaled_dot_product_efficient_attention", 6),
        ("_scaled_dot_product_cudnn_attention", 6),
        ("_scaled_dot_product_attention_math", 5),
        ("_flash_attention_forward", 8),
    ],
)
def test_causal_attention_counts_half_where_it_is_known(operator, position):
    shape = [2, 16, 4, 8] if operator == "_flash_attention_forward" else [2, 4, 16, 8]
    full = 4 * 2 * 4 * 16 * 16 * 8
    for value, expected in (("True", full / 2), ("False", full), ("", full)):
        concrete = [""] * position + [value]
        assert _cost(f"aten::{operator}", [shape] * 3, [BF16] * 3, concrete).flops == expected
    assert _cost(f"aten::{operator}", [shape] * 3, [BF16] * 3).flops == full


def test_causal_attention_with_a_cache_counts_in_full():
    q, kv = [1, 4, 1, 8], [1, 4, 32, 8]
    cost = _cost(
        "aten::_scaled_dot_product_flash_attention", [q, kv, kv], [BF16] * 3, ["", "", "", "0.", "True"]
    )
    assert (cost.flops, cost.shapes) == (4 * 4 * 32 * 8, "q 1x4x1x8, kv 1x4x32x8")


def test_grouped_queries_read_fewer_keys():
    q, kv = [1, 8, 16, 4], [1, 2, 16, 4]
    cost = _cost("aten::scaled_dot_product_attention", [q, kv, kv], [BF16] * 3)
    assert (cost.flops, cost.bytes) == (4 * 8 * 16 * 16 * 4, 2 * (512 + 128 + 128 + 512))


def test_packed_sequences_are_of_unknown_length():
    shape = [1, 100, 4, 8]
    dims = [shape, shape, shape, [5], [5]]
    assert _cost("aten::_flash_attention_forward", dims, [BF16] * 3 + ["int"] * 2) is None


def test_convolutions():
    dims, types = [[2, 6, 17, 13], [4, 3, 3, 5], []], [FLOAT, FLOAT, ""]
    concrete = ["", "", "", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "2"]
    # 9 times 6 places, of 4 channels, over 3 x 3 x 5 inputs.
    expected = CallCost(
        flops=2 * 2 * 4 * 54 * 45, bytes=4 * (2652 + 180 + 432), dtype="fp32", shapes="2x6x17x13 * 4x3x3x5"
    )
    assert _cost("aten::convolution", dims, types, concrete) == expected
    cudnn = ["", "", "[1, 1]", "[2, 2]", "[1, 1]", "2"]
    assert _cost("aten::cudnn_convolution", dims[:2], types[:2], cudnn) == expected
    assert _cost("aten::convolution", dims, types, [*concrete[:6], "True", *concrete[7:]]) is None
    assert _cost("aten::convolution", dims, types) is None


@pytest.mark.parametrize(
    ("operator", "dims", "types"),
    [
        ("aten::mm", [[5, 7], [8, 11]], [FLOAT] * 2),
        ("aten::mm", [[5, 7]], [FLOAT]),
        ("aten::mm", [], []),
        ("aten::mm", [[5, 7], [7, 11]], ["unsigned char"] * 2),
        ("aten::mm", [[5, 7], [7, 11]], []),
        ("aten::mm", [[5, -7], [-7, 11]], [FLOAT] * 2),
        ("aten::mm", [[[5, 7]], [[7, 11]]], [FLOAT] * 2),
        ("aten::matmul", [[2, 5, 7], [3, 7, 2]], [FLOAT] * 2),
        ("aten::bmm", [[2, 5, 7], [3, 7, 2]], [FLOAT] * 2),
        ("aten::linear", [[3, 7], [6, 8], []], [FLOAT] * 2),
        ("aten::scaled_dot_product_attention", [[4, 16, 8]] * 3, [FLOAT] * 3),
    ],
    ids=str,
)
def test_what_cannot_be_told(operator, dims, types):
    assert _cost(operator, dims, types) is None


@given(
    st.sampled_from(
        [
            "aten::mm",
            "aten::addmm",
            "aten::matmul",
            "aten::linear",
            "aten::_grouped_mm",
            "aten::convolution",
            "aten::_flash_attention_forward",
            "aten::scaled_dot_product_attention",
        ]
    ),
    st.one_of(st.text(), st.recursive(st.none() | st.integers(), st.lists, max_leaves=20).map(json.dumps)),
    st.one_of(st.text(), st.lists(st.sampled_from([BF16, FLOAT, "Scalar", ""])).map(json.dumps)),
    st.one_of(st.text(), st.lists(st.text(max_size=4)).map(json.dumps)),
)
def test_inputs_of_any_form_raise_nothing(operator, dims, types, concrete):
    cost = call_cost(operator, Inputs(dims, types, concrete))
    assert cost is None or (cost.flops >= 0 and cost.bytes >= 0)


def test_the_same_work_as_torch_counts(tmp_path, capfd):
    torch = pytest.importorskip("torch")
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    functional = torch.nn.functional

    def calls():
        a, b = torch.randn(5, 7), torch.randn(7, 11)
        torch.mm(a, b)
        torch.addmm(torch.randn(11), a, b)
        torch.bmm(torch.randn(3, 5, 7), torch.randn(3, 7, 2))
        torch.baddbmm(torch.randn(3, 5, 2), torch.randn(3, 5, 7), torch.randn(3, 7, 2))
        functional.linear(torch.randn(2, 3, 8), torch.randn(6, 8), torch.randn(6))
        torch.matmul(torch.randn(4, 1, 5, 7), torch.randn(3, 7, 2))
        functional.conv2d(torch.randn(2, 6, 17, 13), torch.randn(4, 3, 3, 5), stride=2, padding=1, groups=2)
        functional.conv1d(torch.randn(2, 3, 10), torch.randn(5, 3, 4), dilation=2)

    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True
    ) as session:
        calls()
    session.export_chrome_trace(str(tmp_path / "t.json"))
    capfd.readouterr()
    trace = read_trace(tmp_path / "t.json")
    counted: dict[str, float] = {}
    for name, code in zip(trace.events.name.tolist(), trace.events.inputs.tolist(), strict=True):
        operator = trace.names[name]
        if is_costed(operator) and code >= 0:
            counted[operator] = counted.get(operator, 0) + call_cost(operator, trace.inputs[code]).flops
    with flop_counter.FlopCounterMode(display=False) as counter:
        calls()
    theirs = {str(op).replace(".", "::"): flops for op, flops in counter.get_flop_counts()["Global"].items()}
    assert {operator: counted[operator] for operator in theirs} == theirs
