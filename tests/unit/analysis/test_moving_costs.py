"""Bytes of operators that move numbers: each tensor once, with the width of its type."""

import json

import pytest

from maskprof.analysis.call_inputs import CallCost
from maskprof.analysis.operator_costs import call_cost
from maskprof.traces.columns import Inputs

BF16, HALF, FLOAT, DOUBLE, FP8 = "c10::BFloat16", "c10::Half", "float", "double", "c10::Float8_e4m3fn"
LONG, INT, BOOL, NUMBER = "long int", "int", "bool", "Scalar"


def _cost(operator, dims, types):
    return call_cost(operator, Inputs(json.dumps(dims), json.dumps(types), ""))


@pytest.mark.parametrize(
    ("operator", "dims", "types", "expected"),
    [
        ("aten::silu", [[5, 7]], [BF16], (2 * 35 * 2, "bf16", "5x7")),
        ("aten::relu_", [[5, 7]], [FLOAT], (2 * 35 * 4, "fp32", "5x7")),
        ("aten::pow", [[5, 7], []], [FLOAT, NUMBER], (2 * 35 * 4, "fp32", "5x7")),
        ("aten::rsqrt", [[]], [FLOAT], (8, "fp32", "1")),
        ("aten::add", [[5, 7], [5, 7], []], [BF16, BF16, NUMBER], (3 * 35 * 2, "bf16", "5x7, 5x7")),
        # Repeated along what the other one has more.
        ("aten::mul", [[7], [3, 5, 7]], [BF16, BF16], (2 * (7 + 105 + 105), "bf16", "7, 3x5x7")),
        ("aten::mul", [[3, 1, 7], [5, 1]], [FLOAT] * 2, (4 * (21 + 5 + 105), "fp32", "3x1x7, 5x1")),
        ("aten::mul", [[5, 7], []], [BF16, NUMBER], (2 * 35 * 2, "bf16", "5x7")),
        # A tensor of one number has no say in the type.
        ("aten::mul", [[5, 7], []], [FLOAT, DOUBLE], (35 * 4 + 8 + 35 * 4, "fp32", "5x7")),
        ("aten::add", [[], [5, 7], []], [DOUBLE, BF16, NUMBER], (8 + 35 * 2 + 35 * 2, "fp64", "5x7")),
        ("aten::div", [[5, 7], []], [FLOAT, LONG], (35 * 4 + 8 + 35 * 4, "fp32", "5x7")),
        # The wider type is the result's; half and bfloat16 give float.
        ("aten::mul", [[5, 7], [5, 7]], [BF16, FLOAT], (35 * (2 + 4 + 4), "bf16", "5x7, 5x7")),
        ("aten::mul", [[5, 7], [5, 7]], [BF16, HALF], (35 * (2 + 2 + 4), "bf16", "5x7, 5x7")),
        ("aten::add", [[5], [5], []], [LONG, LONG, NUMBER], (5 * 24, "int64", "5, 5")),
        ("aten::mul_", [[5, 7], [5, 1]], [BF16, FLOAT], (35 * 2 + 5 * 4 + 35 * 2, "bf16", "5x7, 5x1")),
        ("aten::gt", [[5, 7], []], [BF16, NUMBER], (35 * (2 + 1), "bf16", "5x7")),
        ("aten::eq", [[5, 7], [5, 7]], [LONG, LONG], (35 * (8 + 8 + 1), "int64", "5x7, 5x7")),
        ("aten::copy_", [[5, 7], [5, 7], []], [BF16, FLOAT, NUMBER], (35 * (2 + 4), "bf16", "5x7")),
        ("aten::copy_", [[5, 7], [7], []], [LONG, INT, NUMBER], (35 * 8 + 7 * 4, "int64", "7 to 5x7")),
        ("aten::fill_", [[5, 7], []], [BOOL, NUMBER], (35, "bool", "5x7")),
        ("aten::zero_", [[5, 7]], [FLOAT], (35 * 4, "fp32", "5x7")),
        ("aten::silu_backward", [[5, 7], [5, 7]], [BF16] * 2, (3 * 35 * 2, "bf16", "5x7")),
        (
            "aten::threshold_backward",
            [[5, 7], [5, 7], []],
            [FLOAT, FLOAT, NUMBER],
            (3 * 35 * 4, "fp32", "5x7"),
        ),
        # Input, weight, bias, result; mean and spread of each of 15 rows as float.
        (
            "aten::native_layer_norm",
            [[3, 5, 8], [], [8], [8], []],
            [BF16, "ScalarList", BF16, BF16, NUMBER],
            (2 * (120 + 8 + 8 + 120) + 2 * 15 * 4, "bf16", "3x5x8"),
        ),
        (
            "aten::_fused_rms_norm",
            [[3, 5, 8], [], [8], []],
            [DOUBLE, "ScalarList", DOUBLE, ""],
            (8 * (120 + 8 + 120) + 15 * 8, "fp64", "3x5x8"),
        ),
        # Result, input, weight.
        (
            "_C::rms_norm",
            [[5, 8], [5, 8], [8], []],
            [BF16, BF16, BF16, NUMBER],
            (2 * (40 + 40 + 8), "bf16", "5x8"),
        ),
        # Input and residual are both read and written.
        (
            "_C::fused_add_rms_norm",
            [[5, 8], [5, 8], [8], []],
            [BF16, BF16, BF16, NUMBER],
            (2 * (4 * 40 + 8), "bf16", "5x8"),
        ),
        (
            "sgl_kernel::fused_add_rmsnorm",
            [[5, 8], [5, 8], [8], [], []],
            [HALF, HALF, HALF, NUMBER, NUMBER],
            (2 * (4 * 40 + 8), "fp16", "5x8"),
        ),
        ("sgl_kernel::rmsnorm", [[5, 8], [5, 8], [8]], [HALF] * 3, (2 * (40 + 40 + 8), "fp16", "5x8")),
        ("_C::silu_and_mul", [[5, 4], [5, 8]], [BF16, BF16], (2 * (20 + 40), "bf16", "5x8")),
        ("_C::gelu_and_mul", [[5, 4], [5, 8]], [BF16, BF16], (2 * (20 + 40), "bf16", "5x8")),
        ("_C::gelu_tanh_and_mul", [[5, 4], [5, 8]], [BF16, BF16], (2 * (20 + 40), "bf16", "5x8")),
        ("sgl_kernel::silu_and_mul", [[5, 4], [5, 8]], [BF16, BF16], (2 * (20 + 40), "bf16", "5x8")),
        ("sgl_kernel::gelu_and_mul", [[5, 4], [5, 8]], [BF16, BF16], (2 * (20 + 40), "bf16", "5x8")),
        ("sgl_kernel::gelu_tanh_and_mul", [[5, 4], [5, 8]], [BF16, BF16], (2 * (20 + 40), "bf16", "5x8")),
        (
            "_C::static_scaled_fp8_quant",
            [[5, 8], [5, 8], [1]],
            [FP8, BF16, FLOAT],
            (40 + 80 + 4, "fp8", "5x8"),
        ),
        (
            "_C::dynamic_per_token_scaled_fp8_quant",
            [[5, 8], [5, 8], [5, 1], []],
            [FP8, BF16, FLOAT, ""],
            (40 + 80 + 20, "fp8", "5x8"),
        ),
    ],
)
def test_bytes(operator, dims, types, expected):
    least, dtype, shapes = expected
    assert _cost(operator, dims, types) == CallCost(flops=0.0, bytes=least, dtype=dtype, shapes=shapes)


