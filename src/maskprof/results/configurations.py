"""Which configurations a run's settings ask for, on a model of so many blocks."""

from hashlib import sha256
from itertools import product

from maskprof.config.knobs import Knobs, knob_suffix
from maskprof.config.schema import RunConfig, Variant
from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.masks.strategies import choose
from maskprof.results.schema import Configuration

# A folder's name may be 255 bytes long; trace files and viewers want some of it.
_LONGEST_INDEX_LIST = 120


def configurations_of(config: RunConfig, total: int) -> tuple[Configuration, ...]:
    """Every mask in every variant at every setting of the knobs, those of one setting together.

    Explicit lists win over counts, and no choice at all is every count.

    Raises:
        MaskError: a count or an index does not fit `total`, or no configuration is left.
    """
    variants, settings = config.variants, config.knobs
    masks = _masks_of(config, total)
    found: dict[str, Configuration] = {}
    for knobs, (stem, strategy, mask), variant in product(settings, masks, variants):
        if variant.skip_mode == "early_exit" and mask != BlockMask.first(mask.num_active, total):
            # The others of a mixed sweep are meant; alone it is a mistake, said below.
            continue
        way = f"-{variant.name}" if len(variants) > 1 else ""
        name = f"{stem}{way}{knob_suffix(knobs, settings)}"
        found[name] = _configuration(name, strategy, mask, variant, knobs)
    if not found:
        raise MaskError(
            "--skip_mode early_exit keeps the first blocks only: choose counts with --strategy first"
        )
    return tuple(found.values())


def _masks_of(config: RunConfig, total: int) -> list[tuple[str, str, BlockMask]]:
    width = max(2, len(str(total)))
    if config.active_block_indices:
        return [
            (
                f"blocks-{_index_list(indices)}-of-{total:0{width}d}",
                "blocks",
                BlockMask.from_indices(sorted(indices), total),
            )
            for indices in config.active_block_indices
        ]
    counts = list(config.num_active_blocks) + [max(1, round(share * total)) for share in config.fractions]
    for count in counts:
        if count > total:
            raise MaskError(f"--num_active_blocks: the model has {total} blocks, {count} cannot be active")
    return [
        (
            f"{config.strategy}-{count:0{width}d}-of-{total:0{width}d}",
            config.strategy,
            choose(config.strategy, count, total, seed=config.seed),
        )
        for count in counts or range(1, total + 1)
    ]


def _index_list(indices: tuple[int, ...]) -> str:
    text = "_".join(str(index) for index in sorted(indices))
    if len(text) <= _LONGEST_INDEX_LIST:
        return text
    return f"{text[:_LONGEST_INDEX_LIST].rpartition('_')[0]}_and_more_{sha256(text.encode()).hexdigest()[:8]}"


def _configuration(
    name: str, strategy: str, mask: BlockMask, variant: Variant, knobs: Knobs
) -> Configuration:
    return Configuration(
        name=name,
        active=tuple(mask),
        strategy=strategy,
        skip_mode=variant.skip_mode,
        dummy_cache=variant.dummy_cache,
        mask_on=variant.mask_on,
        knobs=knobs,
    )
