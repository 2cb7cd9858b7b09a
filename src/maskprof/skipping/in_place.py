"""Skip mode `mask`: every block stays where it is, and its turn begins with a look at the mask.

The forward of each block is overridden on the instance, nothing else: the model's loop, its config, its state
dict, the blocks' attributes and the users' hooks on them all stay as they are, which is what makes this exact
on loops that index by block number or read attributes of the blocks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

import torch
from torch import nn

from maskprof.annotate import coarse_range, fine_range
from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import (
    Anatomy,
    BlockAnatomy,
    argument,
    find_cache,
    hidden_states,
    is_kv_pair,
    looping_module,
)
from maskprof.ranges import BlockPart, block_range
from maskprof.skipping.caches import Turn, advance, dummy_pair, is_prepared

Forward = Callable[..., Any]
Skip = Callable[[tuple[Any, ...], dict[str, Any]], Any]


class Flags:
    """The mask where the blocks read it: a list on the host, or a tensor on the CPU or the model's device.

    `read_from[i]` is true where block i runs. Both are filled in place, so that a changed mask reaches the
    blocks' forwards, which hold `read_from` itself.
    """

    def __init__(self, mask: BlockMask, mask_on: str, device: torch.device) -> None:
        self.mask = mask
        self.host = list(mask)
        self.read_from: list[bool] | torch.Tensor = self.host
        if mask_on != "host":
            self.read_from = torch.tensor(self.host, device="cpu" if mask_on == "cpu" else device)

    def change(self, mask: BlockMask) -> None:
        """Take another mask of the same length."""
        self.mask = mask
        self.host[:] = mask
        if isinstance(self.read_from, torch.Tensor):
            self.read_from.copy_(torch.tensor(self.host))


@contextmanager
def masked_in_place(
    model: nn.Module, blocks: nn.ModuleList, anatomy: Anatomy, flags: Flags, *, zeros: bool, ranges: bool
) -> Iterator[None]:
    """While this is entered, blocks whose flag is false pass their input on; undone exactly on the way out."""
    turn = Turn()
    loop = looping_module(model, anatomy)
    before = [block.__dict__.get("forward") for block in blocks]

    def on_entry(_loop: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _begin(turn, flags.mask, args, kwargs)

    def on_exit(_loop: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = find_cache(args, kwargs)
        _mark_cache(_cache_in(output) if given is None else given, flags.mask)

    # First among the hooks: another one may already want to look at the cache.
    hooks = (
        loop.register_forward_pre_hook(on_entry, with_kwargs=True, prepend=True),
        loop.register_forward_hook(on_exit, with_kwargs=True),
    )
    try:
        for index, block in enumerate(blocks):
            skip = _skipper(index, anatomy.blocks[index], turn, zeros=zeros, ranges=ranges, total=len(blocks))
            override = _traced_turn if ranges else _plain_turn
            original = block.forward
            block.__dict__["forward"] = update_wrapper(
                override(index, len(blocks), original, flags, skip), original
            )
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                block.__dict__.pop("forward", None)
            else:
                block.__dict__["forward"] = forward


def _begin(turn: Turn, mask: BlockMask, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note what this forward brings, and refuse a cache that was filled under another mask."""
    # The new tokens are counted at the model's input: hidden states may carry further streams in front.
    for name in ("input_ids", "inputs_embeds", "hidden_states"):
        given = kwargs.get(name)
        if given is not None:
            break
    else:
        given = args[0] if args else None
    if isinstance(given, torch.Tensor):
        turn.batch, turn.tokens = given.shape[0], given.shape[1] if given.dim() > 1 else 1
    cache = find_cache(args, kwargs)
    if cache is not None:
        _check_cache(cache, mask)


def _check_cache(cache: Any, mask: BlockMask) -> None:
    filled_under: BlockMask | None = getattr(cache, "_maskprof_mask", None)
    if filled_under is mask or filled_under == mask or not _has_past(cache):
        return
    if filled_under is None and mask.num_active == mask.total:
        return
    raise MaskError(
        f"this cache was filled under another mask ({filled_under or '1' * mask.total}) than the one in force "
        f"({mask}); the blocks' keys and values would not fit each other: start from an empty cache"
    )


def _mark_cache(cache: Any, mask: BlockMask) -> None:
    """Note on a cache under which mask it was filled."""
    if cache is not None:
        cache._maskprof_mask = mask  # noqa: SLF001 - our own mark on a foreign object


def _cache_in(output: Any) -> Any:
    values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else ()
    return find_cache(tuple(values), {})


def _has_past(cache: Any) -> bool:
    try:
        return bool(cache.get_seq_length() > 0)
    except ValueError:  # a cache of nothing but linear attention has no length
        return bool(cache.has_previous_state())


def _plain_turn(index: int, _total: int, original: Forward, flags: Flags, skip: Skip) -> Forward:
    read_from = flags.read_from

    def forward(*args: Any, **kwargs: Any) -> Any:
        if read_from[index]:
            return original(*args, **kwargs)
        return skip(args, kwargs)

    return forward


def _traced_turn(index: int, total: int, original: Forward, flags: Flags, skip: Skip) -> Forward:
    read_from, host = flags.read_from, flags.host
    active_turn = coarse_range(block_range(index, total, "active"))
    skipped_turn = coarse_range(block_range(index, total, "skipped"))
    mask_check = fine_range(block_range(index, total, "mask_check"))
    compute = coarse_range(block_range(index, total, "compute"))

    def forward(*args: Any, **kwargs: Any) -> Any:
        with active_turn if host[index] else skipped_turn:
            with mask_check:
                runs = bool(read_from[index])
            if runs:
                with compute:
                    return original(*args, **kwargs)
            return skip(args, kwargs)

    return forward


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
    if block.legacy_shape is not None:
        return _legacy_skipper(block, turn, around, zeros=zeros)
    if place is None or not slots:
        return passed_on

    def skip(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        cache = argument(place, args, kwargs)
        if cache is not None:
            advance(cache, slots, shapes, turn, hidden_states(args, kwargs), zeros=zeros)
        return passed_on(args, kwargs)

    def traced_skip(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        cache = argument(place, args, kwargs)
        if cache is not None:
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