@pytest.mark.parametrize(
    ("operator", "dims", "types"),
    [
        # The result of integers may be floating point.
        ("aten::rsqrt", [[5]], [LONG]),
        ("aten::mul", [[5], []], [LONG, NUMBER]),
        ("aten::mul", [[5], [5]], [LONG, FLOAT]),
        ("aten::sub", [[5], [5]], [BOOL, BOOL]),
        # A tensor that the result is written to.
        ("aten::add", [[5], [5], [], [5]], [FLOAT, FLOAT, NUMBER, FLOAT]),
        ("aten::neg", [[5], [5]], [FLOAT, FLOAT]),
        ("aten::pow", [[5], [5]], [FLOAT, FLOAT]),
        ("aten::silu_backward", [[5], [5], [5]], [FLOAT] * 3),
        ("aten::mul", [[5], [4]], [FLOAT, FLOAT]),
        ("aten::mul_", [[5], [3, 5]], [FLOAT, FLOAT]),
        ("aten::mul", [[5], [5]], ["c10::Float4_e2m1fn_x2", FLOAT]),
        ("aten::mul", [[5], [[5], [5]]], [FLOAT, "TensorList"]),
        ("aten::silu_backward", [[5], [6]], [FLOAT, FLOAT]),
        ("aten::silu_backward", [[5], [5]], [FLOAT, BF16]),
        ("aten::copy_", [[5], []], [FLOAT, NUMBER]),
        ("aten::native_layer_norm", [[3, 8], [], [], [], []], [FLOAT, "ScalarList", "", "", NUMBER]),
        ("aten::native_layer_norm", [[3, 8], [], [5], [5], []], [FLOAT, "ScalarList", FLOAT, FLOAT, NUMBER]),
        ("_C::rms_norm", [[5, 8], [5, 8], []], [BF16, BF16, NUMBER]),
        # What the shapes do not tell.
        ("aten::sum", [[5, 8], [], [], []], [FLOAT, "ScalarList", NUMBER, ""]),
        ("aten::cat", [[[5], [5]], []], ["TensorList", NUMBER]),
        ("aten::embedding", [[50, 8], [5], [], [], []], [BF16, LONG, NUMBER, NUMBER, NUMBER]),
        ("vllm::moe_forward", [[8, 16], [8, 4], []], [BF16, BF16, ""]),
        ("vllm::unified_attention_with_output", [[8, 2, 4]] * 4, [BF16] * 4),
    ],
    ids=str,
)
def test_what_cannot_be_told(operator, dims, types):
    assert _cost(operator, dims, types) is None
