"""The names by which forwards take and return their cache: since transformers 5.24 mostly `cache`."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, Final

from transformers.modeling_outputs import CausalLMOutputWithPast

_TAKEN: Final = ("cache", "past_key_values")
_OTHERS: Final = ("cache_params", "state", "mems")
CACHE_NAMES: Final = (*_TAKEN, *_OTHERS)
"""All names of what forwards carry from call to call, the newest first; "state" is rwkv's, "mems" xlnet's."""

RETURNED_NAME: Final = next(name for name in _TAKEN if name in CausalLMOutputWithPast.__dataclass_fields__)
"""The field of transformers' own outputs; the older name only reads with a line of warning where it is not this."""


def cache_argument(forward: Callable[..., Any]) -> str | None:
    """The argument that takes a transformers cache, None where no argument has one of the usual names."""
    parameters = signature(forward).parameters
    return next((name for name in _TAKEN if name in parameters), None)


def cache_arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Every argument that may take what a forward carries from call to call.

    A forward that names none of them and takes any argument, as around another one, may take them all.
    """
    parameters = signature(forward).parameters
    named = tuple(name for name in CACHE_NAMES if name in parameters)
    takes_anything = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    return (RETURNED_NAME, *_OTHERS) if takes_anything and not named else named


def carried(output: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """What the next forward is given of this output, as its keyword argument; empty where nothing came back.

    `names` are the forward's `cache_arguments`. Code older than its transformers takes its cache by another name
    than the one that it comes back under.
    """
    for name in names:
        for field in (RETURNED_NAME, name):
            cache = getattr(output, field, None)
            if cache is not None:
                return {name: cache}
    return {}
