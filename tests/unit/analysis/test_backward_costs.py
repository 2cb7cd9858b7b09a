"""Work of attention's and convolution's gradients, and that arguments stand where PyTorch has them."""

import json

import pytest

from maskprof.analysis.call_inputs import CallCost
from maskprof.analysis.operator_costs import call_cost
from maskprof.traces.columns import Inputs

BF16, FLOAT, FP8 = "c10::BFloat16", "float", "c10::Float8_e4m3fn"
# Two sequences, four heads; 16 queries, 32 keys; numbers of 8, values of 6.
BATCH, HEADS, QUERIES, KEYS, SIZE, VALUES = 2, 4, 16, 32, 8, 6


def _cost(operator, dims, types, concrete=()):
    return call_cost(operator, Inputs(json.dumps(dims), json.dumps(types), json.dumps(list(concrete))))


def _backward(places, *, keys=KEYS, heads_first=True, causal=None, value="True"):
    """Inputs with `places` as name -> position; what is not named is no tensor."""
    shapes = {
        "grad": [BATCH, HEADS, QUERIES, VALUES],
        "query": [BATCH, HEADS, QUERIES, SIZE],
        "key": [BATCH, HEADS, keys, SIZE],
        "value": [BATCH, HEADS, keys, VALUES],
        "out": [BATCH, HEADS, QUERIES, VALUES],
    }
    if not heads_first:
        shapes = {name: [shape[0], shape[2], shape[1], shape[3]] for name, shape in shapes.items()}
    shapes["logsumexp"] = [BATCH, HEADS, QUERIES]
    length = max([*places.values(), causal or 0]) + 1
    dims, types, concrete = [[] for _ in range(length)], [""] * length, [""] * length
    for name, place in places.items():
        dims[place], types[place] = shapes[name], FLOAT if name == "logsumexp" else BF16
    if causal is not None:
        concrete[causal] = value
    return dims, types, concrete


FIRST = {"grad": 0, "query": 1, "key": 2, "value": 3}
GRADIENTS = [
    ("aten::_scaled_dot_product_flash_attention_backward", {"out": 4, "logsumexp": 5}, 11, True, "True"),
    ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", {"out": 4, "logsumexp": 5}, 7, True, "True"),
    ("aten::_scaled_dot_product_efficient_attention_backward", {"out": 5, "logsumexp": 6}, 11, True, "True"),
    ("aten::_scaled_dot_product_cudnn_attention_backward", {"out": 4, "logsumexp": 5}, 14, True, "True"),
    ("aten::_flash_attention_backward", {"out": 4, "logsumexp": 5}, 11, False, "True"),
    ("aten::_efficient_attention_backward", {"out": 5, "logsumexp": 10}, 14, False, "1"),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "places", "causal", "heads_first", "value"), GRADIENTS)
def test_gradients_of_attention(operator, places, causal, heads_first, value):
    dims, types, _ = _backward(FIRST | places, heads_first=heads_first)
    # Three products over the 8 numbers of queries and keys, two over the 6 of values.
    flops = 2 * BATCH * HEADS * QUERIES * KEYS * (3 * SIZE + 2 * VALUES)
    query, key, values, result = 1024, 2048, 1536, 768
    expected = CallCost(
        flops=flops,
        bytes=2 * (2 * (query + key + values) + 2 * result) + 4 * BATCH * HEADS * QUERIES,
        dtype="bf16",
        shapes="q 2x4x16x8, kv 2x4x32x8",
    )
    assert _cost(operator, dims, types) == expected
    # Causal counts half where there are as many keys as queries, and only there.
    with_more_keys = _backward(FIRST | places, heads_first=heads_first, causal=causal, value=value)
    assert _cost(operator, *with_more_keys).flops == flops
    alike = _backward(FIRST | places, keys=QUERIES, heads_first=heads_first, causal=causal, value=value)
    assert _cost(operator, *alike).flops == flops / 2 / 2
    assert _cost(operator, *alike).shapes == "q 2x4x16x8, kv 2x4x16x8, causal"


