"""Matrix products: what they take follows from their two operands.

2 m k n FLOPs, as `mm_flop` and its like in torch/utils/flop_counter.py count them; each operand and what is added read
once, the result written once.
"""

from collections.abc import Sequence
from math import prod

from maskprof.analysis.call_inputs import Call, CallCost, Cost, UnknownCostError, sizes

# What a product of narrow numbers is written as, where nothing says so.
_WIDER = 2
_MATRIX, _BATCH = 2, 3
# Integers may be weights of four bits, packed.
_MULTIPLIED = frozenset({"bf16", "fp16", "fp32", "fp64", "fp8"})


def product(left: int, right: int, *, added: int | None = None) -> Cost:
    """A product of two matrices or two batches of them at these positions, and what is added to it."""

    def cost(call: Call) -> CallCost:
        a, b = call.shape(left), call.shape(right)
        if len(a) != len(b) or len(a) not in {_MATRIX, _BATCH} or a[-1] != b[-2] or a[:-2] != b[:-2]:
            raise UnknownCostError
        return _matrix_cost(call, (left, right, added), _matmul_sizes(a, b))

    return cost


def linear(call: Call) -> CallCost:
    rows, weight = call.shape(0), call.shape(1)
    if len(weight) != _MATRIX or not rows or rows[-1] != weight[1]:
        raise UnknownCostError
    return _matrix_cost(call, (0, 1, 2), (1, prod(rows[:-1]), rows[-1], weight[0]))


def matmul(call: Call) -> CallCost:
    a, b = call.shape(0), call.shape(1)
    if not a or not b:
        raise UnknownCostError
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    if a[-1] != b[-2]:
        raise UnknownCostError
    return _matrix_cost(call, (0, 1, None), _matmul_sizes(a, b))


def grouped(call: Call) -> CallCost:
    """A product for each group. Groups share out the rows, the columns, or what is summed over, unless both have
    a matrix for each of them.
    """
    a, b = call.shape(0), call.shape(1)
    if len(a) not in {_MATRIX, _BATCH} or len(b) not in {_MATRIX, _BATCH} or a[-1] != b[-2]:
        raise UnknownCostError
    batch = a[0] if len(a) == len(b) == _BATCH else 1
    return _matrix_cost(call, (0, 1, None), (batch, a[-2], a[-1], b[-1]))


def _matmul_sizes(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int, int]:
    batch = 1
    for one, other in zip(_padded(a[:-2], len(b)), _padded(b[:-2], len(a)), strict=True):
        if one != other and 1 not in {one, other}:
            raise UnknownCostError
        batch *= max(one, other)
    return batch, a[-2], a[-1], b[-1]


def _padded(sizes: Sequence[int], length: int) -> tuple[int, ...]:
    return (1,) * max(0, length - 2 - len(sizes)) + tuple(sizes)


def _matrix_cost(
    call: Call, positions: tuple[int, int, int | None], factors: tuple[int, int, int, int]
) -> CallCost:
    batch, rows, inner, columns = factors
    left, right, added = positions
    dtype, width = call.dtype(left)
    other_dtype, other = call.dtype(right)
    if not {dtype, other_dtype} <= _MULTIPLIED:
        raise UnknownCostError
    a, b = call.shape(left), call.shape(right)
    written = max(width, other, _WIDER)
    least = width * prod(a) + other * prod(b) + written * batch * rows * columns
    if added is not None and (sizes_added := call.shape(added)):
        least += call.dtype(added)[1] * prod(sizes_added)
    return CallCost(
        flops=2.0 * batch * rows * inner * columns,
        bytes=float(least),
        dtype=dtype,
        shapes=f"{sizes(a)} x {sizes(b)}",
    )


def scaled_into(call: Call) -> CallCost:
    """`_C::cutlass_scaled_mm(out, a, b, a_scales, b_scales, bias)` of vLLM (csrc/torch_bindings.cpp)."""
    out, a, b = (call.shape(position) for position in range(3))
    if len(a) != _MATRIX or len(b) != _MATRIX or a[1] != b[0] or out != (a[0], b[1]):
        raise UnknownCostError
    if not {call.dtype(1)[0], call.dtype(2)[0]} <= _MULTIPLIED | {"int8"}:
        raise UnknownCostError
    tensors = [position for position in range(len(call)) if call.is_tensor(position)]
    return CallCost(
        flops=2.0 * a[0] * a[1] * b[1],
        bytes=float(sum(prod(call.shape(position)) * call.dtype(position)[1] for position in tensors)),
        dtype=call.dtype(1)[0],
        shapes=f"{sizes(a)} x {sizes(b)}",
    )
