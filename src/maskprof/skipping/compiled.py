"""What there is to say about a compiled model: torch.compile makes a graph for each mask."""

import logging
import weakref
from collections.abc import Iterator

from torch import nn

from maskprof.masks.mask import BlockMask

_log = logging.getLogger("maskprof.skipping")

# By block list: the masks for which graphs have been made or announced.
_KNOWN: "weakref.WeakKeyDictionary[nn.Module, set[BlockMask]]" = weakref.WeakKeyDictionary()


def is_compiled(model: nn.Module, path: str, blocks: nn.ModuleList) -> bool:
    """Whether graphs hang on the mask: by the state of the model now, or since one was seen being made.

    Only what holds the blocks, and the blocks themselves, have the mask in their graphs: a part inside a block that
    is compiled stays as it is. So a large model is not walked through at each change of mask.

    Args:
        model: as it was given, perhaps what `torch.compile` returned.
        path: from the model itself to its list of blocks.
        blocks: that list.
    """
    return blocks in _KNOWN or any(map(_has_graphs, _down_to(model, path))) or any(map(_has_graphs, blocks))


def _down_to(model: nn.Module, path: str) -> Iterator[nn.Module]:
    """The model and what is on the way to its blocks; of a compiled part, that it is one ends the way."""
    module = model
    yield module
    for name in path.split("."):
        inside = module._modules.get(name)  # noqa: SLF001 - getattr would look through what compiled it
        if inside is None:
            return
        module = inside
        yield module


def _has_graphs(module: nn.Module) -> bool:
    return "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None  # noqa: SLF001


def note_graph(blocks: nn.ModuleList, mask: BlockMask) -> None:
    """Remember that a graph was made while this mask was in force."""
    _KNOWN.setdefault(blocks, set()).add(mask)


def announce(model: nn.Module, blocks: nn.ModuleList, mask: BlockMask) -> None:
    """Say in one line that a mask which is new to a compiled model makes it compile again."""
    known = _KNOWN.setdefault(blocks, set())
    if mask in known:
        return
    known.add(mask)
    _log.info(
        "%s is compiled, and its graphs are specialised per mask: the first forward under mask %s recompiles "
        "(after torch._dynamo.config.recompile_limit such changes it is no longer compiled but run as it is)",
        type(model).__name__,
        mask,
    )
