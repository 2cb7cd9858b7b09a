"""Keeping a cache right while a block is skipped.

A model reads positions and mask sizes off its cache, mostly off the first slot of each kind. A skipped block
must therefore advance its own slots by the new tokens, as if it had run, on its own turn. Two ways:

`virtual`: the slot counts tokens and holds none: no memory, constant time.
`zeros`: the slot is filled with zeros of its true shape, `(batch, key-value heads, tokens, head_dim)`, which
costs what a real dummy cache costs.

What a slot needs depends on its kind alone; `prepare` is called when a block's slot is skipped for the first
time in a cache, `advance` on every turn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from maskprof.errors import MaskError
from maskprof.models.anatomy import KVShape, cache_slots


@dataclass(slots=True)
class Turn:
    """What is the same for all blocks of one forward: its new tokens and its batch rows."""

    tokens: int = 0
    batch: int = 1


class _Skipped:
    """What a growing slot does while it is skipped: it knows how long it is and holds no tensor.

    These members are laid over the slot's own class (`_skipped_class`), and the class of the slot object is
    exchanged: the cache, its list and whoever holds the slot see the same object, and `isinstance` still tells
    its kind.
    """

    skipped_tokens: int
    skipped_batch: int
    skipped_shape: KVShape
    dtype: torch.dtype
    device: torch.device

    def get_seq_length(self) -> int:
        return self.skipped_tokens

    def _zeros(self, width: int) -> torch.Tensor:
        window = getattr(self, "sliding_window", None)
        tokens = self.skipped_tokens if window is None else min(self.skipped_tokens, window - 1)
        # Made when looked at: on its turn a skipped block shall not cost the device even one operation.
        zero = torch.zeros(1, dtype=self.dtype, device=self.device)
        return zero.expand(self.skipped_batch, self.skipped_shape.heads, tokens, width)

    # Whoever looks at the tensors sees zeros of the true shape; they share one element of memory.
    @property
    def keys(self) -> torch.Tensor:
        return self._zeros(self.skipped_shape.key_dim)

    @keys.setter
    def keys(self, _tensor: torch.Tensor | None) -> None:
        pass

    @property
    def values(self) -> torch.Tensor:
        return self._zeros(self.skipped_shape.value_dim)

    @values.setter
    def values(self, _tensor: torch.Tensor | None) -> None:
        pass

    def update(self, *_args: Any, **_kwargs: Any) -> Any:
        raise MaskError(
            "this cache was filled while a mask skipped this block, which now runs: its keys and values are "
            "missing; start from an empty cache"
        )

    # Sliding slots read their length under this name.
    @property
    def cumulative_length(self) -> int:
        return self.skipped_tokens

    @cumulative_length.setter
    def cumulative_length(self, tokens: int) -> None:
        self.skipped_tokens = tokens

    def crop(self, tokens_to_remove: int) -> None:
        self.skipped_tokens = max(0, self.skipped_tokens - abs(tokens_to_remove))

    def reset(self) -> None:
        # Emptied, it is a slot like any other again, and may be filled under another mask.
        self.__class__ = type(self).__mro__[1]
        del self.skipped_tokens
        self.is_initialized = False
        self.reset()

    def reorder_cache(self, _beam_idx: torch.Tensor) -> None:
        pass

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.skipped_batch *= repeats

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.skipped_batch = int(indices.sum()) if indices.dtype == torch.bool else len(indices)

    def offload(self) -> None:
        pass

    def prefetch(self) -> None:
        pass


@cache
def _skipped_class(slot_class: type) -> type:
    # A copy of the members and not a mixin: Python exchanges a living object's class only for one whose first
    # base it has. Kinds of slots register themselves by `_layer_type` when their class is made; ours must not.
    members = {name: member for name, member in vars(_Skipped).items() if not name.startswith("__")}
    return type(f"Skipped{slot_class.__name__}", (slot_class,), {**members, "_layer_type": None})


_UNKNOWN_SHAPE = KVShape(heads=1, key_dim=1, value_dim=1)


def advance(
    cache_object: Any,
    slots: tuple[int, ...],
    shapes: Mapping[int, KVShape],
    turn: Turn,
    hidden: torch.Tensor,
    *,
    zeros: bool,
) -> None:
    """Advance a skipped block's slots by the turn's new tokens; `hidden` tells device and type."""
    present = cache_slots(cache_object)
    for index in slots:
        while len(present) <= index:
            present.append(cache_object.layer_class_to_replicate())
        slot = present[index]
        if getattr(slot, "skipped_tokens", None) is not None:
            slot.skipped_tokens += turn.tokens
        else:
            _advance_plain(slot, shapes.get(index), turn, hidden, zeros=zeros)


def dummy_pair(
    past: tuple[torch.Tensor, torch.Tensor] | None,
    shape: KVShape,
    turn: Turn,
    hidden: torch.Tensor,
    *,
    zeros: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A skipped block's `(k, v)` in decoders that hand them on as tuples: the past, longer by the new tokens."""
    before = past[0].shape[-2] if past is not None else 0
    if zeros:
        new = _zero_tensors(shape, turn, hidden)
        return new if past is None else (torch.cat((past[0], new[0]), -2), torch.cat((past[1], new[1]), -2))
    zero = hidden.new_zeros(1)
    tokens = before + turn.tokens
    return (
        zero.expand(turn.batch, shape.heads, tokens, shape.key_dim),
        zero.expand(turn.batch, shape.heads, tokens, shape.value_dim),
    )


