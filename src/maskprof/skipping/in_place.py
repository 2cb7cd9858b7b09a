"""Skip mode `mask`: every block stays where it is, and its turn begins with a look at the mask.

The forward of each block is overridden on the instance, nothing else: the model's loop, its config, its state
dict, the blocks' attributes and the users' hooks on them all stay as they are, which is what makes this exact
on loops that index by block number or read attributes of the blocks.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maskprof.annotate import coarse_range, fine_range
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import (
    Anatomy,
    BlockAnatomy,
    argument,
    hidden_states,
    is_kv_pair,
)
from maskprof.ranges import BlockPart, block_range
from maskprof.skipping.caches import Turn, advance, dummy_pair, is_prepared
from maskprof.skipping.override import Forward, overridden

Skip = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class Flags:
    """The mask where the blocks read it: a list on the host, or a tensor on the CPU or the model's device.

    `read_from[i]` is true where block i runs. Both are filled in place, so that a changed mask reaches the
    blocks' forwards, which hold `read_from` itself.
    """

    def __init__(self, mask: BlockMask, mask_on: str, device: torch.device) -> None:
        self.host = list(mask)
        self.read_from: list[bool] | torch.Tensor = self.host
        if mask_on != "host":
            self.read_from = torch.tensor(self.host, device="cpu" if mask_on == "cpu" else device)

    def change(self, mask: BlockMask) -> None:
        """Take another mask of the same length."""
        self.host[:] = mask
        if isinstance(self.read_from, torch.Tensor):
            self.read_from.copy_(torch.tensor(self.host))


@contextmanager
def masked_in_place(
    blocks: nn.ModuleList, anatomy: Anatomy, flags: Flags, turn: Turn, *, zeros: bool, ranges: bool
) -> Iterator[None]:
    """While this is entered, blocks whose flag is false pass their input on; undone exactly on the way out."""
    make = _traced_turn if ranges else _plain_turn
    with ExitStack() as stack:
        for index, block in enumerate(blocks):
            skip = _skipper(index, anatomy.blocks[index], turn, zeros=zeros, ranges=ranges, total=len(blocks))
            stack.enter_context(overridden(block, make(index, len(blocks), flags, skip)))
        yield


def _plain_turn(index: int, _total: int, flags: Flags, skip: Skip) -> Callable[[Forward], Forward]:
    read_from = flags.read_from

    def make(original: Forward) -> Forward:
        def forward(*args: Any, **kwargs: Any) -> Any:
            if read_from[index]:
                return original(*args, **kwargs)
            return skip(args, kwargs)

        return forward

    return make


def _traced_turn(index: int, total: int, flags: Flags, skip: Skip) -> Callable[[Forward], Forward]:
    read_from, host = flags.read_from, flags.host
    active_turn = coarse_range(block_range(index, total, "active"))
    skipped_turn = coarse_range(block_range(index, total, "skipped"))
    mask_check = fine_range(block_range(index, total, "mask_check"))
    compute = coarse_range(block_range(index, total, "compute"))

    def make(original: Forward) -> Forward:
        def forward(*args: Any, **kwargs: Any) -> Any:
            with active_turn if host[index] else skipped_turn:
                with mask_check:
                    runs = bool(read_from[index])
                if runs:
                    with compute:
                        return original(*args, **kwargs)
                return skip(args, kwargs)

        return forward

    return make


@dataclass(frozen=True, slots=True)
class _CacheRanges:
    """The two ranges around a skipped block's cache work; empty contexts in clean runs."""

    dummy: Any
    reuse: Any


def _skipper(index: int, block: BlockAnatomy, turn: Turn, *, zeros: bool, ranges: bool, total: int) -> Skip:
    """What a skipped block does instead of its forward: advance the cache, pass the input on."""
    passed_on = _passer(block)
    place, slots, shapes = block.cache_place, block.slots, block.kv_shapes

    def cache_range(part: BlockPart) -> Any:
        return fine_range(block_range(index, total, part)) if ranges else nullcontext()

    around = _CacheRanges(cache_range("cache.dummy"), cache_range("cache.reuse"))
    # Some decoders take either: a cache object, or each block's own pair.
    without_cache = passed_on
    if block.legacy_shape is not None:
        without_cache = _legacy_skipper(block, turn, around, zeros=zeros)
    if place is None or not slots:
        return without_cache

    def skip(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        cache = argument(place, args, kwargs)
        if cache is None:
            return without_cache(args, kwargs)
        advance(cache, slots, shapes, turn, hidden_states(args, kwargs), zeros=zeros)
        return passed_on(args, kwargs)

    def traced_skip(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        cache = argument(place, args, kwargs)
        if cache is None:
            return without_cache(args, kwargs)
        with around.reuse if is_prepared(cache, slots) else around.dummy:
            advance(cache, slots, shapes, turn, hidden_states(args, kwargs), zeros=zeros)
        return passed_on(args, kwargs)

    if ranges:
        return traced_skip
    if isinstance(place, str) and len(slots) == 1 and passed_on is hidden_states and not zeros:
        return _usual_skipper(place, slots[0], turn, skip)
    return skip


def _usual_skipper(place: str, slot: int, turn: Turn, first_time: Skip) -> Skip:
    """`_skipper`'s `skip` for the usual case, where a microsecond per block and step is a lot.

    Only a slot that has been skipped before in this cache has `skipped_tokens`.
    """

    def skip(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        cache = kwargs.get(place)
        if cache is not None:
            try:
                cache.layers[slot].skipped_tokens += turn.tokens
            except (AttributeError, IndexError):
                return first_time(args, kwargs)
        return args[0] if args else kwargs["hidden_states"]

    return skip


def _passer(block: BlockAnatomy) -> Skip:
    """The block's return value with its input in it."""
    form = block.returns
    if form.container == "tensor":
        return hidden_states
    make = tuple if form.container == "tuple" else list

    def passed_on(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        rest = (None if place is None else argument(place, args, kwargs) for place in form.threaded)
        return make((hidden_states(args, kwargs), *rest))

    return passed_on


def _legacy_skipper(block: BlockAnatomy, turn: Turn, around: _CacheRanges, *, zeros: bool) -> Skip:
    """For decoders whose blocks return their own `(k, v)`: the pair grows as if the block had run."""
    passed_on = _passer(block)
    shape, position = block.legacy_shape, block.returns.legacy_cache
    assert shape is not None
    assert position is not None

    def skip(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = list(passed_on(args, kwargs))
        if kwargs.get("use_cache", True):
            past = next((value for value in (*args, *kwargs.values()) if is_kv_pair(value)), None)
            with around.dummy if past is None else around.reuse:
                result[position] = dummy_pair(past, shape, turn, result[0], zeros=zeros)
        return tuple(result) if block.returns.container == "tuple" else result

    return skip
