"""From anchors to borders: where each block begins, given that an anchor lies somewhere within it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.anchors import AnchoredRuns
from maskprof.analysis.period_rules import KernelSequence, Rules
from maskprof.traces.columns import Bools, Int64s

# How far kernels that agree may be out of step, and how many may disagree before it is given up.
_BAND = 4
_DROP = 2
_NEVER = -(10**9)
_RUNS_ASKED = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunBorders:
    """Borders of the blocks in each run: where each begins, and where the last one ends.

    Attributes:
        whole: of whole steps; shape (steps, blocks + 1).
        cut: of steps that the window cuts off, and of the blocks in them that are whole.
        regular: how many blocks are regular.
    """

    whole: Int64s
    cut: tuple[Int64s, ...]
    regular: int

    @property
    def rank(self) -> tuple[int, int]:
        """By what the best of several is chosen: blocks in whole steps, then regular ones."""
        return self.whole.shape[0] * (self.whole.shape[1] - 1), self.regular


def borders_of_runs(sequence: KernelSequence, runs: AnchoredRuns, rules: Rules) -> RunBorders | str:
    """Find the borders by the first and the last block of the steps; a sentence where they cannot be found.

    The kernels before the first anchor are compared, backwards, with those before the other anchors, and those
    after the last anchor with those after the others. As many as are alike belong to the anchors' own
    blocks. If hardly any are, the first or last anchor is no block's.
    """
    lengths, of_run = np.unique(runs.count, return_inverse=True)
    usual = int(lengths[np.argmax(np.bincount(of_run, weights=runs.count))])
    lead, follow = _agreements(sequence, runs, usual)
    if lead + follow > (2.0 - rules.missing) * len(runs.typical):
        return "some of the blocks lack what the others repeat"
    lead, follow = min(lead, len(runs.typical) - 1), min(follow, len(runs.typical))
    missing = 1.0 - (lead + follow) / len(runs.typical)
    if rules.missing < missing < 1.0 - rules.missing:
        return "where the first block begins and the last one ends cannot be told"
    closed = missing <= rules.missing
    lead = _lead(sequence, runs.typical, lead, len(runs.typical) - follow if closed else -follow)
    begin = _begins(sequence, runs, lead)
    # The anchor of the last block of each run.
    last = runs.first + runs.count - (1 if closed else 2)
    end = _ends(sequence, runs, lead, np.maximum(last, runs.first))
    blocks = usual if closed else usual - 1
    if blocks < rules.fewest_blocks:
        return f"what repeats does so fewer than {rules.fewest_blocks} times in a row"
    unbegun = _begins_with_trace(sequence, runs)
    size = len(sequence.tokens)
    block = np.roll(runs.typical, lead)
    whole, cut = [], []
    for number, (first, count) in enumerate(zip(runs.first.tolist(), runs.count.tolist(), strict=True)):
        borders = np.append(begin[first : last[number] + 1], end[number])
        before, after = sequence.tokens[: max(int(borders[0]), 0)], sequence.tokens[int(borders[-1]) :]
        at_start = number == 0 and _is_part(sequence, before[::-1], block[::-1])
        at_end = number == len(runs.count) - 1 and _is_part(sequence, after, block)
        # Up to one kernel may be missing: the norm that the first or last block has elsewhere.
        inside = (borders[:-1] >= -1) & (borders[1:] <= size + 1)
        borders = np.clip(borders, 0, size)
        if count == usual and inside.all() and not (number == 0 and unbegun):
            whole.append(borders)
        elif (at_start or at_end) and count <= usual:
            at = np.flatnonzero(inside)
            if len(at):
                cut.append(borders[at[0] : at[-1] + 2])
        elif count != usual:
            found = ", ".join(str(length) for length in lengths.tolist()[:6])
            return f"steps have different numbers of blocks ({found})"
    if not whole:
        return "no step lies wholly within the trace"
    return RunBorders(whole=np.array(whole, dtype=np.int64), cut=tuple(cut), regular=runs.regular)


def _is_part(sequence: KernelSequence, kernels: Int64s, block: Int64s) -> bool:
    """Whether what lies between a run and the edge of the window is no more than a part of a block."""
    return len(kernels) < len(block) and _aligned(sequence, kernels, block)[0] == len(kernels)


def _agreements(sequence: KernelSequence, runs: AnchoredRuns, usual: int) -> tuple[int, int]:
    """How many kernels agree before the first and from the last anchor of a step of `usual` anchors.

    They are compared with two blocks: what agrees with most of the second is a block that has no anchor.
    """
    twice, anchors = np.tile(runs.typical, 2), runs.anchors
    found: list[tuple[int, int]] = []
    for first in runs.first[runs.count == usual][:_RUNS_ASKED].tolist():
        begin, end = int(anchors[first]), int(anchors[first + usual - 1])
        actual = sequence.tokens[max(0, begin - 2 * len(twice)) : begin][::-1]
        following = sequence.tokens[end : end + 2 * len(twice)]
        found.append((_aligned(sequence, actual, twice[:0:-1])[1], _aligned(sequence, following, twice)[1]))
    return Counter(found).most_common(1)[0][0]


def _begins_with_trace(sequence: KernelSequence, runs: AnchoredRuns) -> bool:
    """Whether all that comes before the first anchor agrees with a block, so that the step may have begun before."""
    before = sequence.tokens[: runs.anchors[0]][::-1]
    return _aligned(sequence, before, np.tile(runs.typical, 2)[:0:-1])[0] == len(before)


def _lead(sequence: KernelSequence, typical: Int64s, most: int, least: int) -> int:
    """How many of a block's kernels come before its anchor; below 0 where it begins after it.

    What is alike before the first block or after the last one without being theirs (a last norm, the
    all-reduce of the embeddings) leaves a choice; blocks then begin with a norm, if one is there, else as early
    as they can.
    """
    choices = range(most, min(least, most) - 1, -1)
    return next((one for one in choices if sequence.leads[typical[-one % len(typical)]]), most)


def _begins(sequence: KernelSequence, runs: AnchoredRuns, lead: int) -> Int64s:
    """Where each anchor's block begins; below 0 where that is before the sequence."""
    begin = runs.anchors - lead
    if lead <= 0:
        return begin
    usual = runs.typical[len(runs.typical) - lead :]
    varied = np.flatnonzero(~_same(sequence.tokens, begin, usual))
    before = np.concatenate(([-1], runs.anchors[:-1]))[varied]
    places = runs.anchors[varied, np.newaxis] - np.arange(1, 2 * lead + 3)
    taken, matched = _aligned_each(sequence, places, places > before[:, np.newaxis], usual[::-1])
    begin[varied] = runs.anchors[varied] - taken - (lead - matched)
    return begin


