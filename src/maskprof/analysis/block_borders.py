"""From anchors to borders: where each block begins, given that an anchor lies somewhere within it."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskprof.analysis.anchors import AnchoredRuns
from maskprof.analysis.period_rules import KernelSequence
from maskprof.traces.columns import Bools, Int64s

# How far kernels that agree may be out of step, and how many may disagree before it is given up.
_BAND = 8
_NEVER = -(10**9)
# Blocks whose kernels before the anchor vary are aligned one by one; results are kept for this many forms of them.
_MOST_ALIGNED = 4096
_RUNS_ASKED = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunBorders:
    """Borders of the blocks in each run: where each begins, and where the last one ends.

    Attributes:
        whole: of whole steps; shape (steps, blocks + 1).
        cut: of steps that the window cuts off, and the blocks in them that are whole.
    """

    whole: Int64s
    cut: tuple[Int64s, ...]


def borders_of_runs(sequence: KernelSequence, runs: AnchoredRuns) -> RunBorders:
    """Find the borders by the first block of each step: before it, the kernels are not those of a block.

    The kernels before the first anchor are compared, backwards, with those before the other anchors. As
    many as are alike belong to the anchor's own block, in all blocks.
    """
    lead = _lead(sequence, runs)
    begin = _begins(sequence, runs, lead)
    end = _ends(sequence, runs, lead)
    size = len(sequence.tokens)
    whole, cut = [], []
    for first, count, complete in zip(
        runs.first.tolist(), runs.count.tolist(), runs.complete.tolist(), strict=True
    ):
        borders = np.append(begin[first : first + count], end[first + count - 1])
        # Up to one kernel may be missing: the norm that the first or last block has elsewhere.
        inside = (borders[:-1] >= -1) & (borders[1:] <= size + 1)
        borders = np.clip(borders, 0, size)
        if complete and inside.all():
            whole.append(borders)
        elif np.count_nonzero(inside):
            at = np.flatnonzero(inside)
            cut.append(borders[at[0] : at[-1] + 2])
    shape = (len(whole), runs.blocks + 1)
    return RunBorders(whole=np.array(whole, dtype=np.int64).reshape(shape), cut=tuple(cut))


def _lead(sequence: KernelSequence, runs: AnchoredRuns) -> int:
    """How many of a block's kernels come before its anchor.

    What is alike before the first block or after the last one without being theirs (a last norm, the
    all-reduce of the embeddings) leaves a choice; blocks then begin with a norm, if one is there, else as early
    as they can.
    """
    typical, anchors = runs.typical, runs.anchors
    before = typical[:0:-1]
    found: list[tuple[int, int]] = []
    whole = np.flatnonzero(runs.complete)[:_RUNS_ASKED]
    for first, count in zip(runs.first[whole].tolist(), runs.count[whole].tolist(), strict=True):
        begin, end = int(anchors[first]), int(anchors[first + count - 1])
        actual = sequence.tokens[max(0, begin - 2 * len(before)) : begin][::-1]
        following = sequence.tokens[end : end + 2 * len(typical)]
        found.append(
            (_aligned(actual, before, sequence.leads)[1], _aligned(following, typical, sequence.leads)[1])
        )
    lead, follow = Counter(found).most_common(1)[0][0]
    choices = range(lead, max(len(typical) - follow, 0) - 1, -1)
    return next((one for one in choices if one and sequence.leads[typical[len(typical) - one]]), lead)


def _begins(sequence: KernelSequence, runs: AnchoredRuns, lead: int) -> Int64s:
    """Where each anchor's block begins; below 0 where that is before the sequence."""
    if lead == 0:
        return runs.anchors.copy()
    begin = runs.anchors - lead
    usual = runs.typical[len(runs.typical) - lead :]
    for one in np.flatnonzero(~_same(sequence.tokens, begin, usual)).tolist():
        anchor = int(runs.anchors[one])
        floor = int(runs.anchors[one - 1]) + 1 if one else 0
        actual = sequence.tokens[max(floor, anchor - 2 * lead - 2) : anchor][::-1]
        taken, matched = _aligned(actual, usual[::-1], sequence.leads)
        begin[one] = anchor - taken - (lead - matched)
    return begin


def _ends(sequence: KernelSequence, runs: AnchoredRuns, lead: int) -> Int64s:
    """Where each anchor's block would end if it were the last one."""
    usual = runs.typical[: len(runs.typical) - lead]
    end = runs.anchors + len(usual)
    last = runs.first + runs.count - 1
    varied = last[~_same(sequence.tokens, runs.anchors[last], usual)]
    for one in varied.tolist():
        anchor = int(runs.anchors[one])
        actual = sequence.tokens[anchor : anchor + 2 * len(usual) + 2]
        taken, matched = _aligned(actual, usual, sequence.leads)
        end[one] = anchor + taken + (len(usual) - matched)
    return end


def _same(tokens: Int64s, start: Int64s, usual: Int64s) -> Bools:
    """At which of `start` the codes are `usual`."""
    at = start[:, np.newaxis] + np.arange(len(usual))
    inside = (at >= 0) & (at < len(tokens))
    return np.asarray(
        (inside & (tokens[np.clip(at, 0, len(tokens) - 1)] == usual)).all(axis=1), dtype=np.bool_
    )


def _aligned(actual: Int64s, usual: Int64s, leads: Bools) -> tuple[int, int]:
    """How far two sequences agree from their beginnings; lengths in either.

    Each kernel that agrees counts for it, each that is inserted, left out or exchanged against it; the answer is
    where most speaks for it, and the shortest such one. Norms agree with one another, since the first block's
    is often another kernel than the others'.
    """
    kinds = np.where(leads, -1, np.arange(len(leads)))
    return _agreement(tuple(kinds[actual].tolist()), tuple(kinds[usual].tolist()))


@lru_cache(maxsize=_MOST_ALIGNED)
def _agreement(actual: tuple[int, ...], usual: tuple[int, ...]) -> tuple[int, int]:
    best, reached = 0, (0, 0)
    # Scores of the row before, by place in the other sequence; only places near the diagonal are looked at.
    row = {place: -place for place in range(min(_BAND, len(usual)) + 1)}
    for length, kind in enumerate(actual, start=1):
        scores: dict[int, int] = {}
        for place in range(max(0, length - _BAND), min(len(usual), length + _BAND) + 1):
            score = row.get(place, _NEVER) - 1
            if place:
                agrees = 1 if kind == usual[place - 1] else -1
                score = max(score, row.get(place - 1, _NEVER) + agrees, scores.get(place - 1, _NEVER) - 1)
            scores[place] = score
            if score > best:
                best, reached = score, (length, place)
        if not scores or max(scores.values()) < best - _BAND:
            break
        row = scores
    return reached
