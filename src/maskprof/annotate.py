"""Named ranges around phases, blocks and the skip path, for runs under a profiler.

Two prices, measured on CPU with torch 2.13: `record_function` costs 6 to 8 us a range, with a profiler running
or not, and appears on the GPU's timeline too; the reusable fast range costs 0.5 us and appears on the host's
alone (category `cpu_op`). So phases and blocks get the former, the inside of the skip path the latter. Clean
runs use neither: their forward has no range at all.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from maskprof.ranges import (
    INSTRUMENT,
    INSTRUMENT_EMPTY_TURN,
    INSTRUMENT_INNER,
    INSTRUMENT_NEXT_EMPTY_TURN,
    INSTRUMENT_NEXT_TURN,
    INSTRUMENT_TURN,
)

# Private in torch, so it may be missing in a version of the future; record_function then takes its place.
_FastRange: Any = getattr(torch._C._profiler, "_RecordFunctionFast", None)  # noqa: SLF001


def coarse_range(name: str) -> AbstractContextManager[Any]:
    """A range for phases and blocks; may be entered again and again, though not inside itself."""
    return torch.profiler.record_function(name)


def fine_range(name: str) -> AbstractContextManager[Any]:
    """A cheap range for the skip path; may be entered again and again, though not inside itself."""
    range_: AbstractContextManager[Any] = _FastRange(name) if _FastRange is not None else coarse_range(name)
    return range_


def write_empty_turns(count: int, between: Callable[[], object]) -> None:
    """Write `count` pairs of empty turns, shaped like a skipped block's, by which a trace tells its own cost.

    To be called inside the profiler session whose cost is wanted. `between` is called before each pair and
    does what leaves the processor's caches as an active block does. The second turn of a pair finds them as a skipped
    block does that follows a skipped one: it costs about half.
    """
    turn, empty = coarse_range(INSTRUMENT_TURN), coarse_range(INSTRUMENT_EMPTY_TURN)
    next_turn, next_empty = coarse_range(INSTRUMENT_NEXT_TURN), coarse_range(INSTRUMENT_NEXT_EMPTY_TURN)
    inner = fine_range(INSTRUMENT_INNER)
    with coarse_range(INSTRUMENT):
        # One kind after the other: alternating, the cost of leaving one would show up in the next.
        for _ in range(count):
            between()
            for pair_member in (turn, next_turn):
                with pair_member:
                    with inner:
                        pass
                    with inner:
                        pass
        for _ in range(count):
            between()
            with empty:
                pass
            with next_empty:
                pass
