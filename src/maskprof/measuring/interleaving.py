"""The order of measuring: rounds over all configurations, shuffled, so that drift of the machine hits all alike."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visit:
    """One pass to make: of which configuration, in which round, and whether with its blocks removed instead."""

    configuration: str
    round: int
    reference: bool = False


def visits(
    wanted: Mapping[str, int], references: Mapping[str, int], *, seed: int, first_round: int = 0
) -> Iterator[Visit]:
    """Every visit of a run, in shuffled rounds: one pass of each configuration a round.

    `wanted[name]` passes are made of each configuration. In its first `references[name]` rounds the
    removed-blocks reference runs directly before or after it, at random, so that the two make a pair.
    """
    order_of = random.Random(seed)  # noqa: S311 - an order, not a secret
    names = list(dict.fromkeys((*wanted, *references)))
    for number in range(max((*wanted.values(), *references.values()), default=0)):
        order_of.shuffle(names)
        for name in names:
            group = [Visit(name, first_round + number)] if number < wanted.get(name, 0) else []
            if number < references.get(name, 0):
                group.append(Visit(name, first_round + number, reference=True))
                order_of.shuffle(group)
            yield from group
