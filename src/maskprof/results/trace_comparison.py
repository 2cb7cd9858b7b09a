"""Traces side by side: two of them by what they hold, and the ranks of one job."""

from dataclasses import dataclass, field
from typing import Literal

from maskprof.results.trace_summary import TraceFacts

DiffStatus = Literal["added", "removed", "slower", "faster", "same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """One thing in two traces; a side on which it is absent has count 0 and time 0.

    `key` names it: a block's number, a phase, an operator, a kernel. Times are per step for blocks and phases,
    totals for operators and kernels.
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
class TraceDiff:
    """Two traces side by side. `headline` says in words what changed; `skipped_*` lists blocks."""

    a: TraceFacts
    b: TraceFacts
    headline: tuple[str, ...]
    phases: tuple[DiffRow, ...]
    blocks: dict[str, tuple[DiffRow, ...]] = field(default_factory=dict)
    categories: tuple[DiffRow, ...] = ()
    operators: tuple[DiffRow, ...] = ()
    kernels: tuple[DiffRow, ...] = ()
    skipped_only_in_a: tuple[int, ...] = ()
    skipped_only_in_b: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRow:
    """One rank of a job: its device's time, and how far it is from the others.

    `wait_us` is the time in communication kernels beyond the least of all ranks: what this rank waited for
    others. The straggler is the rank that waits least.
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
    """All ranks of a job, by rank; `stragglers` with a sentence on each."""

    rows: tuple[RankRow, ...]
    stragglers: tuple[int, ...]
    notes: tuple[str, ...] = ()