def test_gradients_as_torch_counts_them():
    counter = pytest.importorskip("torch.utils.flop_counter")
    dims, types, _ = _backward(FIRST | {"out": 4, "logsumexp": 5})
    theirs = counter.sdpa_backward_flop_count(*dims[:4])
    assert _cost("aten::_scaled_dot_product_flash_attention_backward", dims, types).flops == theirs


@pytest.mark.parametrize(
    ("operator", "windows"),
    [("flash_attn::_flash_attn_forward", (6, 7)), ("flash_attn::_flash_attn_backward", (12, 13))],
)
def test_windows_must_be_known_to_be_none(operator, windows):
    if operator.endswith("forward"):
        dims, types, concrete = [[2, 16, 4, 8]] * 3 + [[]] * 5, [BF16] * 3 + [""] * 5, [""] * 8
        flops = 4 * 2 * 4 * 16 * 16 * 8
    else:
        dims, types, concrete = _backward(
            FIRST | {"out": 4, "logsumexp": 5}, heads_first=False, causal=13, value=""
        )
        flops = 2 * BATCH * HEADS * QUERIES * KEYS * (3 * SIZE + 2 * VALUES)
    assert _cost(operator, dims, types, concrete) is None
    for width, expected in (("-1", flops), ("128", None)):
        concrete[windows[0]] = concrete[windows[1]] = width
        cost = _cost(operator, dims, types, concrete)
        assert (cost and cost.flops) == expected


@pytest.mark.parametrize(
    "operator", ["aten::_flash_attention_backward", "aten::_efficient_attention_backward"]
)
def test_packed_sequences_are_of_unknown_length(operator):
    places = {"out": 5, "logsumexp": 10} if "efficient" in operator else {"out": 4, "logsumexp": 5}
    dims, types, _ = _backward(FIRST | places, heads_first=False)
    dims += [[]] * (8 - len(dims))
    types += [""] * (8 - len(types))
    dims[6], types[6] = [5], "int"
    assert _cost(operator, dims, types) is None


def test_memory_efficient_attention():
    shape = [BATCH, QUERIES, HEADS, SIZE]
    dims, types = [shape] * 3 + [[]] * 7, [BF16] * 3 + [""] * 7
    full = 4 * BATCH * HEADS * QUERIES**2 * SIZE
    for mask, expected in (("0", full), ("1", full / 2), ("2", full / 2), ("", full)):
        found = _cost("aten::_efficient_attention_forward", dims, types, [""] * 9 + [mask])
        assert (found.flops, found.bytes) == (expected, 2 * 4 * 1024)
    dims[4] = [3]
    assert _cost("aten::_efficient_attention_forward", dims, types) is None


def test_the_result_and_its_gradient_must_fit():
    dims, types, _ = _backward(FIRST | {"out": 4, "logsumexp": 5})
    for place in (0, 4):
        wrong = [[1, 2, 3] if at == place else shape for at, shape in enumerate(dims)]
        assert _cost("aten::_scaled_dot_product_flash_attention_backward", wrong, types) is None


GIVEN, PICTURE, WEIGHT = [2, 4, 9, 6], [2, 6, 17, 13], [4, 3, 3, 5]


def _convolution_backward(mask, transposed="False"):
    dims = [GIVEN, PICTURE, WEIGHT] + [[]] * 8
    concrete = ["", "", "", "[4]", "[2, 2]", "[1, 1]", "[1, 1]", transposed, "[0, 0]", "2", mask]
    return _cost("aten::convolution_backward", dims, [FLOAT] * 3 + [""] * 8, concrete)


@pytest.mark.parametrize(
    ("mask", "gradients", "numbers"),
    [
        ("[True, True, True]", 2, 432 + 180 + 2652 + 2652 + 180 + 4),
        ("[True, False, False]", 1, 432 + 180 + 2652),
        ("[False, True, False]", 1, 432 + 2652 + 180),
        ("[False, False, True]", 0, 432 + 4),
    ],
)
def test_gradients_of_convolution(mask, gradients, numbers):
    # 432 results, each of 3 channels of its group over 3 x 5 places.
    assert _convolution_backward(mask) == CallCost(
        flops=gradients * 2 * 432 * 45, bytes=4 * numbers, dtype="fp32", shapes="2x6x17x13 * 4x3x3x5"
    )


