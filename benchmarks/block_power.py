"""How `maskprof compare` tells a slower block from chance, on simulated machines: false alarms, and what is found.

    python benchmarks/block_power.py --output docs/results/block-power.md

Each experiment records pairs of traces of the same model, one of them perhaps with one block slower. Several ways to
compare are put to the same experiments: how often each names a block where none changed, and how often it finds one
that became slower by what our way says it would find four times of five.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from pages import add_page_arguments, command_line, machine_lines, percent, publish, table

from maskprof import serial
from maskprof.analysis.block_changes import (
    _MOST_LENT,
    PhaseTurns,
    _beside_the_others,
    changes_of,
    own_times,
)
from maskprof.analysis.shrinkage import shrunk
from maskprof.results.slower_blocks import BlockChange
from maskprof.serial import student_t_quantile

Floats = NDArray[np.float64]
BLOCKS, STEPS, CHOSEN = 12, 60, 8
WRONG = 0.05
# How much more or less than usual a block differs from recording to recording.
SIZES = np.array([2.0, 1.5, 1.3, 1.1, 1.0, 0.9, 0.8, 0.7, 1.0, 0.6, 0.5, 1.2])
# What chance allows an error rate of 5 % to show, at 95 %, is added to it.
QUANTILE = 1.645


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Spreads are of the logarithm of a block's turn, so 0.01 is about 1 %.

    Attributes:
        own: of each turn, by itself.
        recording: of each block from one recording to the next, for as long as the trace lasts: where its weights
            lie in memory; blocks differ in it by a factor of two either way.
        wandering: how far each block's time has wandered off by the next pair of traces.
        state: what all blocks of a step share, lasting for some steps.
        burst_share: of the turns are hit by other work, several in a row, each longer by `burst` on average.
    """

    name: str
    like: str
    own: float
    recording: float
    wandering: float
    state: float
    burst_share: float
    burst: float


MACHINES = (
    Machine(
        name="quiet",
        like="a machine of one's own with nothing else on it",
        own=0.01,
        recording=0.003,
        wandering=0.001,
        state=0.02,
        burst_share=0.02,
        burst=0.3,
    ),
    Machine(
        name="shared",
        like="a virtual machine beside others, by 48 traces of 120 steps",
        own=0.06,
        recording=0.004,
        wandering=0.002,
        state=0.1,
        burst_share=0.1,
        burst=0.5,
    ),
    Machine(
        name="loaded",
        like="two cores on which others work too",
        own=0.1,
        recording=0.006,
        wandering=0.003,
        state=0.4,
        burst_share=0.25,
        burst=0.8,
    ),
)


