"""Strategies by name are the constructors of BlockMask."""

import pytest

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.masks.strategies import STRATEGIES, choose


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("n", [1, 5, 12])
def test_each_name_is_its_constructor(strategy, n):
    assert choose(strategy, n, 12) == getattr(BlockMask, strategy)(n, 12)


def test_the_seed_reaches_random_only():
    assert choose("random", 4, 16, seed=7) == BlockMask.random(4, 16, 7)
    assert choose("random", 4, 16, seed=7) != choose("random", 4, 16, seed=8)
    assert choose("uniform", 4, 16, seed=7) == choose("uniform", 4, 16, seed=8)


def test_unknown_name():
    with pytest.raises(KeyError, match="every"):
        choose("every", 1, 2)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_impossible_count(strategy):
    with pytest.raises(MaskError, match="between 1 and 2, got 3"):
        choose(strategy, 3, 2)
