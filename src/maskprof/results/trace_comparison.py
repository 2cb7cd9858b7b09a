"""Traces side by side: two of them by what they hold, and the ranks of one job."""

from dataclasses import dataclass, field
from typing import Literal

from maskprof.results.trace_summary import TraceFacts

DiffStatus = Literal["added", "removed", "more", "fewer", "slower", "faster", "same"]
"""Only in B, only in A; more or fewer calls of about the same length; calls that take longer or shorter.

A block is `removed` where it runs in A and is skipped in B, `added` the other way round.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """One thing in two traces; a side on which it is absent has count 0 and time 0.

    `key` names it: a block's number, a phase, a range, a category, an operator, a kernel. Times are per step for
    phases and blocks, totals for the others: of device events for categories and kernels, host self time for
    operators. Phases, blocks and ranges have device time where both traces have a device, else host time. Counts
    are steps for phases, kernels per step (without a device: operators) for blocks, ranges and calls for others.
    """

    key: str
    count_a: float
    count_b: float
    us_a: float
    us_b: float
    status: DiffStatus

    @property
    def delta_us(self) -> float:
        return self.us_b - self.us_a


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDiffRow(DiffRow):
    """One block in one phase of two traces.

    `work` is what it does on either side, by name: kernels, copies and memsets, or operators where the traces have no
    device. Per step like the block's own figures; the largest change of time first.
    """

    work: tuple[DiffRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedChange:
    """What became less or more, where blocks run in one of two traces only; figures are B's minus A's.

    Attributes:
        inside_count, inside_us: inside those blocks, over all steps.
        whole_count, whole_us: in the whole traces. Where both are the same, nothing else changed.
    """

    inside_count: int
    inside_us: float
    whole_count: int
    whole_us: float

    @property
    def elsewhere_count(self) -> int:
        return self.whole_count - self.inside_count

    @property
    def elsewhere_us(self) -> float:
        return self.whole_us - self.inside_us


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRow(SkippedChange):
    """The change of one category of device work."""

    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedKernel(SkippedChange):
    """The change of one kernel; of one operator where the traces have no device (`us` is self time)."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceDiff:
    """Two traces side by side: what is in A, what is in B.

    Attributes:
        headline: in words, what changed.
        phases: by order in A.
        blocks: per phase, by number; each with its work by name.
        ranges: those of users, numbers of steps in their names left out; by order in A.
        categories, operators, kernels: complete, the largest change of time first.
        skipped_only_in_a, skipped_only_in_b: numbers of blocks that run on the other side alone: skipped here, or
            taken out so that nothing is seen of them.
        skipped: what went with those blocks and what changed elsewhere, the largest part of theirs first; empty
            where a side has no device, or other numbers of steps.
        skipped_kernels: the same kernel by kernel (without a device, operator by operator), of all whose number
            changed. Where each one's change is inside those blocks, exactly their kernels are gone.
        notes: sentences on what a comparison has to mind, among them when two times count as the same.
    """

    a: TraceFacts
    b: TraceFacts
    headline: tuple[str, ...]
    phases: tuple[DiffRow, ...]
    blocks: dict[str, tuple[BlockDiffRow, ...]] = field(default_factory=dict)
    ranges: tuple[DiffRow, ...] = ()
    categories: tuple[DiffRow, ...] = ()
    operators: tuple[DiffRow, ...] = ()
    kernels: tuple[DiffRow, ...] = ()
    skipped_only_in_a: tuple[int, ...] = ()
    skipped_only_in_b: tuple[int, ...] = ()
    skipped: tuple[SkippedRow, ...] = ()
    skipped_kernels: tuple[SkippedKernel, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """One rank of a job: its device's time, and how far it is from the others.

    Attributes:
        compute_us: time in which anything but communication runs.
        communication_us: union of the communication kernels.
        wait_us: time in communication kernels beyond the least of all ranks. A collective ends for all ranks at
            once, so that what one rank spends in it longer than another it waited; who comes last waits least.
    """

    rank: int
    path: str
    span_us: float
    busy_us: float
    compute_us: float
    communication_us: float
    wait_us: float
    idle_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankComparison:
    """All ranks of a job, by rank.

    Attributes:
        stragglers: the ranks for which the others wait, by rank.
        notes: a sentence on each straggler; then on ranks that are missing or in several files.
    """

    rows: tuple[RankRow, ...]
    stragglers: tuple[int, ...]
    notes: tuple[str, ...] = ()
