"""Convolutions over any number of dimensions, and their gradients.

FLOPs as `conv_flop_count` and `conv_backward_flop` in torch/utils/flop_counter.py count them: two for each number of
the result, input channel of its group and place of the kernel; each of the two gradients is as much again.
"""

import re
from math import prod

from maskprof.analysis.call_inputs import Call, CallCost, Cost, UnknownCostError, sizes

_MATRIX = 2
_WORD = re.compile(r"True|False|[01]")


def convolution(*, stride: int, padding: int, dilation: int, transposed: int | None = None) -> Cost:
    """Convolution over any number of dimensions: the positions of what says how the kernel moves."""

    def cost(call: Call) -> CallCost:
        picture, weight = call.shape(0), call.shape(1)
        if len(picture) != len(weight) or len(weight) <= _MATRIX:
            raise UnknownCostError
        if transposed is not None and call.value(transposed) not in {"False", "0"}:
            raise UnknownCostError
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
            shapes=f"{sizes(picture)} * {sizes(weight)}",
        )

    return cost


def convolution_backward(call: Call) -> CallCost:
    """`aten::convolution_backward(grad_output, input, weight, bias_sizes, ..., transposed, ..., output_mask)`.

    The mask says which of the gradients of input, weight and bias were asked for. That of the bias is a sum, and counts
    no FLOPs.
    """
    given, picture, weight = (call.shape(position) for position in range(3))
    wanted = [word in {"True", "1"} for word in _WORD.findall(call.value(10))]
    if not len(given) == len(picture) == len(weight) > _MATRIX or len(wanted) != 3:  # noqa: PLR2004 - gradients
        raise UnknownCostError
    if call.value(7) not in {"False", "0"} or given[:2] != (picture[0], weight[0]):
        raise UnknownCostError
    of_picture, of_weight, of_bias = wanted
    dtype, width = call.dtype(0)
    read = prod(given) + prod(weight) * of_picture + prod(picture) * of_weight
    written = prod(picture) * of_picture + prod(weight) * of_weight + weight[0] * of_bias
    return CallCost(
        flops=2.0 * prod(given) * prod(weight[1:]) * (of_picture + of_weight),
        bytes=float(width * (read + written)),
        dtype=dtype,
        shapes=f"{sizes(picture)} * {sizes(weight)}",
    )


def _repeated(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers * length if len(numbers) == 1 else numbers
