"""The turns of both sides of a comparison -> each block's change, its interval, and what could have been seen.

How the estimate is made, and why so (measured on simulated and real traces: docs/results/block-power.md):

- *Beside the others.* To the logarithms of a trace's turns steps and blocks are fitted together, so that a machine that
  stalls or clocks down, which makes all blocks of a step slower alike, takes no part; by Tukey's biweight, in which
  turns that were hit by other work do not count. Of what a block became slower by, the median of the other blocks'
  is taken away; one that changed is not among those.
- *One figure per trace.* Turns of one trace share what lasts as long as the trace, such as where its weights lie in
  memory; taken as independent they promise too much, so the traces are what is counted.
- *In pairs*: the n-th trace of one side with the n-th of the other, which were recorded one after the other; what
  drifts from pair to pair cancels. The change is the mean over the pairs.
- *Variances drawn together* over the blocks (`maskprof.analysis.shrinkage`), since a block's own says little from a
  few pairs. Intervals are Student's t with room for the number of questions (Bonferroni), so that of all tables in
  which nothing changed 95 % name nothing.
- *Resolution*: the slowdown whose interval stays above zero with a probability of 80 %, the usual power of an
  experiment (Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.4).

With fewer than three traces of a side their spread cannot be seen. Then pieces of them stand in for traces (batch
means; Law and Kelton, Simulation Modeling and Analysis, section 9.5), and the result says so.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, harmonic_mean

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.shrinkage import shrunk
from maskprof.results.slower_blocks import BlockChange, PhaseResolution, Unit
from maskprof.serial import student_t_quantile

Floats = NDArray[np.float64]
Turns = Sequence[Floats]
"""Of one side the turns of one phase, per trace: times in us, shape (steps, blocks)."""

POWER = 0.8
# With fewer blocks beside it, a block is compared with little but itself.
FEWEST_BLOCKS = 4
_FEWEST_TRACES = 3
_PIECES = 10
_ROUNDS = 10
# Of normal values 95 % efficient (Holland and Welsch, Robust regression using iteratively reweighted least-squares,
# Communications in Statistics A6, 1977).
_BIWEIGHT_REACH = 4.685
_MAD_TO_SIGMA = 1.4826
_FEWEST_TURNS_OF_A_PIECE = 4
_NUMBERS_OF_TRACES = range(_FEWEST_TRACES, 10_001)
# As alike as blocks are at most; 24 pairs of real traces gave 12, and few pairs may make them look more so by chance.
_MOST_LENT = 10.0
# Of this many degrees of freedom Student's distribution is the normal one to three digits.
_MOST_FREEDOM = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTurns:
    """One phase of both sides; `blocks` are the numbers of the columns."""

    phase: str
    blocks: tuple[int, ...]
    before: Turns
    after: Turns


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """The changes and how well they are known, as logarithms.

    Attributes:
        center: each block's change.
        errors: its standard error; None where there are too few units to see any spread.
        freedom: degrees of freedom of each.
        lent: those of them that are not the block's own.
        own_per_pair: how many of its own another pair of traces adds.
    """

    center: Floats
    errors: Floats | None = None
    freedom: float = 0.0
    lent: float = 0.0
    own_per_pair: int = 0


def changes_of(
    turns: PhaseTurns, *, wrong: float, asked: float | None = None, power: float = POWER
) -> tuple[list[BlockChange], PhaseResolution]:
    """Each block's change, and what could have been seen.

    Args:
        turns: of at least `FEWEST_BLOCKS` blocks.
        wrong: the share of intervals that may be wrong: what all together may be, over the number of questions.
        asked: a slowdown for which the number of traces is wanted, as a share.
        power: with which probability it is to be found.
    """
    unit, sides = _units(turns)
    steady = list(range(len(turns.blocks)))
    while True:
        spread = _spread(sides, steady, in_pairs=unit == "traces")
        found = _changes(turns, spread, wrong, power)
        # One that changed shifts what is usual: the others are looked at again without it.
        changed = [place for place in steady if found[place].is_clear]
        if not changed or len(steady) < FEWEST_BLOCKS:
            break
        steady.remove(max(changed, key=lambda place: abs(found[place].change)))
    return found, _resolution(turns, unit, spread, wrong=wrong, power=power, asked=asked)


def tells_a_spread(turns: PhaseTurns) -> bool:
    """Whether there are enough traces or turns for intervals."""
    return all(
        sum(_pieces(trace, side) for trace in side) >= _FEWEST_TRACES for side in (turns.before, turns.after)
    )


def _changes(turns: PhaseTurns, spread: _Spread, wrong: float, power: float) -> list[BlockChange]:
    reach = seen = None
    if spread.errors is not None:
        reach = _t(1 - wrong / 2, spread.freedom) * spread.errors
        seen = _found_at(wrong, power, spread.freedom) * spread.errors
    before, after = (np.concatenate(side) for side in (turns.before, turns.after))
    center = spread.center
    return [
        BlockChange(
            block=block,
            phase=turns.phase,
            turns=min(len(before), len(after)),
            before_us=float(np.median(before[:, place])),
            after_us=float(np.median(after[:, place])),
            change=math.expm1(center[place]),
            interval=None
            if reach is None
            else (math.expm1(center[place] - reach[place]), math.expm1(center[place] + reach[place])),
            resolution=None if seen is None else math.expm1(seen[place]),
        )
        for place, block in enumerate(turns.blocks)
    ]


def _resolution(
    turns: PhaseTurns, unit: Unit, spread: _Spread, *, wrong: float, power: float, asked: float | None
) -> PhaseResolution:
    smallest = typical = per_pair = needed = None
    if spread.errors is not None:
        factor = _found_at(wrong, power, spread.freedom)
        smallest = math.expm1(factor * float(spread.errors.max()))
        typical = math.expm1(factor * float(np.median(spread.errors)))
        # Of sides of different numbers the fewer traces weigh more: as so many pairs they tell.
        pairs = harmonic_mean([len(turns.before), len(turns.after)])
        per_pair = float(spread.errors.max()) * math.sqrt(pairs)
        if asked is not None and unit == "traces" and smallest <= asked:
            needed = _traces(turns)
        elif asked is not None:
            needed = _traces_for(math.log1p(asked), per_pair, spread, wrong=wrong, power=power)
    return PhaseResolution(
        phase=turns.phase,
        unit=unit,
        traces=_traces(turns),
        smallest=smallest,
        typical=typical,
        spread=per_pair,
        power=power,
        asked=asked,
        traces_needed=needed,
    )


def _traces_for(change: float, per_pair: float, spread: _Spread, *, wrong: float, power: float) -> int | None:
    """The least number of pairs of traces with which a change of this logarithm is found; None above 10,000."""

    def is_enough(pairs: int) -> bool:
        freedom = spread.lent + spread.own_per_pair * (pairs - 1)
        return _found_at(wrong, power, freedom) * per_pair <= change * math.sqrt(pairs)

    place = bisect_left(_NUMBERS_OF_TRACES, True, key=is_enough)
    return _NUMBERS_OF_TRACES[place] if place < len(_NUMBERS_OF_TRACES) else None


def _traces(turns: PhaseTurns) -> int:
    return min(len(turns.before), len(turns.after))


def _units(turns: PhaseTurns) -> tuple[Unit, tuple[Floats, Floats]]:
    """Of both sides what blocks take, as logarithms beside one another, shape (traces or pieces, blocks)."""
    whole = _traces(turns) >= _FEWEST_TRACES
    sides = [
        np.stack(
            [
                own_times(part)
                for trace in side
                for part in np.array_split(trace, 1 if whole else _pieces(trace, side))
            ]
        )
        for side in (turns.before, turns.after)
    ]
    return "traces" if whole else "pieces", (sides[0], sides[1])


def _pieces(trace: Floats, side: Turns) -> int:
    """Into how many pieces to cut a trace, so that its side has about ten."""
    return max(1, min(math.ceil(_PIECES / len(side)), len(trace) // _FEWEST_TURNS_OF_A_PIECE))


def own_times(took_us: Floats) -> Floats:
    """Per block the logarithm of what it takes, what all blocks of a step share taken out; shape (blocks,).

    An additive fit of steps and blocks to the logarithms, by Tukey's biweight from medians on.
    """
    logs = np.log(took_us)
    of_step = np.median(logs, axis=1, keepdims=True)
    of_block = np.median(logs - of_step, axis=0, keepdims=True)
    for _ in range(_ROUNDS):
        weights = _biweights(logs - of_step - of_block)
        of_step = _weighted(logs - of_block, weights, 1, of_step)
        weights = _biweights(logs - of_step - of_block)
        of_block = _weighted(logs - of_step, weights, 0, of_block)
    own: Floats = of_block[0]
    return own


def _biweights(residuals: Floats) -> Floats:
    reach = _BIWEIGHT_REACH * _MAD_TO_SIGMA * float(np.median(np.abs(residuals)))
    if reach == 0:
        return np.ones_like(residuals)
    weights: Floats = (1 - np.minimum(1.0, (residuals / reach) ** 2)) ** 2
    return weights


def _weighted(values: Floats, weights: Floats, axis: int, otherwise: Floats) -> Floats:
    total = weights.sum(axis=axis, keepdims=True)
    # A step of which every turn was hit says nothing.
    fitted = otherwise.copy()
    np.divide((weights * values).sum(axis=axis, keepdims=True), total, out=fitted, where=total > 0)
    return fitted


def _beside_the_others(rows: Floats, steady: Sequence[int]) -> Floats:
    """Each block's value less the median of the other steady blocks' in its row, shape as given."""
    places = list(steady)
    usual = np.repeat(np.median(rows[:, places], axis=1, keepdims=True), rows.shape[1], axis=1)
    usual[:, places] = _medians_of_others(rows[:, places])
    beside: Floats = rows - usual
    return beside


def _medians_of_others(rows: Floats) -> Floats:
    """Of each value the median of all others in its row, shape as given."""
    ordered, rank = np.sort(rows), np.argsort(np.argsort(rows))
    others = rows.shape[1] - 1
    # A sorted row without one of its values: those from its rank on move up by one place.
    low, high = (
        np.take_along_axis(ordered, place + (rank <= place), axis=1)
        for place in ((others - 1) // 2, others // 2)
    )
    medians: Floats = (low + high) / 2
    return medians


def _spread(sides: tuple[Floats, Floats], steady: Sequence[int], *, in_pairs: bool) -> _Spread:
    fewer = min(map(len, sides))
    if in_pairs and len(sides[0]) == len(sides[1]):
        apart = _beside_the_others(sides[1] - sides[0], steady)
        center, own, own_per_pair = apart.mean(axis=0), fewer - 1, 1
        squares, share = ((apart - center) ** 2).sum(axis=0), 1 / fewer
    else:
        # Blocks are of different sizes: what is usual for one row is told by its distances from the others.
        each = np.concatenate(sides)
        own_rows = _beside_the_others(each - each.mean(axis=0), steady)
        before, after = own_rows[: len(sides[0])], own_rows[len(sides[0]) :]
        center, own, own_per_pair = after.mean(axis=0) - before.mean(axis=0), len(each) - 2, 2
        squares = sum(((side - side.mean(axis=0)) ** 2).sum(axis=0) for side in (before, after))
        share = sum(1 / len(side) for side in (before, after))
    if fewer < _FEWEST_TRACES:
        return _Spread(center=center)
    variances, freedom = shrunk(squares / own, own, _MOST_LENT)
    return _Spread(
        center=center,
        errors=np.sqrt(variances * share),
        freedom=freedom,
        lent=freedom - own,
        own_per_pair=own_per_pair,
    )


def _found_at(wrong: float, power: float, freedom: float) -> float:
    """How many standard errors a change must be to have its interval above zero with this probability.

    By the normal approximation to the noncentral t (Abramowitz and Stegun, Handbook of Mathematical Functions,
    26.7.10).
    """
    least = _t(1 - wrong / 2, freedom)
    spread = math.sqrt(1 + least**2 / (2 * freedom))
    return least * (1 - 1 / (4 * freedom)) + NormalDist().inv_cdf(power) * spread


def _t(probability: float, freedom: float) -> float:
    return _t_of_whole(probability, int(min(freedom, _MOST_FREEDOM)))


@cache
def _t_of_whole(probability: float, freedom: int) -> float:
    return student_t_quantile(probability, freedom)
