"""Machines that are made up, so that the truth is known: what they do to latency, in the order of a real run.

A sample's time is its configuration's own time multiplied by the machine: a state that all configurations share and
that lasts for some rounds, a noise of its own, a steady drift over the run, and now and then an outlier. Rounds
visit every configuration once, in random order, each with its removed-blocks reference beside it, as
`maskprof.measuring.interleaving` does.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Spreads are of the logarithm of a time, so 0.1 is about 10 %.

    Attributes:
        state: standard deviation of the state, which forgets itself (by a factor e) in `state_rounds` rounds.
        own: standard deviation of each sample's own noise.
        drift: the speed changes steadily over the run by up to so much, either way.
        outlier_share: share of samples that are slower, by `outlier` on average (exponentially distributed).
    """

    name: str
    like: str
    state: float
    state_rounds: float
    own: float
    drift: float
    outlier_share: float
    outlier: float


MACHINES = (
    Machine(
        name="quiet",
        like="a machine of one's own with nothing else on it",
        state=0.01,
        state_rounds=2,
        own=0.01,
        drift=0.03,
        outlier_share=0.03,
        outlier=0.3,
    ),
    Machine(
        name="shared",
        like="a virtual machine beside others",
        state=0.1,
        state_rounds=2,
        own=0.08,
        drift=0.15,
        outlier_share=0.05,
        outlier=0.6,
    ),
    Machine(
        name="loaded",
        like="two cores on which eight others work too, by a recording of 600 samples",
        state=0.5,
        state_rounds=3,
        own=0.4,
        drift=0.5,
        outlier_share=0.1,
        outlier=1.2,
    ),
)
INDEPENDENT = Machine(
    name="independent",
    like="none: what textbooks assume",
    state=0.0,
    state_rounds=1,
    own=0.05,
    drift=0.0,
    outlier_share=0.03,
    outlier=0.3,
)
SLOW = Machine(
    name="slow",
    like="a state that outlasts four rounds and outweighs all else",
    state=0.1,
    state_rounds=4,
    own=0.05,
    drift=0.1,
    outlier_share=0.05,
    outlier=0.6,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiments:
    """Simulated runs; shapes (experiments, rounds, configurations).

    `masked` and `removed` are logarithms of what the machine multiplies a time with, drift included; `drift` is
    that part of it alone.
    """

    masked: Floats
    removed: Floats
    drift: Floats


def simulate(
    machine: Machine, *, experiments: int, rounds: int, configurations: int, seed: int
) -> Experiments:
    generator = np.random.default_rng(seed)
    per_round = 2 * configurations
    shape = (experiments, rounds * per_round)
    keep = math.exp(-1 / (machine.state_rounds * per_round))
    state = generator.normal(size=shape)
    for visit in range(1, shape[1]):
        state[:, visit] = keep * state[:, visit - 1] + math.sqrt(1 - keep**2) * state[:, visit]
    noise = machine.state * state + machine.own * generator.normal(size=shape)
    is_outlier = generator.random(shape) < machine.outlier_share
    noise += is_outlier * generator.exponential(machine.outlier, size=shape)
    path = (
        generator.uniform(-1, 1, size=(experiments, 1))
        * machine.drift
        * (np.arange(shape[1]) / shape[1] - 0.5)
    )
    place = np.argsort(generator.random((experiments, rounds, configurations)), axis=2)
    first = generator.integers(0, 2, size=place.shape)
    visit_of = np.arange(rounds)[None, :, None] * per_round + 2 * place

    def taken(values: Floats, visits: NDArray[np.int64]) -> Floats:
        return np.take_along_axis(values, visits.reshape(experiments, -1), 1).reshape(place.shape)

    masked_visits, removed_visits = visit_of + first, visit_of + 1 - first
    return Experiments(
        masked=taken(noise + path, masked_visits),
        removed=taken(noise + path, removed_visits),
        drift=taken(path, masked_visits),
    )


def true_factors(machine: Machine, drift: Floats) -> Floats:
    """Per experiment the median of what the machine multiplies a time with, over all that could have happened.

    The drift is a part of the run that is measured, the rest is chance. `drift` has shape (experiments, rounds).
    """
    noise = _sorted_noise(machine)
    low, high = np.full(len(drift), -5.0), np.full(len(drift), 5.0)
    for _ in range(50):
        middle = (low + high) / 2
        below = (np.searchsorted(noise, middle[:, None] - drift) / noise.size).mean(axis=1)
        low, high = np.where(below < 0.5, middle, low), np.where(below < 0.5, high, middle)
    return np.exp((low + high) / 2)


@cache
def true_difference(machine: Machine, masked_ms: float, removed_ms: float) -> float:
    """The median over all that could have happened of masked minus removed, of one round's pair."""
    many = simulate(replace(machine, drift=0.0), experiments=20_000, rounds=2, configurations=6, seed=987)
    return float(np.median(masked_ms * np.exp(many.masked) - removed_ms * np.exp(many.removed)))


@cache
def _sorted_noise(machine: Machine) -> Floats:
    generator = np.random.default_rng(654)
    noise = generator.normal(scale=math.hypot(machine.state, machine.own), size=1_000_000)
    is_outlier = generator.random(noise.size) < machine.outlier_share
    return np.sort(noise + is_outlier * generator.exponential(machine.outlier, size=noise.size))
