"""Kernels that occur once in every block, and what they say about blocks and steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskprof.analysis.period_rules import KernelSequence, Rules
from maskprof.traces.columns import Bools, Int64s

# Candidates differ in how often they occur and how far apart; this many kinds of them are looked at closely.
_MOST_CANDIDATES = 12
# Attention kernels with no more than two others between them are one attention's.
_SAME_ATTENTION = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnchoredRuns:
    """Blocks by their anchors, in runs of blocks that follow one another.

    Attributes:
        anchors: positions of the anchors, ascending; shape (anchors,).
        first, count: each run's first anchor and number of anchors; shape (runs,).
        typical: the codes from one anchor up to the next, in the commonest form; shape (kernels of a block,).
        regular: how many pairs of neighbours hold a typical block.
    """

    anchors: Int64s
    first: Int64s
    count: Int64s
    typical: Int64s
    regular: int


def anchor_candidates(tokens: Int64s, rules: Rules) -> Iterator[Int64s]:
    """Positions of single kernels, and of pairs, that come back at nearly equal distances."""
    if len(tokens) < rules.fewest_blocks * rules.shortest_block:
        return
    pairs = tokens[:-1] * (int(tokens.max()) + 1) + tokens[1:]
    seen: set[tuple[int, int]] = set()
    ranked: list[tuple[int, Int64s]] = []
    for codes in (tokens, pairs):
        order = np.argsort(codes, kind="stable")
        changed = codes[order[1:]] != codes[order[:-1]]
        starts = np.flatnonzero(np.concatenate(([True], changed)))
        counts = np.diff(np.concatenate((starts, [len(order)])))
        group = np.repeat(np.arange(len(starts)), counts)[1:][~changed]
        gaps = np.diff(order)[~changed]
        # The median of each group's gaps: its middle one, once they are sorted within the groups.
        gap_starts = np.concatenate(([0], np.cumsum(counts - 1)))[:-1]
        sorted_gaps = gaps[np.lexsort((gaps, group))]
        usual = np.where(counts > 1, np.append(sorted_gaps, 0)[gap_starts + (counts - 1) // 2], 0)
        near = (gaps >= usual[group] * (1 - rules.longer)) & (gaps <= usual[group] * (1 + rules.longer))
        reach = np.bincount(group, weights=gaps * near, minlength=len(starts))
        chosen = np.flatnonzero(
            (counts >= rules.fewest_blocks) & (usual >= rules.shortest_block) & (reach * 4 >= len(tokens))
        )
        for one in chosen[np.argsort(-reach[chosen], kind="stable")].tolist():
            kind = int(counts[one]), int(usual[one])
            if kind not in seen:
                seen.add(kind)
                ranked.append((int(reach[one]), order[starts[one] : starts[one] + counts[one]]))
    ranked.sort(key=lambda one: (-one[0], -len(one[1])))
    for _, anchors in ranked[:_MOST_CANDIDATES]:
        yield anchors.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Units:
    """What lies from each anchor up to the next; arrays have shape (anchors - 1,).

    Attributes:
        regular: holds a typical block, and little else.
        deviant: holds something else with an attention in it, which may be a block of another kind.
        attends: holds an attention.
        edge: holds a kernel of a step's beginning or end.
    """

    regular: Bools
    deviant: Bools
    attends: Bools
    edge: Bools
    typical: Int64s


def anchored_runs(sequence: KernelSequence, anchors: Int64s, rules: Rules) -> AnchoredRuns | str:
    """Blocks at `anchors`, or a sentence on why these are no blocks."""
    units = _units(sequence, anchors, rules)
    if (reason := _no_block(sequence, units.typical, rules)) is not None:
        return reason
    inside = units.regular | units.deviant
    # Blocks of another kind are believed before and between regular ones, not after the last of them.
    run = np.cumsum(~inside)
    last_regular = np.full(int(run.max()) + 1, -1, dtype=np.int64)
    np.maximum.at(last_regular, run[units.regular], np.flatnonzero(units.regular))
    inside &= np.arange(len(inside)) <= last_regular[run]
    blocks = np.count_nonzero(inside)
    if np.count_nonzero(units.regular) < max(1.0, rules.regular * blocks):
        return "what repeats varies too much"
    if np.count_nonzero(units.attends & inside) < rules.attending * blocks:
        return "what repeats has an attention in it now and then only"
    if (~inside & ~units.edge).any():
        return "what lies between two repetitions is neither a block nor the edge of a step"
    first = np.flatnonzero(np.concatenate(([True], ~inside)))
    return AnchoredRuns(
        anchors=anchors,
        first=first,
        count=np.diff(np.concatenate((first, [len(anchors)]))),
        typical=units.typical,
        regular=int(np.count_nonzero(units.regular)),
    )


def _no_block(sequence: KernelSequence, typical: Int64s, rules: Rules) -> str | None:
    """Why a stretch cannot be one block, in a sentence; None where it can."""
    attentions = _groups(sequence.attends[typical])
    if attentions == 0:
        return "what repeats has no attention in it"
    if attentions > rules.most_attentions:
        return f"what repeats has {attentions} attentions in it: several blocks"
    if sequence.edge[typical].any():
        return "what repeats looks up embeddings or chooses tokens: whole steps"
    return None


def _units(sequence: KernelSequence, anchors: Int64s, rules: Rules) -> _Units:
    lengths = np.diff(anchors)
    count, codes = len(lengths), len(sequence.attends)
    tokens = sequence.tokens[anchors[0] : anchors[-1]]
    unit = np.repeat(np.arange(count), lengths)
    start = anchors[:-1] - anchors[0]
    typical = _commonest(tokens, start, lengths)

    cells, times = np.unique(unit * codes + tokens, return_counts=True)
    of_unit, code = cells // codes, cells % codes
    usual = np.bincount(typical, minlength=codes)
    shared = np.bincount(of_unit, weights=np.minimum(times, usual[code]), minlength=count)
    similar = shared / len(typical)
    attends = np.bincount(of_unit, weights=sequence.attends[code], minlength=count) > 0
    # No block has what a step begins or ends with; a typical one that has it is refused.
    edge = np.bincount(of_unit, weights=sequence.edge[code], minlength=count) > 0
    longest = (1 + rules.longer) * len(typical) + 2
    regular = ~edge & (similar >= rules.similar) & (lengths <= longest)
    # What holds a whole block and more than a little else is the border of a step.
    deviant = (
        ~edge
        & ~regular
        & attends
        & (similar >= rules.deviant)
        & (similar < rules.similar)
        & (lengths <= 2 * len(typical))
    )
    return _Units(regular=regular, deviant=deviant, attends=attends, edge=edge, typical=typical)


def _commonest(tokens: Int64s, start: Int64s, lengths: Int64s) -> Int64s:
    """The codes of the unit that occurs most often exactly as it is; the first of several."""
    by_token, by_offset = mixing(max(int(tokens.max()) + 1, int(lengths.max())))
    offset = np.arange(len(tokens)) - np.repeat(start, lengths)
    marks = (by_token[tokens] ^ by_offset[offset]) * (2 * offset + 1)
    _, first, counts = np.unique(np.add.reduceat(marks, start), return_index=True, return_counts=True)
    # Among equals the one of middle length: the others may hold the edge of a step, or less than a block.
    by_length = np.sort(lengths)
    distance = np.abs(2 * lengths[first] - by_length[(len(lengths) - 1) // 2] - by_length[len(lengths) // 2])
    one = first[np.lexsort((first, distance, -counts))[0]]
    return tokens[start[one] : start[one] + lengths[one]]


def mixing(least: int) -> Int64s:
    """Random numbers, always the same, of which sums tell sequences apart; shape (2, at least `least`)."""
    return _mixing(1 << max(least - 1, 1).bit_length())


@lru_cache(maxsize=8)
def _mixing(size: int) -> Int64s:
    return np.random.default_rng(0).integers(1, 2**62, size=(2, size))


def _groups(flags: Bools) -> int:
    """Groups of set flags, in a sequence that is read as a ring."""
    at = np.flatnonzero(flags)
    if not len(at):
        return 0
    distance = np.diff(np.append(at, at[0] + len(flags)))
    return max(1, int(np.count_nonzero(distance > _SAME_ATTENTION)))
