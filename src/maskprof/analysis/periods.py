"""The repeated part of a sequence of kernels: one stretch for each block of the model, in every step.

The search rests on anchors: kernels (or pairs of kernels) that occur once in every block. What lies from one
anchor to the next holds the kernels of one block, whatever the anchor; it may vary a little from block to block
(another variant of a matrix product, a sliding window in every second block, dense blocks before those with
experts). Where it holds more than a block, a step ends and another begins. What makes a find convincing is
written down in `period_rules`; without it there is none.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from maskprof.analysis.anchors import anchor_candidates, anchored_runs
from maskprof.analysis.block_borders import borders_of_runs
from maskprof.analysis.period_rules import KernelSequence, Rules
from maskprof.analysis.whole_steps import SortedRuns, sort_runs
from maskprof.traces.columns import Int64s

# Steps of further kinds (a prefill beside decoding) are looked for in what is left, if it is this share of the time.
_WORTH_ANOTHER_LOOK = 0.05
_MOST_KINDS = 4
# So many kernels are looked at together: hundreds of steps, and still little memory.
_PIECE = 2**17
# Steps are of one kind if they have this share of their kernels in common.
_SAME_KIND = 0.9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """One kind of step.

    Attributes:
        borders: where each block begins, and where the last one ends; shape (steps, blocks + 1). Positions
            in the sequence.
        reach: where each step begins and ends, with the kernels before its first block, which include those that
            follow the last block of the step before; shape (steps, 2).
    """

    borders: Int64s
    reach: Int64s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repetition:
    """What repeats in a sequence.

    Attributes:
        patterns: the kinds of steps, by their first occurrence.
        cut_blocks: blocks in steps that the window's edges cut off, which are in no pattern.
    """

    patterns: tuple[Pattern, ...]
    cut_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Steps:
    """Borders of the blocks in whole steps, by their order, and of whole blocks in steps that are cut off."""

    whole: Int64s
    cut: tuple[Int64s, ...]

    def moved(self, distance: int) -> "_Steps":
        return _Steps(whole=self.whole + distance, cut=tuple(one + distance for one in self.cut))


def find_repetition(
    sequence: KernelSequence, rules: Rules | None = None, *, piece: int = _PIECE
) -> Repetition | str:
    """The steps and their blocks, or a sentence on why they cannot be told.

    Long sequences are gone through in pieces of `piece` kernels, each from the last whole step of the one before.
    """
    rules = rules if rules is not None else Rules()
    size = len(sequence.tokens)
    found: list[_Steps] = []
    begin = 0
    while not found or begin + rules.fewest_blocks * rules.shortest_block < size:
        steps = _steps_in(_part(sequence, slice(begin, begin + piece)), rules)
        if isinstance(steps, str):
            if not found:
                return steps
            break
        if found and steps.whole.shape[1] != found[0].whole.shape[1]:
            return "steps have different numbers of blocks ({}, {})".format(
                *sorted({found[0].whole.shape[1] - 1, steps.whole.shape[1] - 1})
            )
        last = int(steps.whole[-1, -1])
        if begin + piece < size:
            # What the piece cuts off is in the next one.
            steps = _Steps(whole=steps.whole, cut=tuple(one for one in steps.cut if one[-1] < last))
        found.append(steps.moved(begin))
        begin = begin + last if begin + piece < size else size
    whole = np.concatenate([steps.whole for steps in found])
    cut = [one for steps in found for one in steps.cut]
    total_ns = int(sequence.time_ns.sum(dtype=np.int64))
    covered_ns = sum(int(sequence.time_ns[one[0] : one[-1]].sum(dtype=np.int64)) for one in (*whole, *cut))
    if covered_ns < rules.covered * total_ns:
        return f"what repeats is only {100 * covered_ns / total_ns:.0f} % of the kernels' time"
    return Repetition(patterns=_patterns(sequence, whole, cut), cut_blocks=sum(len(one) - 1 for one in cut))


def _part(sequence: KernelSequence, where: slice | Int64s) -> KernelSequence:
    """A part of it, small enough to be of wide types."""
    tokens, time_ns = sequence.tokens[where], sequence.time_ns[where]
    return replace(sequence, tokens=tokens.astype(np.int64), time_ns=time_ns.astype(np.int64))


def _steps_in(sequence: KernelSequence, rules: Rules) -> _Steps | str:
    """All kinds of steps in a sequence, as far as they have equally many blocks."""
    total_ns = int(sequence.time_ns.sum())
    left = np.arange(len(sequence.tokens), dtype=np.int64)
    whole: list[Int64s] = []
    cut: list[Int64s] = []
    reason = ""
    for _ in range(_MOST_KINDS):
        found = _one_kind(sequence, left, rules)
        if isinstance(found, str):
            reason = found
            break
        if whole and found.whole.shape[1] != whole[0].shape[1]:
            break
        whole.append(found.whole)
        cut.extend(found.cut)
        taken = np.zeros(len(sequence.tokens), dtype=np.bool_)
        for one in (*found.whole, *found.cut):
            taken[one[0] : one[-1]] = True
        left = left[~taken[left]]
        if int(sequence.time_ns[left].sum()) < _WORTH_ANOTHER_LOOK * total_ns:
            break
    if not whole:
        return reason
    steps = np.concatenate(whole)
    return _Steps(whole=steps[np.argsort(steps[:, 0])], cut=tuple(cut))


def _one_kind(sequence: KernelSequence, left: Int64s, rules: Rules) -> SortedRuns | str:
    """Borders of one kind of step in the kernels at the positions `left`, as positions in the sequence."""
    part = _part(sequence, left)
    found = _best_borders(part, rules)
    if isinstance(found, str):
        return found
    after = np.append(left, left[-1] + 1)

    def placed(borders: Int64s) -> Int64s:
        ends = left[borders[..., -1:] - 1] + 1
        return np.concatenate((after[borders[..., :-1]], ends), axis=-1)

    whole = placed(found.whole)
    # Where steps of another kind were taken out between, there is no step.
    unbroken = whole[:, -1] - whole[:, 0] == found.whole[:, -1] - found.whole[:, 0]
    if not unbroken.any():
        return "no step lies wholly within the trace"
    cut = tuple(placed(one) for one in found.cut)
    cut = tuple(
        one for one, before in zip(cut, found.cut, strict=True) if one[-1] - one[0] == before[-1] - before[0]
    )
    return replace(found, whole=whole[unbroken], cut=cut)


def _best_borders(sequence: KernelSequence, rules: Rules) -> SortedRuns | str:
    """The borders by the anchors that find most blocks, or a sentence on why there are none."""
    best: SortedRuns | None = None
    reasons: list[str] = []
    for anchors in anchor_candidates(sequence.tokens, rules):
        # A block has one anchor, and is regular if what lies up to the next one is.
        if best is not None and (len(anchors), len(anchors) - 1) <= best.rank:
            continue
        runs = anchored_runs(sequence, anchors, rules)
        borders = runs if isinstance(runs, str) else borders_of_runs(sequence, runs, rules)
        found = borders if isinstance(borders, str) else sort_runs(sequence, borders, rules)
        if isinstance(found, str):
            reasons.append(found)
        elif best is None or found.rank > best.rank:
            best = found
    if best is not None:
        return best
    return Counter(reasons).most_common(1)[0][0] if reasons else "no sequence of kernels repeats often enough"


def _patterns(sequence: KernelSequence, steps: Int64s, cut: list[Int64s]) -> tuple[Pattern, ...]:
    """The steps by their kinds, each with what it reaches over."""
    everything = sorted([(int(one[0]), int(one[-1])) for one in (*steps, *cut)])
    begins = {begin: before for (begin, _), (_, before) in zip(everything[1:], everything[:-1], strict=True)}
    reach = np.array([(begins.get(int(one[0]), 0), int(one[-1])) for one in steps], dtype=np.int64)
    if everything[-1][1] == steps[-1, -1]:
        reach[-1, 1] = len(sequence.tokens)
    kinds: list[tuple[Int64s, list[int]]] = []
    for number, step in enumerate(steps):
        counts = np.bincount(sequence.tokens[step[0] : step[-1]], minlength=len(sequence.attends))
        for usual, members in kinds:
            if np.minimum(usual, counts).sum() >= _SAME_KIND * max(usual.sum(), counts.sum()):
                members.append(number)
                break
        else:
            kinds.append((counts, [number]))
    return tuple(Pattern(borders=steps[members], reach=reach[members]) for _, members in kinds)
