"""Skip modes that take blocks out of the list: `splice`, `remove`, `early_exit`.

`early_exit` cuts the tail of the list, which keeps every block's number. `splice` also renumbers the blocks
that stay, in the attributes by which they find their cache slots. `remove` furthermore shortens the per-layer
lists and counts of the config, so that the model is, to all appearance, a smaller one with the same weights.
Blocks that share keys and values are counted anew, and of an embedding that holds an input for each block the
active blocks' parts are kept. All three are undone exactly on the way out.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import Anatomy, looping_module, owner_of
from maskprof.skipping.renumbering import (
    KINDS,
    NUMBER_LISTS,
    is_per_layer,
    renumber_blocks,
    renumber_loop,
    shorten_config,
)

# Models whose loop does something of its own between the blocks, which depends on where in the list it is.
_LOOP_COUNTS_BLOCKS = {
    "idefics": "it has cross-attention layers after every few numbers of blocks",
    "inkling2_text": "it keeps the states before every few numbers of blocks for all later ones",
}

# Per-layer values that every architecture reads when a block is built, and none in a forward.
_READ_WHEN_BUILT = (
    "attention_layers",
    "mlp_layer_types",
    "moe_layers",
    "no_rope_layers",
    "rope_scaling_layers",
)


@contextmanager
def shortened(
    model: nn.Module, blocks: nn.ModuleList, anatomy: Anatomy, mask: BlockMask, mode: str
) -> Iterator[None]:
    """While this is entered, the model's list holds the active blocks only."""
    if mode == "early_exit":
        _check_prefix(mask)
    owner = owner_of(model, anatomy)
    name = anatomy.path.rpartition(".")[2]
    loop = looping_module(model, anatomy)
    configs = list(_configs(model, owner, blocks))
    _check_loop(model, configs, mask, mode)
    _check_length_kept(type(model).__name__, anatomy, mask, mode)
    _check_not_rebuilt(type(model).__name__, loop, mode)
    if mode == "splice":
        _check_uniform(type(model).__name__, configs, mask.total)
    with ExitStack() as undo:
        if mode in ("splice", "remove"):
            renumber_blocks(undo, blocks, anatomy, mask)
        if mode in ("early_exit", "remove"):
            renumber_loop(undo, loop, mask)
            for config in configs:
                shorten_config(undo, config, mask, type(model).__name__)
        # Through the dictionary of children: the place among the owner's other children must stay the same.
        undo.callback(owner._modules.__setitem__, name, blocks)  # noqa: SLF001
        owner._modules[name] = nn.ModuleList([blocks[i] for i in mask.active_indices])  # noqa: SLF001
        yield


def _check_prefix(mask: BlockMask) -> None:
    if mask.active_indices != tuple(range(mask.num_active)):
        raise MaskError(
            f"skip mode 'early_exit' keeps the first blocks only, and {mask} is not of that form; "
            "use 'mask', 'splice' or 'remove'"
        )


def _check_loop(model: nn.Module, configs: Iterable[Any], mask: BlockMask, mode: str) -> None:
    """Refuse models that would compute something else without the blocks than with them passed over."""
    if mask.num_active == mask.total:
        return
    for config in configs:
        reason = _LOOP_COUNTS_BLOCKS.get(getattr(config, "model_type", "")) or _needs_other_first_block(
            config, mask
        )
        if reason is not None:
            raise MaskError(
                f"skip mode '{mode}' does not fit {type(model).__name__} under mask {mask}: {reason}; use 'mask'"
            )


def _needs_other_first_block(config: Any, mask: BlockMask) -> str | None:
    """Why the first active block of this mask cannot be the first of a model, None where it can."""
    model_type, first = getattr(config, "model_type", ""), mask.active_indices[0]
    if model_type == "rwkv" and first > 0:
        return "its first block has a norm that no other has"
    keeps_no_count = (model_type == "minimax" and config.layer_types[first] == "linear_attention") or (
        model_type == "mllama_text_model" and first in config.cross_attention_layers
    )
    return "it counts past tokens by its first block, and this one keeps none" if keeps_no_count else None


def _check_length_kept(name: str, anatomy: Anatomy, mask: BlockMask, mode: str) -> None:
    """Refuse to leave a model of attention and other blocks without the attention that tells it positions."""
    keeping = {index for index, block in enumerate(anatomy.blocks) if block.kv_shapes}
    if keeping and keeping.isdisjoint(mask.active_indices):
        raise MaskError(
            f"skip mode '{mode}' does not fit {name} under mask {mask}: it counts past tokens by the keys of its "
            "attention blocks, and none of them is left; use 'mask'"
        )


def _check_not_rebuilt(name: str, loop: nn.Module, mode: str) -> None:
    # Of big_bird: what it builds for a shorter list would stay, and be wrong, in the whole one.
    if getattr(loop, "attention_type", None) == "block_sparse":
        raise MaskError(
            f"skip mode '{mode}' does not fit {name} while its attention is block-sparse: for a short text it builds "
            "the attention of its blocks anew, by their places in the list; use 'mask', or set_attention_type first"
        )


def _check_uniform(name: str, configs: Iterable[Any], total: int) -> None:
    for config in configs:
        # Kinds of blocks may also be worked out by the config's class.
        values = vars(config) | {key: getattr(config, key, None) for key in KINDS}
        for key, value in values.items():
            if key in _READ_WHEN_BUILT:
                continue
            by_number = key in NUMBER_LISTS and value
            if by_number or (is_per_layer(value, total) and len({repr(entry) for entry in value}) > 1):
                raise MaskError(
                    f"skip mode 'splice' does not fit {name}: its forward reads '{key}' of its config by block "
                    "number, and the numbers would be shifted; use 'mask' or 'remove'"
                )


def decoder_config(model: nn.Module, anatomy: Anatomy) -> Any:
    """The config that describes the blocks, None for a model without one."""
    found = getattr(looping_module(model, anatomy), "config", None)
    return _text_config(model) if found is None else found


def _text_config(model: nn.Module) -> Any:
    top: Any = getattr(model, "config", None)
    return top.get_text_config(decoder=True) if hasattr(top, "get_text_config") else top


def _configs(model: nn.Module, owner: nn.Module, blocks: nn.ModuleList) -> Iterator[Any]:
    """The config objects that describe the decoder: its own, and what its modules hold; each once."""
    seen: set[int] = set()
    held = (getattr(module, "config", None) for block in blocks for module in block.modules())
    for config in (_text_config(model), getattr(owner, "config", None), *held):
        if config is not None and hasattr(config, "__dict__") and id(config) not in seen:
            seen.add(id(config))
            yield config
