"""What is known of a model's blocks once it has been probed, and how to read a block's call by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

ArgumentPlace = str | int
"""Where a value stands in a call: a keyword's name, or a position."""

_PAIR = 2
_KV_DIMENSIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnForm:
    """What a block returns.

    Attributes:
        container: `tensor` (the hidden states alone), `tuple` or `list`.
        length: number of elements, 1 for a bare tensor.
        threaded: per element after the first, where its value came in, if the model hands it from block to
            block (a recurrent state, the indices of a shared indexer); None where it starts in the block.
        legacy_cache: the element that is a block's own `(k, v)` pair, in decoders older than cache objects.
    """

    container: str = "tensor"
    length: int = 1
    threaded: tuple[ArgumentPlace | None, ...] = ()
    legacy_cache: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """The shape of one cache slot's tensors, `(batch, heads, tokens, head_dim)`, without batch and tokens."""

    heads: int
    key_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAnatomy:
    """One block: what it returns, where it gets its cache, and which slots of it are its own.

    `legacy_shape` is the shape of its own `(k, v)` pair, in decoders older than cache objects.
    """

    returns: ReturnForm = ReturnForm()
    cache_place: ArgumentPlace | None = None
    slots: tuple[int, ...] = ()
    kv_shapes: Mapping[int, KVShape] = field(default_factory=dict)
    legacy_shape: KVShape | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A model's block list: its path from the model (`model.layers`), and each block."""

    path: str
    blocks: tuple[BlockAnatomy, ...]


def owner_of(model: nn.Module, anatomy: Anatomy) -> nn.Module:
    """The module that holds the list as a child; it may be a mere container."""
    return model.get_submodule(anatomy.path.rpartition(".")[0])


def looping_module(model: nn.Module, anatomy: Anatomy) -> nn.Module:
    """The innermost module around the list whose own forward runs, and so loops over the blocks."""
    path = anatomy.path.rpartition(".")[0]
    # A ModuleDict holds the list in some decoders, and is never called.
    while path and isinstance(model.get_submodule(path), (nn.ModuleDict, nn.ModuleList)):
        path = path.rpartition(".")[0]
    return model.get_submodule(path)


def hidden_states(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A block's input: the first positional argument in all architectures seen, else `hidden_states`."""
    return args[0] if args else kwargs.get("hidden_states")


def argument(place: ArgumentPlace, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The value at a place of a call, None where the call has none there."""
    if isinstance(place, str):
        return kwargs.get(place)
    return args[place] if place < len(args) else None


def is_kv_pair(value: Any) -> bool:
    """Whether this is a decoder's `(k, v)`, two tensors of shape `(batch, heads, tokens, head_dim)`."""
    return isinstance(value, tuple) and len(value) == _PAIR and all(is_kv(tensor) for tensor in value)


def is_kv(value: Any) -> bool:
    """Whether this is a tensor of keys or values by its form, `(batch, heads, tokens, head_dim)`."""
    return isinstance(value, torch.Tensor) and value.dim() == _KV_DIMENSIONS


def find_cache(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The transformers cache among a call's arguments, None where there is none."""
    for value in (*args, *kwargs.values()):
        if is_cache(value):
            return value
    return None


def is_cache(value: Any) -> bool:
    """Whether this is a transformers cache object (also one of a model's own, as long as it has slots)."""
    return hasattr(value, "get_seq_length") and (
        hasattr(value, "layers") or hasattr(value, "self_attention_cache")
    )


def cache_slots(cache: Any) -> list[Any]:
    """The slots of a cache: one per attention, in the decoder's own cache where there is a cross-attention one."""
    slots: list[Any] = getattr(cache, "self_attention_cache", cache).layers
    return slots
