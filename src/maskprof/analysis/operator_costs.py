"""Work and least traffic of an operator's call, from the shapes that were recorded: which operator is which.

Conventions: a multiplication and an addition count as two FLOPs, and only those of matrix products, attention and
convolutions count; every tensor is read or written once, with the bytes of its type. Where the shapes do not say what
a call did, it has no cost: fused experts (`vllm::moe_forward`: weights are not among the inputs), attention over
pages (`vllm::unified_attention_with_output`: lengths are not), products of packed weights.

The positions are those of the operators' schemas: of `aten` in native_functions.yaml of PyTorch, of `_C` in
csrc/torch_bindings.cpp of vLLM, of `sgl_kernel` in sgl-kernel/csrc/common_extension.cc of SGLang, of `flash_attn` in
flash_attn/flash_attn_interface.py of flash-attention.
"""

from maskprof.analysis.attention_costs import (
    attention,
    attention_backward,
    efficient_attention,
    efficient_attention_backward,
)
from maskprof.analysis.call_inputs import Call, CallCost, Cost, UnknownCostError
from maskprof.analysis.convolution_costs import convolution, convolution_backward
from maskprof.analysis.moving_costs import (
    binary,
    copied,
    filled,
    layer_norm,
    rms_norm,
    together,
    unary,
    written_to,
)
from maskprof.analysis.product_costs import grouped, linear, matmul, product, scaled_into
from maskprof.traces.columns import Inputs

_UNARY = (
    "abs", "neg", "exp", "exp2", "log", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "tanh", "sigmoid", "relu", "silu",
    "gelu", "erf", "pow", "clamp", "clamp_min", "clamp_max", "leaky_relu", "softplus", "elu", "hardswish", "mish",
)  # fmt: skip
_BINARY = ("add", "sub", "mul", "div", "maximum", "minimum")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_GRADIENTS = ("threshold_backward", "gelu_backward", "silu_backward", "sigmoid_backward", "tanh_backward")


def call_cost(operator: str, inputs: Inputs) -> CallCost | None:
    """What a call of `operator` with these inputs takes; None where it is no such operator or cannot be told."""
    known = _OPERATORS.get(operator)
    if known is None:
        return None
    try:
        return known(Call(inputs))
    except (UnknownCostError, ValueError, IndexError, TypeError):
        return None


def is_costed(operator: str) -> bool:
    """Whether the cost of `operator` follows from its shapes."""
    return operator in _OPERATORS


_OPERATORS: dict[str, Cost] = {
    "aten::mm": product(0, 1),
    "aten::bmm": product(0, 1),
    "aten::addmm": product(1, 2, added=0),
    "aten::baddbmm": product(1, 2, added=0),
    "aten::_addmm_activation": product(1, 2, added=0),
    "aten::_scaled_mm": product(0, 1),
    "aten::matmul": matmul,
    "aten::linear": linear,
    "aten::_grouped_mm": grouped,
    "aten::_scaled_grouped_mm": grouped,
    "_C::cutlass_scaled_mm": scaled_into,
    "aten::scaled_dot_product_attention": attention(causal=5),
    "aten::_scaled_dot_product_flash_attention": attention(causal=4),
    "aten::_scaled_dot_product_flash_attention_for_cpu": attention(causal=4),
    "aten::_scaled_dot_product_efficient_attention": attention(causal=6),
    "aten::_scaled_dot_product_cudnn_attention": attention(causal=6),
    "aten::_scaled_dot_product_attention_math": attention(causal=5),
    "aten::_scaled_dot_product_fused_attention_overrideable": attention(causal=5),
    "aten::_flash_attention_forward": attention(
        causal=8, heads_first=False, lengths=(3, 13), windows=(11, 12)
    ),
    "aten::_efficient_attention_forward": efficient_attention(),
    "flash_attn::_flash_attn_forward": attention(
        causal=5, heads_first=False, windows=(6, 7), needs_windows=True
    ),
    "aten::_scaled_dot_product_flash_attention_backward": attention_backward(out=4, logsumexp=5, causal=11),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": attention_backward(
        out=4, logsumexp=5, causal=7
    ),
    "aten::_scaled_dot_product_efficient_attention_backward": attention_backward(
        out=5, logsumexp=6, causal=11
    ),
    "aten::_scaled_dot_product_cudnn_attention_backward": attention_backward(out=4, logsumexp=5, causal=14),
    "aten::_flash_attention_backward": attention_backward(
        out=4, logsumexp=5, causal=11, heads_first=False, lengths=(6,), windows=(15, 16)
    ),
    "aten::_efficient_attention_backward": efficient_attention_backward(),
    "flash_attn::_flash_attn_backward": attention_backward(
        out=4, logsumexp=5, causal=11, heads_first=False, windows=(12, 13), needs_windows=True
    ),
    "aten::conv2d": convolution(stride=3, padding=4, dilation=5),
    "aten::convolution": convolution(stride=3, padding=4, dilation=5, transposed=6),
    "aten::_convolution": convolution(stride=3, padding=4, dilation=5, transposed=6),
    "aten::cudnn_convolution": convolution(padding=2, stride=3, dilation=4),
    "aten::miopen_convolution": convolution(padding=3, stride=4, dilation=5),
    "aten::convolution_backward": convolution_backward,
    **{f"aten::{name}{end}": unary for name in _UNARY for end in ("", "_")},
    **{f"aten::{name}": binary() for name in _BINARY},
    **{f"aten::{name}_": binary(in_place=True) for name in _BINARY},
    **{f"aten::{name}": binary(to_bool=True) for name in _COMPARISONS},
    **{f"aten::{name}": together(2) for name in _GRADIENTS},
    "aten::copy_": copied,
    "aten::fill_": filled,
    "aten::zero_": filled,
    "aten::native_layer_norm": layer_norm,
    "aten::_fused_rms_norm": rms_norm,
    # (out, input, weight, epsilon); (input, residual, weight, epsilon), both of which are written.
    "_C::rms_norm": written_to(0, read=(1, 2)),
    "_C::fused_add_rms_norm": written_to(0, 1, read=(0, 1, 2)),
    "sgl_kernel::rmsnorm": written_to(0, read=(1, 2)),
    "sgl_kernel::fused_add_rmsnorm": written_to(0, 1, read=(0, 1, 2)),
    # (out, input).
    "_C::silu_and_mul": written_to(0, read=(1,)),
    "_C::gelu_and_mul": written_to(0, read=(1,)),
    "_C::gelu_tanh_and_mul": written_to(0, read=(1,)),
    "sgl_kernel::silu_and_mul": written_to(0, read=(1,)),
    "sgl_kernel::gelu_and_mul": written_to(0, read=(1,)),
    "sgl_kernel::gelu_tanh_and_mul": written_to(0, read=(1,)),
    # (out, input, scale): given, or found and written.
    "_C::static_scaled_fp8_quant": written_to(0, read=(1, 2)),
    "_C::dynamic_per_token_scaled_fp8_quant": written_to(0, 2, read=(1,)),
}
