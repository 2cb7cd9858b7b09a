"""The names of the ranges in a trace: written by `annotate`, read by `analysis`, decided here alone.

`phase.prefill`, `phase.decode`, ...: one per phase (decode: one per step).
`block.07.active`, `block.07.skipped`: a block's whole turn; inside it `block.07.mask_check`,
`block.07.compute`, `block.07.cache.dummy`, `block.07.cache.reuse`.
`instrument.*`: the empty ranges by which the recorder measures its own cost.

Only letters, digits, dots and underscores are used: torch's exporter writes invalid JSON for a double quote
in a name and changes backslashes and anything that is not ASCII.
"""

import re
from dataclasses import dataclass
from typing import Literal

Phase = Literal["vision", "projector", "prefill", "decode"]
PHASES: tuple[Phase, ...] = ("vision", "projector", "prefill", "decode")

BlockPart = Literal["active", "skipped", "mask_check", "compute", "cache.dummy", "cache.reuse"]
BLOCK_PARTS: tuple[BlockPart, ...] = (
    "active",
    "skipped",
    "mask_check",
    "compute",
    "cache.dummy",
    "cache.reuse",
)

INSTRUMENT = "instrument.calibration"
INSTRUMENT_TURN = "instrument.turn"
INSTRUMENT_EMPTY_TURN = "instrument.empty_turn"
# The same right after one of those: what a turn costs that follows a skipped one, whose caches are still warm.
INSTRUMENT_NEXT_TURN = "instrument.next_turn"
INSTRUMENT_NEXT_EMPTY_TURN = "instrument.next_empty_turn"
INSTRUMENT_INNER = "instrument.inner"

_BLOCK = re.compile(r"block\.(\d{1,9})\.(active|skipped|mask_check|compute|cache\.dummy|cache\.reuse)")
_PHASE = re.compile(r"phase\.(vision|projector|prefill|decode)")


@dataclass(frozen=True, slots=True)
class BlockRange:
    """A parsed block range: which block, and which part of its turn."""

    block: int
    part: BlockPart


def phase_range(phase: Phase) -> str:
    """Name of the range around one phase."""
    return f"phase.{phase}"


def block_range(block: int, total: int, part: BlockPart) -> str:
    """Name of a range in the turn of `block`; the index is padded to the width of `total`, at least 2."""
    return f"block.{block:0{max(2, len(str(total)))}d}.{part}"


def parse_phase(name: str) -> Phase | None:
    """The phase that a range name stands for, or None if it is another name."""
    match = _PHASE.fullmatch(name)
    return match[1] if match else None  # type: ignore[return-value]


def parse_block(name: str) -> BlockRange | None:
    """The block and part that a range name stands for, or None if it is another name."""
    match = _BLOCK.fullmatch(name)
    return BlockRange(int(match[1]), match[2]) if match else None  # type: ignore[arg-type]


def is_block_or_instrument(name: str) -> bool:
    """Whether a range is a part of a block's turn, or one that the recorder measures its own cost by."""
    return _BLOCK.fullmatch(name) is not None or name.startswith("instrument.")
