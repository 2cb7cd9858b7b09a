"""What there is to say about a compiled model: torch.compile makes a graph for each mask."""

import logging
import weakref

from torch import nn

from maskprof.masks.mask import BlockMask

_log = logging.getLogger("maskprof.skipping")

# By block list: the masks for which graphs have been made or announced.
_KNOWN: "weakref.WeakKeyDictionary[nn.Module, set[BlockMask]]" = weakref.WeakKeyDictionary()


def is_compiled(model: nn.Module, blocks: nn.ModuleList) -> bool:
    """Whether a model is known to be compiled: by its own state, or since a mask was seen being compiled."""
    return blocks in _KNOWN or any(
        "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None) is not None  # noqa: SLF001
        for module in model.modules()
    )


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
