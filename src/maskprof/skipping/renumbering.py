"""What a model with fewer blocks needs beside the shorter list: block numbers, and a config that fits.

All changes go into attribute dictionaries and are undone by the `ExitStack` that each function is given.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import Anatomy

_NUMBER_ATTRIBUTES = ("layer_idx", "layer_id", "layer_number", "layer_index", "block_idx", "idx")
_COUNT_KEYS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "decoder_layers",
    "num_decoder_layers",
)
# Lists of block numbers, in configs and on the module that loops over the blocks.
NUMBER_LISTS = ("attn_layer_indices", "cross_attention_layers")
# Kinds of blocks, which some configs work out from other values.
KINDS = ("layer_types", "layers_block_type")
# Of gemma3n and gemma4: modules whose output holds a part for each block, one after the other.
_PER_BLOCK_OUTPUTS = ("embed_tokens_per_layer", "per_layer_model_projection")


def is_per_layer(value: Any, total: int) -> bool:
    """Whether this value of a config has one entry for each of `total` blocks."""
    return isinstance(value, (list, tuple)) and len(value) == total


def renumber_blocks(undo: ExitStack, blocks: nn.ModuleList, anatomy: Anatomy, mask: BlockMask) -> None:
    """Give the active blocks the numbers, and the cache slots, that they have in the shorter list."""
    numbers = _new_numbers(mask)
    first_slot = 0
    changed: set[int] = set()
    for old, new in numbers.items():
        slots = {slot: first_slot + i for i, slot in enumerate(anatomy.blocks[old].slots)}
        first_slot += len(slots)
        # Where blocks have several slots each, the numbers of slots are not those of blocks.
        renamed = {old: new} | (slots if old not in slots else {})
        for module in blocks[old].modules():
            if id(module) in changed:
                continue
            changed.add(id(module))
            _renumber_module(undo, module, renamed, numbers)


def _renumber_module(
    undo: ExitStack, module: nn.Module, renamed: Mapping[int, int], numbers: Mapping[int, int]
) -> None:
    for key in _NUMBER_ATTRIBUTES:
        value = module.__dict__.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value in renamed:
            _set(undo, module.__dict__, key, renamed[value])
    # Of zamba2: a transformer shared by several blocks has an adapter for each, by the block's number.
    adapters = module.__dict__.get("layer_dic")
    if isinstance(adapters, dict):
        kept = {numbers[old]: adapter for old, adapter in adapters.items() if old in numbers}
        _set(undo, module.__dict__, "layer_dic", kept)


def renumber_loop(undo: ExitStack, loop: nn.Module, mask: BlockMask) -> None:
    """Fit what the module that loops over the blocks knows of their numbers."""
    _renumber_lists(undo, loop.__dict__, mask)
    first_sharing = loop.__dict__.get("first_kv_shared_layer_idx")
    if first_sharing is not None:
        _set(undo, loop.__dict__, "first_kv_shared_layer_idx", sum(mask[:first_sharing]))

    def keep_parts_of_active(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        parts = output.reshape(*output.shape[:-1], mask.total, -1)
        kept: Tensor = parts[..., list(mask.active_indices), :].flatten(-2)
        return kept

    for name in _PER_BLOCK_OUTPUTS:
        module = getattr(loop, name, None)
        if isinstance(module, nn.Module):
            undo.callback(module.register_forward_hook(keep_parts_of_active).remove)


def shorten_config(undo: ExitStack, config: Any, mask: BlockMask, model_name: str) -> None:
    """Cut a config's per-layer lists and counts to the active blocks.

    Raises:
        MaskError: the config works the kinds of its blocks out, and they cannot be made to be those of the mask.
    """
    given = {key: getattr(config, key, None) for key in KINDS}
    kinds = {
        key: [value[i] for i in mask.active_indices]
        for key, value in given.items()
        if value is not None and len(value) == mask.total
    }
    # Straight into the dictionary: setters of strict configs would check a half-changed state.
    attributes = vars(config)
    numbers = _new_numbers(mask)
    for key, value in list(attributes.items()):
        if key in NUMBER_LISTS:
            continue
        if key == "kv_source_layers" and value is not None:
            _set(undo, attributes, key, [numbers[value[i]] for i in mask.active_indices])
        elif key == "block_types" and value:  # of recurrent_gemma: kinds of blocks, repeated to the depth
            _set(undo, attributes, key, [value[i % len(value)] for i in mask.active_indices])
        elif is_per_layer(value, mask.total):
            _set(undo, attributes, key, type(value)(value[i] for i in mask.active_indices))
        elif key in _COUNT_KEYS and value == mask.total:
            _set(undo, attributes, key, mask.num_active)
        elif key == "num_kv_shared_layers" and value:
            _set(undo, attributes, key, sum(mask[mask.total - value :]))
    _renumber_lists(undo, attributes, mask)
    for key, kept in kinds.items():
        if list(getattr(config, key)) != kept:
            raise MaskError(
                f"skip mode 'remove' does not fit {model_name} under mask {mask}: its config works out '{key}' "
                "from block numbers, which gives other kinds of blocks than those that are left; use 'mask'"
            )


def _new_numbers(mask: BlockMask) -> dict[int, int]:
    return {old: new for new, old in enumerate(mask.active_indices)}


def _renumber_lists(undo: ExitStack, attributes: dict[str, Any], mask: BlockMask) -> None:
    numbers = _new_numbers(mask)
    for key in NUMBER_LISTS:
        value = attributes.get(key)
        if isinstance(value, (list, tuple)):
            _set(undo, attributes, key, type(value)(numbers[old] for old in value if old in numbers))


def _set(undo: ExitStack, attributes: dict[str, Any], key: str, value: Any) -> None:
    undo.callback(attributes.__setitem__, key, attributes[key])
    attributes[key] = value
