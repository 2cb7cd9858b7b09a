"""The ways of choosing n of a model's blocks, by name."""

from collections.abc import Callable

from maskprof.masks.mask import BlockMask

STRATEGIES = ("first", "last", "middle", "uniform", "random")


def choose(strategy: str, n: int, total: int, *, seed: int = 0) -> BlockMask:
    """Choose n of `total` blocks by the named strategy; `seed` matters to `random` only.

    Raises:
        MaskError: n is not between 1 and total.
        KeyError: there is no such strategy.
    """
    if strategy == "random":
        return BlockMask.random(n, total, seed)
    choosers: dict[str, Callable[[int, int], BlockMask]] = {
        "first": BlockMask.first,
        "last": BlockMask.last,
        "middle": BlockMask.middle,
        "uniform": BlockMask.uniform,
    }
    return choosers[strategy](n, total)