def is_prepared(cache_object: Any, slots: tuple[int, ...]) -> bool:
    """Whether these slots have already been through a skipped turn (or hold tokens) in this cache."""
    present = cache_slots(cache_object)
    return all(
        index < len(present)
        and (
            getattr(present[index], "is_initialized", False)
            or any(getattr(present[index], "has_previous_state", {}).values())
        )
        for index in slots
    )


def _advance_plain(
    slot: Any, shape: KVShape | None, turn: Turn, hidden: torch.Tensor, *, zeros: bool
) -> None:
    states = getattr(slot, "has_previous_state", None)
    if isinstance(states, dict):
        # Linear attention has no length; the cache asks one such slot whether there is a past at all.
        for index in states:
            states[index] = True
    if not hasattr(slot, "get_seq_length"):
        return  # nothing but linear state, or a slot that by design holds nothing
    if hasattr(slot, "prefill_length"):
        # This kind, of unlimited_ocr, keeps the prompt for good beside its window, and books both itself.
        slot.update(*_zero_tensors(shape or _UNKNOWN_SHAPE, turn, hidden))
        return
    is_static = isinstance(getattr(slot, "cumulative_length", None), torch.Tensor)
    if getattr(slot, "is_compileable", False) and not is_static:
        # Early versions of transformers 5 count a static slot's tokens by looking for what is not zero in it.
        raise MaskError(
            f"a static cache of this version of transformers ({type(slot).__name__}) cannot be kept right for a "
            "skipped block; update transformers, or use the dynamic cache"
        )
    # In a graph that torch.compile makes, no object's class can be exchanged: a growing slot gets zeros there.
    filled = zeros or (torch.compiler.is_compiling() and not is_static)
    if filled and shape is not None:
        slot.update(*_zero_tensors(shape, turn, hidden))
    elif is_static:
        _advance_static(slot, turn, hidden)
    else:
        _become_skipped(slot, shape or _UNKNOWN_SHAPE, turn, hidden)


def _zero_tensors(shape: KVShape, turn: Turn, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows = (turn.batch, shape.heads, turn.tokens)
    return hidden.new_zeros(*rows, shape.key_dim), hidden.new_zeros(*rows, shape.value_dim)


def _advance_static(slot: Any, turn: Turn, hidden: torch.Tensor) -> None:
    """A static slot's length is a tensor at a fixed address, which CUDA graphs rely on: add in place."""
    if not slot.is_initialized:
        nothing = hidden.new_zeros(turn.batch, 1, 0, 1)
        slot.lazy_initialization(nothing, nothing)
    slot.cumulative_length.add_(turn.tokens)
    if hasattr(slot, "cumulative_length_int"):
        slot.cumulative_length_int += turn.tokens


def _become_skipped(slot: Any, shape: KVShape, turn: Turn, hidden: torch.Tensor) -> None:
    before = slot.get_seq_length()  # not 0 where a compiled forward has filled it with zeros
    slot.keys = slot.values = None
    slot.dtype, slot.device, slot.is_initialized = hidden.dtype, hidden.device, True
    kind: type = type(slot)
    slot.__class__ = _skipped_class(kind)
    slot.skipped_batch, slot.skipped_shape = turn.batch, shape
    slot.skipped_tokens = before + turn.tokens
