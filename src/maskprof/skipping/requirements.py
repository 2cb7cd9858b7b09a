"""Which blocks cannot run without another one: those that reuse what an earlier block has computed.

Under a mask that skips the earlier one it is not defined what such a block would do, so the mask is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask

# Their blocks hand a selection of tokens to the next block only; elsewhere it goes on until the next full indexer.
_SELECTION_FOR_THE_NEXT_BLOCK = frozenset({"glm5_next_text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Where `block` runs, one of the blocks `any_of` has to run too.

    Attributes:
        any_of: in ascending order; the last one is what the block uses in the whole model.
        use: what `block` does with it, to stand between the two in a sentence.
    """

    block: int
    any_of: tuple[int, ...]
    use: str


def requirements(config: Any, total: int) -> tuple[Requirement, ...]:
    """What a decoder of `total` blocks with this transformers config demands of a mask; mostly nothing."""
    return (*_shared_keys_and_values(config, total), *_shared_indexers(config, total))


def check_defined(mask: BlockMask, needed: Iterable[Requirement], model_name: str) -> None:
    """Refuse a mask under which a block would lack what it reuses.

    Raises:
        MaskError: names the first such block, and all blocks that would have to stay on.
    """
    unmet = [one for one in needed if mask[one.block] and not any(mask[other] for other in one.any_of)]
    if not unmet:
        return
    first, missing = unmet[0], sorted({one.any_of[-1] for one in unmet})
    raise MaskError(
        f"mask {mask} is not defined for {model_name}: block {first.block} {first.use} block {first.any_of[-1]}, "
        f"which is skipped; {_blocks(missing)} would have to stay on"
    )


def _shared_keys_and_values(config: Any, total: int) -> Iterator[Requirement]:
    use = "reuses the keys and values of"
    named = getattr(config, "kv_source_layers", None)
    if named is not None:
        yield from (
            Requirement(block=block, any_of=(source,), use=use)
            for block, source in enumerate(named[:total])
            if source != block
        )
        return
    modes = _sharing_modes(config, total)
    kinds = getattr(config, "layer_types", None) or [None] * total
    storing: dict[Any, int] = {}
    for block, (mode, kind) in enumerate(zip(modes, kinds, strict=False)):
        if mode == "store":
            storing[kind] = block
        elif mode is not None and kind in storing:
            yield Requirement(block=block, any_of=(storing[kind],), use=use)


def _sharing_modes(config: Any, total: int) -> Sequence[str | None]:
    modes: Sequence[str | None] | None = getattr(config, "kv_sharing_modes", None)
    if modes is not None:
        return modes
    shared = getattr(config, "num_kv_shared_layers", None) or 0
    # Only some versions of transformers name the blocks that store: the last ones of their kind do.
    return ["store"] * (total - shared) + ["reuse"] * shared if shared else [None] * total


def _shared_indexers(config: Any, total: int) -> Iterator[Requirement]:
    types = getattr(config, "indexer_types", None) or ()
    kinds = getattr(config, "layer_types", None) or ["indexed_attention"] * total
    full: tuple[int, ...] = ()
    for block, (kind, indexer) in enumerate(zip(kinds, types, strict=False)):
        if kind == "linear_attention":
            continue
        if indexer == "full":
            full = (*full, block)
        elif indexer == "shared" and full:
            nearest_only = getattr(config, "model_type", None) in _SELECTION_FOR_THE_NEXT_BLOCK
            yield Requirement(
                block=block,
                any_of=full[-1:] if nearest_only else full,
                use="attends to the tokens that are chosen by the indexer of",
            )


def _blocks(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"block {numbers[0]}"
    return f"blocks {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
