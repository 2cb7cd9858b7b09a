"""Attention and its gradients: matrix products of queries, keys, values and weights, without softmax.

FLOPs as `sdpa_flop_count` and `sdpa_backward_flop_count` in torch/utils/flop_counter.py count them: two products
forward; backward five, for a fused kernel is given no weights and makes them anew. Half of it where attention is known
to be causal and looks at as many keys as it has queries. Bytes are of queries, keys, values, results and gradients,
each once; masks are left out, since most of them are expanded from smaller ones, which shapes do not tell. Packed
sequences and windows have no figure: the shapes tell neither how long the sequences are nor how wide the window.
"""

from math import prod

from maskprof.analysis.call_inputs import Call, CallCost, Cost, UnknownCostError, sizes

_DIMENSIONS = 4
_CAUSAL = frozenset({"True", "1"})
# Masks of memory-efficient attention: causal from the upper left corner, and from the lower right.
_CAUSAL_MASKS = frozenset({"1", "2"})
_NO_WINDOW = frozenset({"-1", "None"})

_Shape = tuple[int, ...]


def attention(
    *,
    causal: int,
    heads_first: bool = True,
    lengths: tuple[int, ...] = (),
    windows: tuple[int, ...] = (),
    needs_windows: bool = False,
    causal_values: frozenset[str] = _CAUSAL,
) -> Cost:
    """Attention whose queries, keys and values are its first inputs.

    Args:
        causal: the position of its switch.
        heads_first: whether heads come before the length of the sequence.
        lengths: positions of the lengths of packed sequences.
        windows: positions of the widths of a window.
        needs_windows: whether not recorded means not known; else it is an argument that was not given.
        causal_values: what the switch says where attention is causal.
    """

    def cost(call: Call) -> CallCost:
        _refuse(call, lengths, windows, needs_windows=needs_windows)
        query, key, value = _shapes(call, 0, heads_first=heads_first)
        (batch, heads, queries, size), keys, value_size = query, key[2], value[3]
        is_causal = call.value(causal) in causal_values and queries == keys
        flops = 2.0 * batch * heads * queries * keys * (size + value_size)
        dtype, width = call.dtype(0)
        written = batch * heads * queries * value_size
        return CallCost(
            flops=flops / 2 if is_causal else flops,
            bytes=float(width * (prod(query) + prod(key) + prod(value) + written)),
            dtype=dtype,
            shapes=_described(query, key, is_causal=is_causal),
        )

    return cost


def attention_backward(
    *,
    out: int,
    logsumexp: int,
    causal: int,
    heads_first: bool = True,
    lengths: tuple[int, ...] = (),
    windows: tuple[int, ...] = (),
    needs_windows: bool = False,
    causal_values: frozenset[str] = _CAUSAL,
) -> Cost:
    """The gradients of queries, keys and values, which follow the result's gradient, the first input.

    Args:
        out: the position of the result.
        logsumexp: that of the softmax' sums, one for each head and query.
        causal: as for `attention`, like all others.
        heads_first: likewise.
        lengths: likewise.
        windows: likewise.
        needs_windows: likewise.
        causal_values: likewise.
    """

    def cost(call: Call) -> CallCost:
        _refuse(call, lengths, windows, needs_windows=needs_windows)
        query, key, value = _shapes(call, 1, heads_first=heads_first)
        (batch, heads, queries, size), keys, value_size = query, key[2], value[3]
        result = batch * heads * queries * value_size
        if prod(call.shape(0)) != result or prod(call.shape(out)) != result:
            raise UnknownCostError
        is_causal = call.value(causal) in causal_values and queries == keys
        flops = 2.0 * batch * heads * queries * keys * (3 * size + 2 * value_size)
        dtype, width = call.dtype(1)
        sums = prod(call.shape(logsumexp)) * call.dtype(logsumexp)[1]
        # Read, and their gradients written.
        both = 2 * (prod(query) + prod(key) + prod(value))
        return CallCost(
            flops=flops / 2 if is_causal else flops,
            bytes=float(width * (both + 2 * result) + sums),
            dtype=dtype,
            shapes=_described(query, key, is_causal=is_causal),
        )

    return cost


def efficient_attention() -> Cost:
    """`aten::_efficient_attention_forward(query, key, value, bias, cu_seqlens_q, ..., custom_mask_type, ...)`."""
    return attention(causal=9, heads_first=False, lengths=(4, 12), windows=(13,), causal_values=_CAUSAL_MASKS)


def efficient_attention_backward() -> Cost:
    """`aten::_efficient_attention_backward(grad_out_, query, key, value, bias, out, cu_seqlens_q, ...)`."""
    return attention_backward(
        out=5, logsumexp=10, causal=14, heads_first=False, lengths=(6,), windows=(18,), causal_values=_CAUSAL_MASKS
    )  # fmt: skip


def _refuse(call: Call, lengths: tuple[int, ...], windows: tuple[int, ...], *, needs_windows: bool) -> None:
    if any(call.shape(position) for position in lengths):
        raise UnknownCostError
    for window in windows:
        width = call.value(window)
        if width not in _NO_WINDOW and (width or needs_windows):
            raise UnknownCostError


def _shapes(call: Call, first: int, *, heads_first: bool) -> tuple[_Shape, _Shape, _Shape]:
    """Queries, keys and values as (batch, heads, length, size)."""
    shapes = [call.shape(first + place) for place in range(3)]
    if {len(shape) for shape in shapes} != {_DIMENSIONS}:
        raise UnknownCostError
    if not heads_first:
        shapes = [(batch, heads, length, size) for batch, length, heads, size in shapes]
    query, key, value = shapes
    if query[3] != key[3] or key[2] != value[2]:
        raise UnknownCostError
    return query, key, value


def _described(query: _Shape, key: _Shape, *, is_causal: bool) -> str:
    return f"q {sizes(query)}, kv {sizes(key)}{', causal' if is_causal else ''}"
