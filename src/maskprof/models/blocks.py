"""Where a model keeps its blocks, and how each takes its turn: learned from one tiny forward pass.

Names differ between architectures, and so do the arguments and return values of a block, the way the cache
reaches it and the cache slots that it fills. So none of this is looked up: two tokens are run through the
untouched model, once per model, and what happens is written down as its `Anatomy`.
"""

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from maskprof.errors import MaskError
from maskprof.models.anatomy import (
    Anatomy,
    ArgumentPlace,
    BlockAnatomy,
    KVShape,
    ReturnForm,
    cache_slots,
    find_cache,
    hidden_states,
    is_cache,
    is_kv,
    is_kv_pair,
)
from maskprof.models.cache_names import cache_argument
from maskprof.models.two_tokens import run_two_tokens, run_two_tokens_with_cache
from maskprof.models.unsupported import refuse_unsupported

_KNOWN: "weakref.WeakKeyDictionary[nn.Module, tuple[weakref.ref[nn.Module], int, Anatomy]]" = (
    weakref.WeakKeyDictionary()
)


def find_blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder's list of blocks: a bare decoder's, a causal LM's, or a vision-language model's text part.

    The first call on a model runs two tokens through it; the answer is remembered.

    Raises:
        MaskError: the forward fails, or no list of blocks takes part in it.
    """
    return _block_list(uncompiled(model), probe(model).path)


def uncompiled(model: nn.Module) -> nn.Module:
    """The model itself: the one inside, where this is what `torch.compile(model)` returned."""
    if not isinstance(model, nn.Module):
        raise MaskError(f"a model is a torch.nn.Module, got {type(model).__name__}")
    inside = model._modules.get("_orig_mod")  # noqa: SLF001 - where torch keeps it, for all to use
    return model if inside is None else inside


def probe(model: nn.Module) -> Anatomy:
    """The anatomy of the model, or of the one that was compiled; see `find_blocks`."""
    model = uncompiled(model)
    known = _KNOWN.get(model)
    if known is not None:
        blocks_ref, length, anatomy = known
        if blocks_ref() is _block_list(model, anatomy.path) and length == len(
            _block_list(model, anatomy.path)
        ):
            return anatomy
    anatomy = _learn(model)
    blocks = _block_list(model, anatomy.path)
    _KNOWN[model] = (weakref.ref(blocks), len(blocks), anatomy)
    return anatomy


def _block_list(model: nn.Module, path: str) -> nn.ModuleList:
    blocks = model.get_submodule(path)
    assert isinstance(blocks, nn.ModuleList)
    return blocks


@dataclass(slots=True)
class _Call:
    """One call of one module during the probe."""

    path: str
    index: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    cache_before: tuple[Any, ...]
    cache_after: tuple[Any, ...]


def _learn(model: nn.Module) -> Anatomy:
    # Some of them do run two tokens through something that looks like blocks.
    refuse_unsupported(model)
    lists = {path: m for path, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) > 0}
    if not lists:
        raise MaskError(f"{type(model).__name__} has no list of blocks (no torch.nn.ModuleList) to mask")
    calls = _calls_of(model, lists, run_two_tokens)
    if not any(call.cache_after for call in calls) and cache_argument(model.forward) is not None:
        # A model may take no such cache after all; the calls without one then say how its blocks are called.
        with suppress(MaskError):
            calls = _calls_of(model, lists, run_two_tokens_with_cache)
    by_list: dict[str, list[_Call]] = {}
    for call in calls:
        by_list.setdefault(call.path, []).append(call)
    candidates = [path for path, made in by_list.items() if _is_a_chain(made)]
    # Experts and per-layer norms are chains too, inside the blocks: only the outermost lists count.
    outermost = [
        p for p in candidates if not any(p.startswith(f"{other}.") for other in candidates if other != p)
    ]
    if not outermost:
        raise MaskError(
            f"no list of blocks was found in {type(model).__name__}: none of its module lists ({', '.join(lists)}) "
            "has children that are called one after the other with hidden states of one shape"
        )

    def rank(path: str) -> tuple[int, int, int]:
        # Cross-attention layers between the blocks may be as many, and keep no cache for the text.
        filling = sum(call.cache_before != call.cache_after for call in by_list[path])
        return filling, len(lists[path]), sum(weight.numel() for weight in lists[path].parameters())

    path = max(outermost, key=rank)
    _refuse_foreign_caches(model, by_list[path])
    return Anatomy(path=path, blocks=_describe(lists[path], by_list[path]))


def _refuse_foreign_caches(model: nn.Module, calls: list[_Call]) -> None:
    """A cache without slots would go wrong silently: hybrids of early transformers 5 have such ones."""
    for call in calls:
        for value in (*call.args, *call.kwargs.values()):
            if hasattr(value, "get_seq_length") and not is_cache(value):
                raise MaskError(
                    f"{type(model).__name__} keeps its cache in a {type(value).__name__}, with no slots that could "
                    "be kept right for a skipped block; a newer transformers may do better"
                )


def _calls_of(
    model: nn.Module, lists: Mapping[str, nn.ModuleList], run: Callable[[nn.Module], None]
) -> list[_Call]:
    """Every call of every list's children during one small run, in the order of their ends."""
    calls: list[_Call] = []
    with _recorded_calls(lists, calls), _left_as_it_was(model), _uncompiled_calls(), torch.no_grad():
        try:
            run(model)
        except Exception as error:
            raise MaskError(
                f"{type(model).__name__} cannot be masked: running two tokens through it to find its blocks "
                f"failed with {type(error).__name__}: {error}"
            ) from error
    return calls


