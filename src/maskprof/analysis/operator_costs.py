"""Work and least traffic of an operator's call, from the shapes that were recorded.

Conventions: a multiplication and an addition count as two FLOPs; every tensor is read or written once, with the
bytes of its type; what a fused kernel recomputes counts once. Attention counts its two matrix products and no
softmax. Attention that is known to be causal and looks at as many keys as it has queries counts half.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import msgspec

from maskprof.traces.columns import Inputs

# By what the profiler calls a type: what we call it, and its bytes.
_TYPES = {
    "c10::BFloat16": ("bf16", 2),
    "c10::Half": ("fp16", 2),
    "float": ("fp32", 4),
    "double": ("fp64", 8),
    "c10::Float8_e4m3fn": ("fp8", 1),
    "c10::Float8_e4m3fnuz": ("fp8", 1),
    "c10::Float8_e5m2": ("fp8", 1),
    "c10::Float8_e5m2fnuz": ("fp8", 1),
}
# What a product of narrow numbers is written as, where nothing says so.
_WIDER = 2

_MATRIX, _BATCH, _PICTURE = 2, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """One call's work: FLOPs, least bytes to and from memory, the type computed in, the shapes in words."""

    flops: float
    bytes: float
    dtype: str
    shapes: str


class _Call:
    """The inputs of a call, decoded."""

    def __init__(self, inputs: Inputs) -> None:
        self.dims = _listed(inputs.dims)
        self.types = _listed(inputs.types)
        self._concrete = inputs.concrete

    def shape(self, position: int) -> tuple[int, ...]:
        """Sizes of an input; empty where it is no tensor."""
        return _integers(self.dims[position]) if position < len(self.dims) else ()

    def dtype(self, position: int) -> tuple[str, int]:
        """Type of an input, and its bytes."""
        found = _TYPES.get(str(self.types[position])) if position < len(self.types) else None
        if found is None:
            raise _UnknownError
        return found

    def value(self, position: int) -> str:
        """An input that is no tensor, as text; empty where it was not recorded."""
        concrete = _listed(self._concrete)
        return str(concrete[position]) if position < len(concrete) else ""

    def numbers(self, position: int) -> tuple[int, ...]:
        """An input that is a list of numbers."""
        found = _integers(_listed(self.value(position)))
        if not found:
            raise _UnknownError
        return found


class _UnknownError(Exception):
    """The inputs do not say what the call did."""


def call_cost(operator: str, inputs: Inputs) -> CallCost | None:
    """What a call of `operator` with these inputs takes; None where it is no such operator or cannot be told."""
    known = _OPERATORS.get(operator)
    if known is None:
        return None
    try:
        return known(_Call(inputs))
    except (_UnknownError, ValueError, IndexError, TypeError):
        return None


def is_costed(operator: str) -> bool:
    """Whether the cost of `operator` follows from its shapes."""
    return operator in _OPERATORS


def _product(left: int, right: int, *, added: int | None = None) -> Callable[[_Call], CallCost]:
    """A product of two matrices or two batches of them at these positions, and what is added to it."""

    def cost(call: _Call) -> CallCost:
        a, b = call.shape(left), call.shape(right)
        if len(a) != len(b) or len(a) not in {_MATRIX, _BATCH} or a[-1] != b[-2] or a[:-2] != b[:-2]:
            raise _UnknownError
        return _matrix_cost(call, (left, right, added), _matmul_sizes(a, b))

    return cost


def _linear(call: _Call) -> CallCost:
    rows, weight = call.shape(0), call.shape(1)
    if len(weight) != _MATRIX or not rows or rows[-1] != weight[1]:
        raise _UnknownError
    return _matrix_cost(call, (0, 1, 2), (1, prod(rows[:-1]), rows[-1], weight[0]))


def _matmul(call: _Call) -> CallCost:
    a, b = call.shape(0), call.shape(1)
    if not a or not b:
        raise _UnknownError
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    if a[-1] != b[-2]:
        raise _UnknownError
    return _matrix_cost(call, (0, 1, None), _matmul_sizes(a, b))


def _grouped(call: _Call) -> CallCost:
    """A product for each group. Groups share out the rows, the columns, or what is summed over, unless both have
    a matrix for each of them.
    """
    a, b = call.shape(0), call.shape(1)
    if len(a) not in {_MATRIX, _BATCH} or len(b) not in {_MATRIX, _BATCH} or a[-1] != b[-2]:
        raise _UnknownError
    batch = a[0] if len(a) == len(b) == _BATCH else 1
    return _matrix_cost(call, (0, 1, None), (batch, a[-2], a[-1], b[-1]))


def _matmul_sizes(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int, int]:
    batch = 1
    for one, other in zip(_padded(a[:-2], len(b)), _padded(b[:-2], len(a)), strict=True):
        if one != other and 1 not in {one, other}:
            raise _UnknownError
        batch *= max(one, other)
    return batch, a[-2], a[-1], b[-1]


def _padded(sizes: Sequence[int], length: int) -> tuple[int, ...]:
    return (1,) * max(0, length - 2 - len(sizes)) + tuple(sizes)


