"""Operators that move numbers and compute little: no FLOPs are counted, bytes follow from their tensors.

Every tensor is read once in full, one that was expanded from a smaller one too, and every result is written once. The
results' shapes and types are those of broadcasting and of PyTorch's type promotion (pytorch.org/docs, "Broadcasting
semantics" and "torch.result_type"). Where those do not tell a result (reductions and concatenation: the dimension is
not recorded; casts by an argument; lookups, whose rows may repeat), there is no figure.
"""

from math import prod

from maskprof.analysis.call_inputs import Call, CallCost, Cost, UnknownCostError, sizes

_ORDER = {"fp64": 3, "fp32": 2, "bf16": 1, "fp16": 1}
# Mean and spread of a row are kept in this many bytes, or the input's where it is wider.
_STATISTIC_BYTES = 4


def unary(call: Call) -> CallCost:
    """A result of the input's shape and type; floating point only, since integers may become such."""
    if not call.is_floating(0) or any(call.is_tensor(position) for position in range(1, len(call))):
        raise UnknownCostError
    return _moved(call, read=(0,), written=_bytes(call, 0), shapes=sizes(call.shape(0)))


def binary(*, in_place: bool = False, to_bool: bool = False) -> Cost:
    """Two inputs, the second one possibly a number; a third one that is a number."""

    def cost(call: Call) -> CallCost:
        if any(call.is_tensor(position) for position in range(2, len(call))) or not call.is_tensor(0):
            raise UnknownCostError
        shape, width = _result(call)
        if in_place and shape != call.shape(0):
            raise UnknownCostError
        if in_place:
            width = call.dtype(0)[1]
        elif to_bool:
            width = 1
        read = (0, 1) if call.is_tensor(1) else (0,)
        shapes = ", ".join(sizes(call.shape(position)) for position in read if call.shape(position))
        return _moved(call, read=read, written=prod(shape) * width, shapes=shapes)

    return cost


def together(count: int) -> Cost:
    """As many inputs, and a result, all of one shape and type."""

    def cost(call: Call) -> CallCost:
        first = (call.shape(0), call.dtype(0))
        if any((call.shape(p), call.dtype(p)) != first for p in range(1, count)):
            raise UnknownCostError
        if any(call.is_tensor(position) for position in range(count, len(call))):
            raise UnknownCostError
        return _moved(call, read=range(count), written=_bytes(call, 0), shapes=sizes(call.shape(0)))

    return cost


def copied(call: Call) -> CallCost:
    """`aten::copy_(self, source)`: any types; the source may be smaller and is then repeated."""
    if not call.is_tensor(0) or not call.is_tensor(1):
        raise UnknownCostError
    target, source = call.shape(0), call.shape(1)
    shapes = sizes(target) if source == target else f"{sizes(source)} to {sizes(target)}"
    return _moved(call, read=(1,), written=_bytes(call, 0), shapes=shapes)


def filled(call: Call) -> CallCost:
    """A tensor that is written and not read."""
    return _moved(call, read=(), written=_bytes(call, 0), shapes=sizes(call.shape(0)))


def layer_norm(call: Call) -> CallCost:
    """`aten::native_layer_norm(input, normalized_shape, weight, bias, eps)`: writes mean and spread of each row too.

    Without a weight nothing says how long a row is.
    """
    return _norm(call, weight=2, others=(3,), statistics=2)


def rms_norm(call: Call) -> CallCost:
    """`aten::_fused_rms_norm(input, normalized_shape, weight, eps)`: writes the spread of each row too."""
    return _norm(call, weight=2, others=(), statistics=1)


def written_to(*written: int, read: tuple[int, ...]) -> Cost:
    """A custom operator that is given what it writes: positions of what is written, and of what is read."""

    def cost(call: Call) -> CallCost:
        if not all(call.is_tensor(position) for position in {*written, *read}):
            raise UnknownCostError
        total = sum(_bytes(call, position) for position in written)
        return _moved(call, read=read, written=total, shapes=sizes(call.shape(read[0])))

    return cost


def _norm(call: Call, *, weight: int, others: tuple[int, ...], statistics: int) -> CallCost:
    shape, row = call.shape(0), prod(call.shape(weight))
    if not call.is_floating(0) or not call.is_tensor(weight) or not row or prod(shape) % row:
        raise UnknownCostError
    read = (0, weight, *(position for position in others if call.is_tensor(position)))
    kept = statistics * (prod(shape) // row) * max(_STATISTIC_BYTES, call.dtype(0)[1])
    return _moved(call, read=read, written=_bytes(call, 0) + kept, shapes=sizes(shape))


def _result(call: Call) -> tuple[tuple[int, ...], int]:
    """Shape and width of what comes of the first two inputs."""
    shape, width = call.shape(0), call.dtype(0)[1]
    if not call.is_tensor(1):
        if not call.is_floating(0):
            raise UnknownCostError
        return shape, width
    other, other_width = call.shape(1), call.dtype(1)[1]
    if call.dtype(0) != call.dtype(1):
        # A tensor of one number has no say in the type of another that has dimensions, both being floating point.
        if shape and not other and call.is_floating(0):
            other_width = width
        elif other and not shape and call.is_floating(1):
            width = other_width
        elif call.is_floating(0) and call.is_floating(1):
            if _ORDER[call.dtype(0)[0]] == _ORDER[call.dtype(1)[0]]:
                # Half and bfloat16 give float.
                width = other_width = 4
        else:
            raise UnknownCostError
    elif not call.is_floating(0) and call.dtype(0)[0] == "bool":
        raise UnknownCostError
    return _broadcast(shape, other), max(width, other_width)


def _broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    length = max(len(one), len(other))
    pairs = zip((1,) * (length - len(one)) + one, (1,) * (length - len(other)) + other, strict=True)
    found = []
    for a, b in pairs:
        if a != b and 1 not in {a, b}:
            raise UnknownCostError
        found.append(b if a == 1 else a)
    return tuple(found)


def _moved(call: Call, *, read: "tuple[int, ...] | range", written: float, shapes: str) -> CallCost:
    total = written + sum(_bytes(call, position) for position in read)
    return CallCost(flops=0.0, bytes=float(total), dtype=call.dtype(0)[0], shapes=shapes)


def _bytes(call: Call, position: int) -> int:
    return prod(call.shape(position)) * call.dtype(position)[1]
