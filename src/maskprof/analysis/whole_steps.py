"""Which runs of blocks are whole steps, and which are cut off by the edges of the trace."""

from dataclasses import dataclass

import numpy as np

from maskprof.analysis.block_borders import RunBorders
from maskprof.analysis.period_rules import KernelSequence, Rules
from maskprof.traces.columns import Bools, Int64s

# With fewer kernels, what ends one step may by chance be where a trace was cut.
_SHORTEST_END = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SortedRuns:
    """Borders of the blocks in whole steps, shape (steps, blocks + 1), and of whole blocks in others."""

    whole: Int64s
    cut: tuple[Int64s, ...]
    regular: int

    @property
    def rank(self) -> tuple[int, int]:
        """By what the best of several is chosen: blocks in whole steps, then regular ones."""
        return self.whole.shape[0] * (self.whole.shape[1] - 1), self.regular


def sort_runs(sequence: KernelSequence, borders: RunBorders, rules: Rules) -> SortedRuns | str:
    """Tell whole steps from those that are cut off; a sentence where no step is whole, or they differ in length.

    Between two runs a step ends and another begins. Before the first run and after the last one it takes a
    kernel that no block has: without one the step may have begun before the trace, or go on after it. Then the run is
    whole only if it has as many blocks as one that is known to be.
    """
    runs = borders.runs
    counts = [len(run) - 1 for run in runs]
    foreign = _foreign(sequence, runs)
    begun = [True] * len(runs)
    ended = [True] * len(runs)
    begun[0] = bool(foreign[: max(int(runs[0][0]), 0)].any())
    ended[-1] = bool(foreign[int(runs[-1][-1]) :].any())
    known = {count for count, begins, ends in zip(counts, begun, ended, strict=True) if begins and ends}
    if not known and len(runs) > 1 and begun[-1] and _ends_like_another(sequence, foreign, runs):
        known = {counts[-1]}
    if len(known) > 1:
        return _unequal(counts)
    if not known:
        return "no step lies wholly within the trace"
    blocks = known.pop()
    if blocks < rules.fewest_blocks:
        return f"what repeats does so fewer than {rules.fewest_blocks} times in a row"
    if max(counts) > blocks:
        return _unequal(counts)
    whole, cut = [], []
    size = len(sequence.tokens)
    for run, count in zip(runs, counts, strict=True):
        # Up to one kernel may be missing: the norm that the first or last block has elsewhere.
        inside = (run[:-1] >= -1) & (run[1:] <= size + 1)
        clipped = np.clip(run, 0, size)
        if count == blocks and inside.all():
            whole.append(clipped)
        elif inside.any():
            at = np.flatnonzero(inside)
            cut.append(clipped[at[0] : at[-1] + 2])
    if not whole:
        return "no step lies wholly within the trace"
    return SortedRuns(whole=np.array(whole, dtype=np.int64), cut=tuple(cut), regular=borders.regular)


def _foreign(sequence: KernelSequence, runs: tuple[Int64s, ...]) -> Bools:
    """Which kernels of the sequence no block has; shape (kernels,)."""
    tokens = sequence.tokens
    edges = np.clip(np.array([(run[0], run[-1]) for run in runs]), 0, len(tokens))
    depth = np.zeros(len(tokens) + 1, dtype=np.int64)
    np.add.at(depth, edges[:, 0], 1)
    np.add.at(depth, edges[:, 1], -1)
    is_foreign = np.ones(len(sequence.attends), dtype=np.bool_)
    is_foreign[tokens[np.cumsum(depth[:-1]) > 0]] = False
    found: Bools = is_foreign[tokens]
    return found


def _ends_like_another(sequence: KernelSequence, foreign: Bools, runs: tuple[Int64s, ...]) -> bool:
    """Whether what follows the last run, to the end of the trace, is all that follows an earlier one.

    That is, all that blocks have as well, such as a last norm; too little of it may be the beginning of a block.
    """
    tail = sequence.tokens[int(runs[-1][-1]) :]
    if len(tail) < _SHORTEST_END:
        return False
    ends = [(int(run[-1]), int(run[-1]) + len(tail)) for run in runs[:-1]]
    return any(foreign[after] and np.array_equal(sequence.tokens[end:after], tail) for end, after in ends)


def _unequal(counts: list[int]) -> str:
    return f"steps have different numbers of blocks ({', '.join(map(str, sorted(set(counts))[:6]))})"
