"""How many experts a token goes through, on any mixture-of-experts model of transformers: read, set, put back."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from maskprof.errors import ModelError
from maskprof.models.blocks import find_blocks
from maskprof.models.messages import first_sentence
from maskprof.models.two_tokens import run_two_tokens

# What configurations call the number of experts per token, and routers keep under one of these names too.
_PER_TOKEN_KEYS = (
    *("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k", "moe_k"),
    *("num_selected_experts", "experts_per_token"),
)
_ROUTER_ATTRIBUTES = ("top_k", "topk", "k", *_PER_TOKEN_KEYS)
_COUNT_KEYS = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "n_experts")

# Read from the configuration at every call (Gemma 4), so that no module holds the number.
_READ_AT_EVERY_CALL = "top_k_experts"

# Fixed lists of experts for each token of the vocabulary (DeepSeek-V4's first layers).
_EXPERT_TABLES = ("tid2eid",)

_TRIED: "weakref.WeakKeyDictionary[nn.Module, set[int]]" = weakref.WeakKeyDictionary()

_Places = list[tuple[dict[str, Any], str]]


def count_experts(model: nn.Module) -> int | None:
    """How many experts the router of a block chooses from; None for a model whose blocks have none.

    Where blocks differ it is the smallest number. Shared experts, which every token goes through, do not count.
    """
    configs = _configs(model)
    if not _places(model, configs):
        return None
    return min(
        (n for config in configs for key in _COUNT_KEYS for n in _numbers(config.get(key))), default=None
    )


@contextmanager
def active_experts(model: nn.Module, k: int) -> Iterator[None]:
    """While active, each token goes through `k` experts of each block; then everything is as it was.

    The model gives, bit for bit, what the same weights give under a configuration with that number. What the
    weights were trained for is another matter. The number is set on the instances of the routers and in the
    configuration, which the forward of a few models and the loss of others read. The first time that a number
    is asked of a model, two tokens are run through it to see that it has an effect.

    Raises:
        ModelError: the model has no experts, fewer than `k`, or a forward that does not follow their number.
    """
    if k not in _TRIED.setdefault(model, set()):
        _check(model, k)
        _try(model, k)
        _TRIED[model].add(k)
    with _set(model, k):
        yield


@contextmanager
def _set(model: nn.Module, k: int) -> Iterator[None]:
    places = _places(model, _configs(model))
    before = [attributes[key] for attributes, key in places]
    try:
        for (attributes, key), value in zip(places, before, strict=True):
            attributes[key] = [k] * len(value) if isinstance(value, list) else k
        yield
    finally:
        for (attributes, key), value in zip(places, before, strict=True):
            attributes[key] = value


def _check(model: nn.Module, k: int) -> None:
    """What can be told without running the model."""
    name = type(model).__name__
    experts = count_experts(model)
    if experts is None:
        raise ModelError(f"--moe_top_k: {name} has no experts whose number could be set")
    if not 1 <= k <= experts:
        raise ModelError(f"--moe_top_k: {name} has {_experts(experts)} in a block, so {k} cannot be active")
    for module in find_blocks(model).modules():
        if any(isinstance(getattr(module, table, None), torch.Tensor) for table in _EXPERT_TABLES):
            raise ModelError(
                f"--moe_top_k: blocks of {name} choose experts by a fixed table for each token "
                f"({type(module).__name__}), so their number cannot be set"
            )


def _try(model: nn.Module, k: int) -> None:
    """Run two tokens with `k` experts and with the usual number: a forward that gives the same goes its own way."""
    name = type(model).__name__
    usual = _after_blocks(model)
    try:
        with _set(model, k):
            changed = _after_blocks(model)
    # Whatever a forward does with a number that it was not written for.
    except Exception as error:
        raise ModelError(
            f"--moe_top_k: {name} fails with {_experts(k)} active: {first_sentence(error)}"
        ) from error
    if k not in _usual_numbers(_configs(model)) and torch.equal(usual, changed):
        raise ModelError(f"--moe_top_k: {name} uses a fixed number of experts, whatever is set")


def _after_blocks(model: nn.Module) -> torch.Tensor:
    """What the last block gives for two tokens."""
    seen: list[torch.Tensor] = []

    def keep(_block: nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, (tuple, list)) else output
        seen.append(hidden.detach().clone())

    hook = find_blocks(model)[-1].register_forward_hook(keep)
    try:
        with torch.no_grad():
            run_two_tokens(model)
    finally:
        hook.remove()
    return seen[-1]


def _places(model: nn.Module, configs: list[dict[str, Any]]) -> _Places:
    """Where the number is held: by routers, by the configuration, by the model's head for its loss.

    Empty where no block chooses experts by such a number.
    """
    numbers = _usual_numbers(configs)
    inside = [
        (module.__dict__, name)
        for module in find_blocks(model).modules()
        for name in _ROUTER_ATTRIBUTES
        # Other things have a `top_k` too: it is the experts' where the configuration's number is the same.
        if _numbers(module.__dict__.get(name)) and module.__dict__[name] in numbers
    ]
    if not inside and not _routers_read_the_configuration(model, configs):
        return []
    around = [
        (attributes, key)
        for attributes in (model.__dict__, *configs)
        for key in _PER_TOKEN_KEYS
        if _numbers(attributes.get(key))
    ]
    return inside + around


def _routers_read_the_configuration(model: nn.Module, configs: list[dict[str, Any]]) -> bool:
    if not any(_numbers(config.get(_READ_AT_EVERY_CALL)) for config in configs):
        return False
    return any("router" in type(module).__name__.lower() for module in find_blocks(model).modules())


def _usual_numbers(configs: list[dict[str, Any]]) -> set[int]:
    return {number for config in configs for key in _PER_TOKEN_KEYS for number in _numbers(config.get(key))}


def _configs(model: nn.Module) -> list[dict[str, Any]]:
    """The attributes of each configuration that speaks of the decoder: its own, its parts', its blocks'."""
    config: Any = getattr(model, "config", None)
    own = [config.get_text_config(decoder=True)] if hasattr(config, "get_text_config") else [config]
    blocks = [getattr(module, "config", None) for module in find_blocks(model).modules()]
    found: dict[int, dict[str, Any]] = {}
    for candidate in (*own, *blocks):
        for part in (candidate, *getattr(candidate, "__dict__", {}).values()):
            if hasattr(part, "to_dict") and hasattr(part, "__dict__"):
                found.setdefault(id(part), part.__dict__)
    return list(found.values())


def _experts(count: int) -> str:
    return "1 expert" if count == 1 else f"{count} experts"


def _numbers(value: Any) -> list[int]:
    """The positive whole numbers of a setting: one, or one per block."""
    values = value if isinstance(value, list) else [value]
    return [
        number for number in values if isinstance(number, int) and not isinstance(number, bool) and number > 0
    ]