def _ends(sequence: KernelSequence, runs: AnchoredRuns, lead: int, last: Int64s) -> Int64s:
    """Where the blocks of the anchors with the numbers `last` end."""
    length = len(runs.typical) - lead
    usual = np.tile(runs.typical, 2)[:length]
    anchors = runs.anchors[last]
    end = anchors + length
    varied = np.flatnonzero(~_same(sequence.tokens, anchors, usual))
    places = anchors[varied, np.newaxis] + np.arange(2 * length + 2)
    taken, matched = _aligned_each(sequence, places, places < len(sequence.tokens), usual)
    end[varied] = anchors[varied] + taken + (length - matched)
    return end


def _aligned_each(
    sequence: KernelSequence, places: Int64s, inside: Bools, usual: Int64s
) -> tuple[Int64s, Int64s]:
    """How far the kernels at each row of `places` agree with the usual ones; see `_aligned`."""
    if not len(places):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    outside = len(sequence.leads)
    rows = np.where(inside, sequence.tokens[np.where(inside, places, 0)], outside)
    # Most variants occur in every step: each is looked at once.
    weights = np.random.default_rng(0).integers(1, 2**62, size=rows.shape[1])
    _, first, of_row = np.unique(rows @ weights, return_index=True, return_inverse=True)
    found = [_aligned(sequence, row[row != outside], usual) for row in rows[first]]
    lengths = np.array(found, dtype=np.int64)[of_row]
    return lengths[:, 0], lengths[:, 1]


def _same(tokens: Int64s, start: Int64s, usual: Int64s) -> Bools:
    """At which of `start` the codes are `usual`."""
    at = start[:, np.newaxis] + np.arange(len(usual))
    inside = (at >= 0) & (at < len(tokens))
    return np.asarray(
        (inside & (tokens[np.clip(at, 0, len(tokens) - 1)] == usual)).all(axis=1), dtype=np.bool_
    )


def _aligned(sequence: KernelSequence, actual: Int64s, usual: Int64s) -> tuple[int, int]:
    """How far two sequences agree from their beginnings; lengths in either.

    Each kernel that agrees counts for it, each that is inserted, left out or exchanged against it; the answer is
    where most speaks for it, and the shortest such one. Norms agree with one another, since the first block's
    is often another kernel than the others'. A step's edge ends it.
    """
    edge = np.flatnonzero(sequence.edge[actual])
    actual = actual[: edge[0]] if len(edge) else actual
    kinds = np.where(sequence.leads, -1, np.arange(len(sequence.leads)))
    return _agreement(tuple(kinds[actual].tolist()), tuple(kinds[usual].tolist()))


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
        if not scores or max(scores.values()) < best - _DROP:
            break
        row = scores
    return reached
