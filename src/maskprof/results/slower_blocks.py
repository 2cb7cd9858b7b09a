"""Two sets of traces of the same model, block by block: which block became slower."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChange:
    """One block in one phase, on both sides.

    Attributes:
        block, phase: which.
        turns: how many turns were compared, on the side that has fewer.
        before_us, after_us: the block's median turn, as recorded: ranges cost the same on both sides.
        change: how much more of a step the block takes than it did, measured by the other blocks of the same
            step, so that what makes a whole step slower is no change: 0.02 is 2 % slower. By the lower quartiles.
        interval: of `change`; of all blocks' intervals together, 95 % of comparisons have none that is wrong. None
            where there are too few pairs.
    """

    block: int
    phase: str
    turns: int
    before_us: float
    after_us: float
    change: float
    interval: tuple[float, float] | None

    @property
    def is_clear(self) -> bool:
        """Whether the change is none of chance."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockComparison:
    """All blocks of both sides; `device` tells whether kernels' time was compared, or the host's turns."""

    changes: tuple[BlockChange, ...]
    device: bool

    @property
    def clear(self) -> tuple[BlockChange, ...]:
        """Those that changed, the largest first."""
        return tuple(sorted((c for c in self.changes if c.is_clear), key=lambda c: -abs(c.change)))
