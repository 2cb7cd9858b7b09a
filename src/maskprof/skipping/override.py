"""Exchanging a module's forward on the instance, undoably, and in a way that no copy can carry off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any, Never

from torch import nn

from maskprof.errors import MaskError

Forward = Callable[..., Any]

_MARK = "_maskprof_in_force"


class _NotToBeCopied:
    """Stands in a module whose forward is overridden: functions are copied by reference.

    A copy would go on calling this model's blocks, and skip by this model's mask.
    """

    def __deepcopy__(self, _memo: object) -> Never:
        raise _refusal("copied")

    def __reduce_ex__(self, _protocol: object) -> Never:
        raise _refusal("pickled")


def _refusal(what: str) -> MaskError:
    return MaskError(
        f"a model under a mask cannot be {what}, since the copy's blocks would be this model's: remove() the "
        "wrapper first, and wrap the copy; save_pretrained and state_dict work under a mask too"
    )


@contextmanager
def overridden(module: nn.Module, make: Callable[[Forward], Forward]) -> Iterator[None]:
    """While this is entered, calling `module` runs `make(its forward)`; its class and attributes stay."""
    attributes = module.__dict__
    before, original = attributes.get("forward"), module.forward
    # Ahead of the forward, which pickle would stumble over with a sentence of its own.
    attributes[_MARK] = _NotToBeCopied()
    attributes["forward"] = update_wrapper(make(original), original)
    try:
        yield
    finally:
        del attributes[_MARK]
        if before is None:
            del attributes["forward"]
        else:
            attributes["forward"] = before
