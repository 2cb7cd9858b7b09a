"""What counts as a convincing repetition of kernels, and what a sequence of kernels is."""

from dataclasses import dataclass

from maskprof.traces.columns import Bools
from maskprof.traces.pieces import Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When repeated kernels are taken for the blocks of a model.

    Attributes:
        fewest_blocks: blocks in a step.
        shortest_block: kernels in a block.
        similar: of the typical block's kernels, the share that a regular block has at least.
        longer: how much longer than the typical block a regular one is at most, as a share of it.
        deviant: the least share for blocks that are otherwise (dense ones before those with experts).
        regular: the share of blocks that are regular, at least.
        attending: the share of blocks with an attention kernel (or another one that mixes tokens), at least.
        most_attentions: groups of such kernels in a block; more of them are several blocks.
        covered: the share of the kernels' time that lies in blocks of whole or cut off steps, at least.
        missing: how much of a block may be missing before the first anchor and after the last, as a share of it.
            If all but this is missing, there is no block there; in between it cannot be told.
    """

    fewest_blocks: int = 3
    shortest_block: int = 4
    similar: float = 0.75
    longer: float = 0.25
    deviant: float = 0.3
    regular: float = 0.7
    attending: float = 0.9
    most_attentions: int = 3
    covered: float = 0.5
    missing: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelSequence:
    """Kernels in the order in which they ran.

    Attributes:
        tokens: what runs, as a code; shape (kernels,). Of a narrow type, as are the times.
        time_ns: how long each ran; shape (kernels,).
        attends: by code, whether it mixes tokens: attention, softmax, a scan; shape (codes,).
        edge: by code, whether it belongs to a step's beginning or end: looking up embeddings, choosing the next
            token; shape (codes,).
        leads: by code, whether blocks begin with it: norms; shape (codes,).
    """

    tokens: Ints
    time_ns: Ints
    attends: Bools
    edge: Bools
    leads: Bools
