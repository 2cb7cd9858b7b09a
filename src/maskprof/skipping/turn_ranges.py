"""Profiler ranges around the blocks that run in a shortened list, under the numbers they have in the whole one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from maskprof.annotate import coarse_range
from maskprof.masks.mask import BlockMask
from maskprof.ranges import block_range
from maskprof.skipping.override import Forward, overridden


@contextmanager
def ranges_around_active(blocks: nn.ModuleList, mask: BlockMask) -> Iterator[None]:
    """While this is entered, each active block's turn is a range; there is no mask to check in it."""
    with ExitStack() as stack:
        for index in mask.active_indices:
            stack.enter_context(overridden(blocks[index], _ranged(index, mask.total)))
        yield


def _ranged(index: int, total: int) -> Callable[[Forward], Forward]:
    turn = coarse_range(block_range(index, total, "active"))
    compute = coarse_range(block_range(index, total, "compute"))

    def make(original: Forward) -> Forward:
        def forward(*args: Any, **kwargs: Any) -> Any:
            with turn, compute:
                return original(*args, **kwargs)

        return forward

    return make