def _uncompiled_calls() -> AbstractContextManager[object]:
    """No graph is made of a compiled model, or of compiled parts of one, nor is one used."""
    # Where nothing was compiled yet, torch.compile's machinery need not be imported, which takes seconds.
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


@contextmanager
def _recorded_calls(lists: Mapping[str, nn.ModuleList], calls: list[_Call]) -> Iterator[None]:
    """Write every call of every list's children into `calls`, in the order of their beginning."""
    before: dict[tuple[str, int], list[tuple[Any, ...]]] = {}

    def watch(stack: ExitStack, path: str, index: int, module: nn.Module) -> None:
        def on_entry(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            before.setdefault((path, index), []).append(_cache_state(args, kwargs))

        def on_exit(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            calls.append(
                _Call(
                    path, index, args, kwargs, output, before[path, index].pop(), _cache_state(args, kwargs)
                )
            )

        stack.callback(module.register_forward_pre_hook(on_entry, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(on_exit, with_kwargs=True).remove)

    with ExitStack() as stack:
        for path, children in lists.items():
            for index, child in enumerate(children):
                watch(stack, path, index, child)
        yield


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Undo what a forward leaves in a model: states and offsets kept as attributes, grown rotary buffers."""
    kept = [(m, dict(m.__dict__), dict(m._buffers)) for m in model.modules()]  # noqa: SLF001
    was_training = model.training
    rng = torch.get_rng_state() if was_training else None
    try:
        yield
    finally:
        for module, attributes, buffers in kept:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            module._buffers.clear()  # noqa: SLF001
            module._buffers.update(buffers)  # noqa: SLF001
        if rng is not None:
            torch.set_rng_state(rng)


def _is_a_chain(calls: list[_Call]) -> bool:
    """Whether these calls are blocks in a row: each child at most once, in order, shape in = shape out."""
    order = [call.index for call in calls]
    return order == sorted(set(order)) and all(_keeps_shape(call) for call in calls)


def _keeps_shape(call: _Call) -> bool:
    hidden, out = hidden_states(call.args, call.kwargs), call.output
    first = out[0] if isinstance(out, (tuple, list)) and out else out
    return (
        isinstance(hidden, torch.Tensor) and isinstance(first, torch.Tensor) and hidden.shape == first.shape
    )


def _describe(blocks: nn.ModuleList, calls: list[_Call]) -> tuple[BlockAnatomy, ...]:
    described: dict[int, BlockAnatomy] = {}
    for position, call in enumerate(calls):
        following = calls[position + 1] if position + 1 < len(calls) else None
        cache = find_cache(call.args, call.kwargs)
        slots = tuple(
            slot
            for slot, state in enumerate(call.cache_after)
            if slot >= len(call.cache_before) or call.cache_before[slot] != state
        )
        described[call.index] = BlockAnatomy(
            returns=_return_form(call, following),
            cache_place=_place_of(cache, call.args, call.kwargs),
            slots=slots,
            kv_shapes={slot: shape for slot in slots if (shape := _slot_shape(cache, slot)) is not None},
            legacy_shape=_legacy_shape(call.output),
        )
    # The last block has no follower to show what is threaded: it returns as its neighbour of the same kind.
    last = calls[-1].index
    for call in reversed(calls[:-1]):
        mine, its = described[last].returns, described[call.index].returns
        if type(blocks[call.index]) is type(blocks[last]) and (mine.container, mine.length) == (
            its.container,
            its.length,
        ):
            described[last] = replace(described[last], returns=its)
            break
    # Blocks that the model itself left out (cross-attention without an image) have nothing to keep.
    return tuple(described.get(index, BlockAnatomy()) for index in range(len(blocks)))


def _return_form(call: _Call, following: _Call | None) -> ReturnForm:
    output = call.output
    if not isinstance(output, (tuple, list)):
        return ReturnForm()
    threaded: list[ArgumentPlace | None] = []
    legacy: int | None = None
    for position, element in enumerate(output[1:], start=1):
        place = _place_of(element, following.args, following.kwargs) if following is not None else None
        if place is None and is_kv_pair(element):
            legacy = position
        elif place is None:
            place = _place_of_state(element, call)
        threaded.append(place)
    container = "list" if isinstance(output, list) else "tuple"
    return ReturnForm(container=container, length=len(output), threaded=tuple(threaded), legacy_cache=legacy)


def _place_of_state(element: Any, call: _Call) -> ArgumentPlace | None:
    """Where a block was given the state that it returns renewed: a tuple or list of tensors of one form."""
    form = _form(element)
    places: list[tuple[ArgumentPlace, Any]] = [*enumerate(call.args), *call.kwargs.items()]
    return next((place for place, value in places if form is not None and _form(value) == form), None)


def _form(value: Any) -> tuple[Any, ...] | None:
    if not isinstance(value, (tuple, list)) or not all(isinstance(part, torch.Tensor) for part in value):
        return None
    return (type(value), *(part.shape for part in value))


def _place_of(value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ArgumentPlace | None:
    if value is None:
        return None
    for position, candidate in enumerate(args):
        if candidate is value:
            return position
    return next((name for name, candidate in kwargs.items() if candidate is value), None)


def _cache_state(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Per slot of the call's cache, what changes when a block fills it."""
    cache = find_cache(args, kwargs)
    if cache is None:
        return ()
    return tuple(
        (
            getattr(slot, "is_initialized", None),
            tuple(getattr(slot, "has_previous_state", {}).items()),
            _tokens(slot),
        )
        for slot in cache_slots(cache)
    )


def _tokens(slot: Any) -> int:
    keys = getattr(slot, "keys", None)
    return keys.shape[-2] if isinstance(keys, torch.Tensor) and keys.dim() > 1 else 0


def _slot_shape(cache: Any, slot: int) -> KVShape | None:
    keys, values = (getattr(cache_slots(cache)[slot], name, None) for name in ("keys", "values"))
    return _shape_of(keys, values) if is_kv(keys) and is_kv(values) else None


def _legacy_shape(output: Any) -> KVShape | None:
    if not isinstance(output, (tuple, list)):
        return None
    return next((_shape_of(*element) for element in output[1:] if is_kv_pair(element)), None)


def _shape_of(keys: Any, values: Any) -> KVShape:
    return KVShape(heads=keys.shape[1], key_dim=keys.shape[3], value_dim=values.shape[3])
