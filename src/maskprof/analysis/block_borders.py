"""From anchors to borders: where each block begins, given that an anchor lies somewhere within it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.anchors import AnchoredRuns, mixing
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
        runs: an array per run; shape (blocks + 1,) each. Borders may lie before the beginning of the sequence or
            after its end, where the window cuts off a block.
        regular: how many blocks are regular.
    """

    runs: tuple[Int64s, ...]
    regular: int


def borders_of_runs(sequence: KernelSequence, runs: AnchoredRuns, rules: Rules) -> RunBorders | str:
    """Find the borders by the first and the last block of the steps; a sentence where they cannot be found.

    The kernels before the first anchor are compared, backwards, with those before the other anchors, and those
    after the last anchor with those after the others. As many as are alike belong to the anchors' own
    blocks. If hardly any are, the first or last anchor is no block's.
    """
    length = len(runs.typical)
    lead, follow = _agreements(sequence, runs)
    if lead + follow > (2.0 - rules.missing) * length:
        return "some of the blocks lack what the others repeat"
    lead, follow = min(lead, length - 1), min(follow, length)
    missing = 1.0 - (lead + follow) / length
    if rules.missing < missing < 1.0 - rules.missing:
        return "where the first block begins and the last one ends cannot be told"
    closed = missing <= rules.missing
    lead = _lead(sequence, runs.typical, lead, length - follow if closed else -follow)
    begin = _begins(sequence, runs, lead)
    # The anchor of the last block of each run; a run of one anchor may have no block.
    last = runs.first + runs.count - (1 if closed else 2)
    end = _ends(sequence, runs, lead, np.maximum(last, runs.first))
    borders = [
        np.append(begin[first : final + 1], end[number])
        for number, (first, final) in enumerate(zip(runs.first.tolist(), last.tolist(), strict=True))
        if final >= first
    ]
    return RunBorders(runs=tuple(borders), regular=runs.regular)


def _agreements(sequence: KernelSequence, runs: AnchoredRuns) -> tuple[int, int]:
    """How many kernels agree before the first and from the last anchor of a step of the commonest length.

    They are compared with two blocks: what agrees with most of the second is a block that has no anchor.
    """
    lengths, of_run = np.unique(runs.count, return_inverse=True)
    usual = int(lengths[np.argmax(np.bincount(of_run, weights=runs.count))])
    twice = np.tile(runs.typical, 2)
    first = runs.anchors[runs.first[runs.count == usual]]
    last = runs.anchors[runs.first[runs.count == usual] + usual - 1]
    reach = 2 * len(twice)
    # The first step may have begun before the trace, and the last one end after it.
    begins = (first[1:] if len(first) > 1 else first)[:_RUNS_ASKED].tolist()
    ends = (last[:-1] if len(last) > 1 else last)[:_RUNS_ASKED].tolist()
    before = [sequence.tokens[max(0, begin - reach) : begin][::-1] for begin in begins]
    after = [sequence.tokens[end : end + reach] for end in ends]
    return _usually(sequence, before, twice[:0:-1]), _usually(sequence, after, twice)


def _usually(sequence: KernelSequence, actual: list[Int64s], usual: Int64s) -> int:
    """How many of the usual kernels most of the sequences agree with. Most are alike: each is looked at once."""
    agreeing: Counter[int] = Counter()
    for alike, times in Counter(one.tobytes() for one in actual).items():
        agreeing[_aligned(sequence, np.frombuffer(alike, dtype=np.int64), usual)[1]] += times
    return agreeing.most_common(1)[0][0]


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
    weights = mixing(rows.shape[1])[0][: rows.shape[1]]
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
