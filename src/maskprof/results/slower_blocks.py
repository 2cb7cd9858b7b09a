"""Two sets of traces of the same model, block by block: which block became slower, and what could have been seen."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["traces", "pieces"]
"""What the spread was seen between: whole traces, or pieces of one or two, which cannot tell what differs from
recording to recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChange:
    """One block in one phase, on both sides.

    Attributes:
        block, phase: which.
        turns: how many turns were compared, on the side that has fewer.
        before_us, after_us: the block's median turn, as recorded: ranges cost the same on both sides.
        change: how much more of a step the block takes than it did, measured by the other blocks of the same
            step, so that what makes a whole step slower is no change: 0.02 is 2 % slower. Of each trace what its
            turns have in common, those left out that other work hit; of all traces the mean.
        interval: of `change`; of all blocks' intervals together, 95 % of comparisons have none that is wrong. None
            where there are too few traces and turns to see a spread.
        resolution: the slowdown that these traces would have shown, with the probability that the phase's resolution
            names; None likewise.
    """

    block: int
    phase: str
    turns: int
    before_us: float
    after_us: float
    change: float
    interval: tuple[float, float] | None
    resolution: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the change is none of chance."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResolution:
    """How small a slowdown of one block these traces could have shown in a phase.

    Attributes:
        phase: which.
        unit: what the spread was seen between.
        traces: of each side, on the one that has fewer.
        smallest: of the noisiest block; a slower block is found with the probability `power` if it is that much
            slower or more. None where the spread cannot be seen.
        typical: of the block in the middle.
        spread: standard deviation, from one pair of traces to the next, of the noisiest block's change.
        power: the probability that both are for.
        asked: a resolution that was asked for.
        traces_needed: how many traces of each side, as long as these, would give it: an estimate from the spread
            seen; where these do, as many as there are. Of pieces, the least that can be enough. None where nothing
            was asked, or no number is enough.
    """

    phase: str
    unit: Unit
    traces: int
    smallest: float | None
    typical: float | None
    spread: float | None
    power: float
    asked: float | None = None
    traces_needed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockComparison:
    """All blocks of both sides.

    Attributes:
        changes: by phase and block.
        device: whether kernels' time was compared, or the host's turns.
        resolutions: one per phase, in the order of `changes`.
        alternating: whether the two sides were recorded in turns; None where the traces do not tell when.
    """

    changes: tuple[BlockChange, ...]
    device: bool
    resolutions: tuple[PhaseResolution, ...] = ()
    alternating: bool | None = None

    @property
    def clear(self) -> tuple[BlockChange, ...]:
        """Those that changed, the largest first."""
        return tuple(sorted((c for c in self.changes if c.is_clear), key=lambda c: -abs(c.change)))
