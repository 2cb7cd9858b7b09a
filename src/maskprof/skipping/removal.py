"""Skip modes that take blocks out of the list: `splice`, `remove`, `early_exit`.

`early_exit` cuts the tail of the list, which keeps every block's number. `splice` also renumbers the blocks
that stay, in the attributes by which they find their cache slots. `remove` furthermore shortens the per-layer
lists and counts of the config, so that the model is, to all appearance, a smaller one with the same weights.
All three are undone exactly on the way out.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import Anatomy, owner_of

_NUMBER_ATTRIBUTES = ("layer_idx", "layer_id", "layer_number", "layer_index", "block_idx", "idx")
_COUNT_KEYS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "decoder_layers",
    "num_decoder_layers",
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
    configs = list(_configs(model, owner, blocks))
    if mode == "splice":
        _check_uniform(type(model).__name__, configs, mask.total)
    with ExitStack() as undo:
        if mode in ("splice", "remove"):
            for new, old in enumerate(mask.active_indices):
                _renumber(undo, blocks[old], old, new)
        if mode in ("early_exit", "remove"):
            for config in configs:
                _shorten_config(undo, config, mask)
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


def _check_uniform(name: str, configs: Iterable[Any], total: int) -> None:
    for config in configs:
        for key, value in vars(config).items():
            if _is_per_layer(value, total) and len({repr(entry) for entry in value}) > 1:
                raise MaskError(
                    f"skip mode 'splice' does not fit {name}: its forward reads '{key}' of its config by block "
                    "number, and the numbers would be shifted; use 'mask' or 'remove'"
                )


def _configs(model: nn.Module, owner: nn.Module, blocks: nn.ModuleList) -> Iterator[Any]:
    """The config objects that describe the decoder: its own, and what its modules hold; each once."""
    seen: set[int] = set()
    top: Any = getattr(model, "config", None)
    text = top.get_text_config(decoder=True) if hasattr(top, "get_text_config") else top
    held = (getattr(module, "config", None) for block in blocks for module in block.modules())
    for config in (text, getattr(owner, "config", None), *held):
        if config is not None and hasattr(config, "__dict__") and id(config) not in seen:
            seen.add(id(config))
            yield config


def _is_per_layer(value: Any, total: int) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == total


def _shorten_config(undo: ExitStack, config: Any, mask: BlockMask) -> None:
    # Straight into the dictionary: setters of strict configs would check a half-changed state.
    attributes = vars(config)
    for key, value in list(attributes.items()):
        if _is_per_layer(value, mask.total):
            new = type(value)(value[i] for i in mask.active_indices)
        elif key in _COUNT_KEYS and value == mask.total:
            new = mask.num_active
        else:
            continue
        undo.callback(attributes.__setitem__, key, value)
        attributes[key] = new


def _renumber(undo: ExitStack, block: nn.Module, old: int, new: int) -> None:
    for module in block.modules():
        for key in _NUMBER_ATTRIBUTES:
            value = module.__dict__.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and value == old:
                undo.callback(module.__dict__.__setitem__, key, value)
                module.__dict__[key] = new