def simulate(machine: Machine, pairs: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """The turns of both sides in us, of none of which a block is slower; shape (pairs, steps, blocks)."""
    shape = (2 * pairs, STEPS, BLOCKS)
    noise = machine.own * generator.normal(size=shape)
    sizes = machine.recording * SIZES
    noise += (sizes * generator.normal(size=(2 * pairs, BLOCKS)))[:, None, :]
    wandered = (machine.wandering * generator.normal(size=(2 * pairs, BLOCKS)) / math.sqrt(2)).cumsum(axis=0)
    noise += wandered[:, None, :]
    # A state of the whole machine that forgets itself in ten steps, and bursts of about three turns.
    state = generator.normal(size=shape[:2])
    for step in range(1, STEPS):
        state[:, step] = 0.9 * state[:, step - 1] + math.sqrt(1 - 0.81) * state[:, step]
    noise += machine.state * state[:, :, None]
    begins = generator.random((2 * pairs, STEPS * BLOCKS)) < machine.burst_share / 3
    hit = begins.copy()
    for turn in (1, 2):
        hit[:, turn:] |= begins[:, :-turn]
    noise += hit.reshape(shape) * generator.exponential(machine.burst, size=shape)
    turns = 1500 * np.exp(noise)
    # Which side of a pair comes first alternates, as they are recorded.
    first = np.arange(pairs) % 2
    order = 2 * np.arange(pairs)
    return turns[order + first], turns[order + 1 - first]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The turns of both sides, shape (pairs, steps, blocks), and what each trace says of each block."""

    before: Floats
    after: Floats
    own_before: Floats
    own_after: Floats

    @property
    def apart(self) -> Floats:
        return _beside_the_others(self.own_after - self.own_before, range(BLOCKS))


def run_of(before: Floats, after: Floats) -> Run:
    own_before, own_after = (np.stack([own_times(trace) for trace in side]) for side in (before, after))
    return Run(before=before, after=after, own_before=own_before, own_after=own_after)


def with_slower_block(run: Run, slower: float) -> Run:
    after = run.after.copy()
    after[:, :, CHOSEN] *= 1 + slower
    own_after = np.stack([own_times(trace) for trace in after])
    return replace(run, after=after, own_after=own_after)


def named(center: Floats, errors: Floats, freedom: float) -> set[int]:
    reach = student_t_quantile(1 - WRONG / BLOCKS / 2, max(1, int(min(freedom, 1000)))) * errors
    return set(np.flatnonzero(np.abs(center) > reach).tolist())


def ours(run: Run) -> list[BlockChange]:
    turns = PhaseTurns(
        phase="decode", blocks=tuple(range(BLOCKS)), before=list(run.before), after=list(run.after)
    )
    return changes_of(turns, wrong=WRONG / BLOCKS)[0]


def by_changes(run: Run) -> set[int]:
    return {change.block for change in ours(run) if change.is_clear}


def by_apart(apart: Floats) -> set[int]:
    variances, freedom = shrunk(apart.var(0, ddof=1), len(apart) - 1, _MOST_LENT)
    return named(apart.mean(0), np.sqrt(variances / len(apart)), freedom)


def by_medians(run: Run) -> set[int]:
    left, right = (np.median(_beside_the_others_by_turn(side), axis=1) for side in (run.before, run.after))
    return by_apart(_beside_the_others(right - left, range(BLOCKS)))


def not_beside_the_others(run: Run) -> set[int]:
    return by_apart(np.median(np.log(run.after), axis=1) - np.median(np.log(run.before), axis=1))


def by_own_variance(run: Run) -> set[int]:
    apart = run.apart
    return named(apart.mean(0), apart.std(0, ddof=1) / math.sqrt(len(apart)), len(apart) - 1)


def by_one_variance(run: Run) -> set[int]:
    apart = run.apart
    error = math.sqrt(float(apart.var(0, ddof=1).mean()) / len(apart))
    return named(apart.mean(0), np.full(BLOCKS, error), (len(apart) - 1) * BLOCKS)


def unpaired(run: Run) -> set[int]:
    left, right = (_beside_the_others(own, range(BLOCKS)) for own in (run.own_before, run.own_after))
    freedom = 2 * len(left) - 2
    variances, freedom = shrunk((left.var(0, ddof=1) + right.var(0, ddof=1)) / 2, freedom, _MOST_LENT)
    return named(right.mean(0) - left.mean(0), np.sqrt(2 * variances / len(left)), freedom)


def by_turns(run: Run) -> set[int]:
    """The lower quartiles of all turns one after the other, with intervals for neighbours that are alike."""
    found = set()
    beside = [_beside_the_others_by_turn(side) for side in (run.before, run.after)]
    for block in range(BLOCKS):
        (low, around_low), (high, around_high) = (
            serial.lower_quartile(side[:, :, block].ravel().tolist(), confidence=1 - WRONG / BLOCKS)
            for side in beside
        )
        if around_low is None or around_high is None:
            continue
        below = math.hypot(high - around_high[0], around_low[1] - low)
        above = math.hypot(around_high[1] - high, low - around_low[0])
        if high - low - below > 0 or high - low + above < 0:
            found.add(block)
    return found


def _beside_the_others_by_turn(side: Floats) -> Floats:
    logs = np.log(side)
    beside: Floats = logs - np.median(logs, axis=2, keepdims=True)
    return beside


WAYS: dict[str, Callable[[Run], set[int]]] = {
    "ours": by_changes,
    "medians": by_medians,
    "not in pairs": unpaired,
    "own variance": by_own_variance,
    "one variance": by_one_variance,
    "alone": not_beside_the_others,
    "turns": by_turns,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one machine and number of pairs; shares by the way of comparing."""

    machine: str
    pairs: int
    slower: float
    alarms: dict[str, float]
    found: dict[str, float]


def outcome(machine: Machine, pairs: int, experiments: int, seed: int) -> Outcome:
    generator = np.random.default_rng(seed)
    runs = [run_of(*simulate(machine, pairs, generator)) for _ in range(experiments)]
    alarms = {name: float(np.mean([bool(way(run)) for run in runs])) for name, way in WAYS.items()}
    slower = float(np.median([ours(run)[CHOSEN].resolution or 0.0 for run in runs]))
    # The same experiments, of which the block was slower: nothing else tells the two tables apart.
    planted = [with_slower_block(run, slower) for run in runs]
    found = {name: float(np.mean([CHOSEN in way(run) for run in planted])) for name, way in WAYS.items()}
    return Outcome(machine=machine.name, pairs=pairs, slower=slower, alarms=alarms, found=found)


PAGE = """\
# Telling a slower block from chance

{experiments} simulated comparisons per machine and number of pairs of traces, each of {blocks} blocks and {steps}
decode steps a trace. Made by `{command}`.

{machine}

{machines}

## Nothing changed

How often a table names a block. It should be 5 % or less; chance allows {most} on so many.

{alarms}

Ours: {alarm_verdict}.

## One block slower

By what `maskprof compare` says it would find four times of five (the median over the comparisons above). How often
that block is named:

{found}

Ours, 80 % less what chance and blocks that differ leave open (70 % or more): {found_verdict}.

## The ways

*Ours*: steps and blocks fitted together by Tukey's biweight, one figure per trace and block, the mean over pairs of
traces, beside the other blocks; variances drawn together; Bonferroni (`maskprof/analysis/block_changes.py`).
*Medians*: over turns, beside the median of their step. *Not in pairs*: the traces of each side by themselves. *Own
variance*: each block's from its own pairs. *One variance*: the same for all blocks. *Alone*: not beside the other
blocks. *Turns*: all turns of a side one after the other, by lower quartiles, with intervals for neighbours that are
alike.

- ! marks a way that names more where nothing changed than it says: what it finds is worth nothing there. *Turns* do so
  where recordings differ in what lasts as long as they do: no interval from inside a trace can know that.
- A block's own variance from few pairs makes its interval wide. One variance for all says too much of the blocks that
  differ more than others. Drawn together, they are between the two.
- Alone, all that a machine does to all blocks alike stays in.
"""


def page(args: argparse.Namespace) -> str:
    outcomes = [
        outcome(machine, pairs, args.experiments, args.seed) for machine in MACHINES for pairs in args.pairs
    ]
    most = WRONG + QUANTILE * math.sqrt(WRONG * (1 - WRONG) / args.experiments)
    titles = ("machine", "pairs", *WAYS)

    def marked(share: float) -> str:
        return percent(share) + (" !" if share > most else "")

    alarms = [(o.machine, str(o.pairs), *(marked(o.alarms[way]) for way in WAYS)) for o in outcomes]
    found = [
        (o.machine, str(o.pairs), percent(o.slower, 2), *(percent(o.found[way], 0) for way in WAYS))
        for o in outcomes
    ]
    named_machines = [
        (
            m.name,
            m.like,
            percent(m.own),
            percent(m.recording),
            percent(m.wandering),
            percent(m.state, 0),
            f"{percent(m.burst_share, 0)}, {percent(m.burst, 0)} longer",
        )
        for m in MACHINES
    ]
    return PAGE.format(
        experiments=args.experiments,
        blocks=BLOCKS,
        steps=STEPS,
        command=command_line(),
        machine="\n".join(machine_lines(torch.device("cpu"))),
        machines="\n".join(
            table(
                (
                    *("machine", "like", "own noise of a turn", "of a block from recording to recording"),
                    *("wandering", "all blocks alike", "turns hit by others"),
                ),
                named_machines,
                text_columns=2,
            )
        ),
        most=percent(most),
        alarms="\n".join(table(titles, alarms)),
        alarm_verdict="reached" if all(o.alarms["ours"] <= most for o in outcomes) else "missed",
        found="\n".join(table((*titles[:2], "slower by", *WAYS), found)),
        found_verdict="reached" if all(o.found["ours"] >= 0.7 for o in outcomes) else "missed",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--pairs", type=int, nargs="+", default=[3, 6, 12])
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    if args.quick:
        args.experiments, args.pairs = 10, [3]
    publish(page(args), args.output)


if __name__ == "__main__":
    main()