def _matrix_cost(
    call: _Call, positions: tuple[int, int, int | None], sizes: tuple[int, int, int, int]
) -> CallCost:
    batch, rows, inner, columns = sizes
    left, right, added = positions
    dtype, width = call.dtype(left)
    _, other = call.dtype(right)
    a, b = call.shape(left), call.shape(right)
    written = max(width, other, _WIDER)
    least = width * prod(a) + other * prod(b) + written * batch * rows * columns
    if added is not None and (sizes_added := call.shape(added)):
        least += call.dtype(added)[1] * prod(sizes_added)
    return CallCost(
        flops=2.0 * batch * rows * inner * columns,
        bytes=float(least),
        dtype=dtype,
        shapes=f"{_sizes(a)} x {_sizes(b)}",
    )


def _attention(
    *, causal: int, heads_first: bool = True, lengths: int | None = None
) -> Callable[[_Call], CallCost]:
    """Attention: `causal` is the position of its switch, `lengths` that of the lengths of packed sequences."""

    def cost(call: _Call) -> CallCost:
        shapes = [call.shape(position) for position in range(3)]
        if {len(shape) for shape in shapes} != {_PICTURE} or (lengths is not None and call.shape(lengths)):
            raise _UnknownError
        if not heads_first:
            shapes = [(batch, heads, length, size) for batch, length, heads, size in shapes]
        (batch, heads, queries, size), (_, _, keys, key_size), (_, _, values, value_size) = shapes
        if size != key_size or keys != values:
            raise _UnknownError
        dtype, width = call.dtype(0)
        is_causal = call.value(causal) in {"True", "1"} and queries == keys
        flops = 2.0 * batch * heads * queries * keys * (size + value_size)
        written = batch * heads * queries * value_size
        return CallCost(
            flops=flops / 2 if is_causal else flops,
            bytes=float(width * (sum(prod(shape) for shape in shapes) + written)),
            dtype=dtype,
            shapes=f"q {_sizes(shapes[0])}, kv {_sizes(shapes[1])}{', causal' if is_causal else ''}",
        )

    return cost


def _convolution(
    *, stride: int, padding: int, dilation: int, transposed: int | None = None
) -> Callable[[_Call], CallCost]:
    """Convolution over any number of dimensions: the positions of what says how the kernel moves."""

    def cost(call: _Call) -> CallCost:
        picture, weight = call.shape(0), call.shape(1)
        if len(picture) != len(weight) or len(weight) <= _MATRIX:
            raise _UnknownError
        if transposed is not None and call.value(transposed) not in {"False", "0"}:
            raise _UnknownError
        space = len(weight) - _MATRIX
        steps, edges, holes = (
            _repeated(call.numbers(position), space) for position in (stride, padding, dilation)
        )
        out = [
            (size + 2 * edge - hole * (kernel - 1) - 1) // step + 1
            for size, kernel, step, edge, hole in zip(
                picture[2:], weight[2:], steps, edges, holes, strict=True
            )
        ]
        dtype, width = call.dtype(0)
        written = picture[0] * weight[0] * prod(out)
        return CallCost(
            flops=2.0 * written * prod(weight[1:]),
            bytes=float(width * (prod(picture) + prod(weight) + written)),
            dtype=dtype,
            shapes=f"{_sizes(picture)} * {_sizes(weight)}",
        )

    return cost


def _repeated(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers * length if len(numbers) == 1 else numbers


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _integers(values: object) -> tuple[int, ...]:
    if isinstance(values, list) and all(type(value) is int and value >= 0 for value in values):
        return tuple(values)
    raise _UnknownError


def _listed(text: str) -> list[object]:
    try:
        value = msgspec.json.decode(text) if text else []
    except (msgspec.DecodeError, RecursionError):
        return []
    return value if isinstance(value, list) else []


_OPERATORS: dict[str, Callable[[_Call], CallCost]] = {
    "aten::mm": _product(0, 1),
    "aten::bmm": _product(0, 1),
    "aten::addmm": _product(1, 2, added=0),
    "aten::baddbmm": _product(1, 2, added=0),
    "aten::_addmm_activation": _product(1, 2, added=0),
    "aten::_scaled_mm": _product(0, 1),
    "aten::matmul": _matmul,
    "aten::linear": _linear,
    "aten::_grouped_mm": _grouped,
    "aten::_scaled_grouped_mm": _grouped,
    "aten::scaled_dot_product_attention": _attention(causal=5),
    "aten::_scaled_dot_product_flash_attention": _attention(causal=4),
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention(causal=4),
    "aten::_scaled_dot_product_efficient_attention": _attention(causal=6),
    "aten::_scaled_dot_product_cudnn_attention": _attention(causal=6),
    "aten::_scaled_dot_product_attention_math": _attention(causal=5),
    "aten::_scaled_dot_product_fused_attention_overrideable": _attention(causal=5),
    "aten::_flash_attention_forward": _attention(causal=8, heads_first=False, lengths=3),
    "aten::conv2d": _convolution(stride=3, padding=4, dilation=5),
    "aten::convolution": _convolution(stride=3, padding=4, dilation=5, transposed=6),
    "aten::_convolution": _convolution(stride=3, padding=4, dilation=5, transposed=6),
    "aten::cudnn_convolution": _convolution(padding=2, stride=3, dilation=4),
    "aten::miopen_convolution": _convolution(padding=3, stride=4, dilation=5),
}