def test_gradients_of_convolution_that_cannot_be_told():
    assert _convolution_backward("") is None
    assert _convolution_backward("[True, True, True]", transposed="True") is None


def test_gradients_of_convolution_as_torch_counts_them():
    """Theirs do not know groups: without them both agree."""
    counter = pytest.importorskip("torch.utils.flop_counter")
    given, picture, weight = [2, 4, 9, 6], [2, 6, 17, 13], [4, 6, 3, 5]
    theirs = counter.conv_backward_flop(
        given, picture, weight, [4], [2, 2], [1, 1], [1, 1], False, [0, 0], 1, [True, True, True],
        out_val=[picture, weight, [4]],
    )  # fmt: skip
    concrete = ["", "", "", "[4]", "[2, 2]", "[1, 1]", "[1, 1]", "False", "[0, 0]", "1", "[True, True, True]"]
    dims = [given, picture, weight] + [[]] * 8
    assert _cost("aten::convolution_backward", dims, [FLOAT] * 3 + [""] * 8, concrete).flops == theirs


def test_products_into_a_result_that_is_given():
    dims = [[5, 11], [5, 7], [7, 11], [1], [1], [11]]
    types = [BF16, FP8, FP8, FLOAT, FLOAT, BF16]
    assert _cost("_C::cutlass_scaled_mm", dims, types) == CallCost(
        flops=770, bytes=2 * 55 + 35 + 77 + 4 + 4 + 22, dtype="fp8", shapes="5x7 x 7x11"
    )
    assert _cost("_C::cutlass_scaled_mm", [[5, 12], *dims[1:]], types) is None
    # Weights of four bits, packed.
    assert _cost("_C::cutlass_scaled_mm", dims, [BF16, FP8, "unsigned char", *types[3:]]) is None
    assert _cost("aten::mm", [[5, 7], [7, 11]], [BF16, "int"]) is None


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (
            "_flash_attention_forward",
            "3 cum_seq_q, 8 is_causal, 11 window_size_left, 12 window_size_right, 13 seqused_k",
        ),
        ("_efficient_attention_forward", "4 cu_seqlens_q, 9 custom_mask_type, 12 seqlen_k, 13 window_size"),
        ("_scaled_dot_product_flash_attention_backward", "1 query, 4 out, 5 logsumexp, 11 is_causal"),
        ("_scaled_dot_product_flash_attention_for_cpu_backward", "1 query, 4 out, 5 logsumexp, 7 is_causal"),
        ("_scaled_dot_product_efficient_attention_backward", "1 query, 5 out, 6 logsumexp, 11 is_causal"),
        ("_scaled_dot_product_cudnn_attention_backward", "1 query, 4 out, 5 logsumexp, 14 is_causal"),
        (
            "_flash_attention_backward",
            "1 query, 4 out, 5 logsumexp, 6 cum_seq_q, 11 is_causal, 15 window_size_left",
        ),
        ("_flash_attention_backward", "16 window_size_right"),
        (
            "_efficient_attention_backward",
            "1 query, 5 out, 6 cu_seqlens_q, 10 logsumexp, 14 custom_mask_type",
        ),
        ("_efficient_attention_backward", "18 window_size"),
        ("convolution_backward", "0 grad_output, 1 input, 2 weight, 7 transposed, 10 output_mask"),
        ("native_layer_norm", "0 input, 2 weight, 3 bias"),
        ("_fused_rms_norm", "0 input, 2 weight"),
    ],
)
def test_arguments_stand_where_torch_has_them(operator, arguments):
    torch = pytest.importorskip("torch")
    schema = getattr(torch.ops.aten, operator).default._schema
    found = [f"{place} {argument.name}" for place, argument in enumerate(schema.arguments)]
    assert set(arguments.split(", ")) <= set(found)
