"""The blocks of the model in a trace: by our ranges, by module ranges, or by the kernels' own rhythm."""

from dataclasses import dataclass

from maskprof.analysis.block_turns import phases_of_turns
from maskprof.analysis.blocks_from_annotations import turns_from_annotations
from maskprof.analysis.blocks_from_modules import turns_from_modules
from maskprof.analysis.blocks_from_period import blocks_from_period
from maskprof.analysis.blocks_from_ranges import turns_from_ranges
from maskprof.analysis.launched import Launched
from maskprof.results.trace_summary import Blocks

_OURS = "maskprof's ranges (maskprof run, or BlockMaskWrapper(model, mask, ranges=True))"
# PyTorch's with_modules=True names modules of TorchScript alone.
_MODULES = "the profiler's module ranges (with_stack=True)"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSearch:
    """What was found, and where nothing was: why not, in words that make a sentence with a full stop."""

    blocks: Blocks | None
    reason: str | None = None


def no_blocks(search: BlockSearch, *, has_modules: bool) -> str | None:
    """Where no blocks were found: why, and how to record a trace that shows them; else None.

    `has_modules` says whether the trace has module ranges, so that recording them once more is no way out.
    """
    if search.blocks is not None:
        return None
    ways = _OURS if has_modules else f"{_OURS} or with {_MODULES}"
    return f"No blocks: {search.reason}. To see time block by block, record with {ways}."


def find_blocks_in(launched: Launched) -> Blocks | None:
    """Time per block and phase, by the best source that the trace has; None where none of them is convincing."""
    return search_blocks(launched).blocks


def search_blocks(launched: Launched) -> BlockSearch:
    """The same as `find_blocks_in`, with the reason where no blocks are found."""
    trace = launched.trace
    turns = turns_from_ranges(trace) or turns_from_modules(launched) or turns_from_annotations(trace)
    if turns is not None:
        phases = phases_of_turns(launched, turns)
        return BlockSearch(blocks=Blocks(source=turns.source, phases=phases, note=turns.note))
    found = blocks_from_period(launched)
    return BlockSearch(blocks=None, reason=found) if isinstance(found, str) else BlockSearch(blocks=found)
