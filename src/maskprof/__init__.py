"""maskprof: what a transformer costs when some of its blocks are skipped.

The public names are imported on first use, so that `import maskprof` costs nothing and never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from maskprof.version import __version__

if TYPE_CHECKING:
    from maskprof.errors import (
        ConfigError,
        MaskError,
        MaskprofError,
        ModelError,
        ResultError,
        TraceError,
    )
    from maskprof.masks.mask import BlockMask
    from maskprof.models.blocks import find_blocks
    from maskprof.notebook import analyze, diff, load_result
    from maskprof.skipping.wrapper import BlockMaskWrapper
    from maskprof.traces.finding import find_traces
    from maskprof.traces.reader import read_trace, read_traces

_HOMES = {
    "BlockMask": "maskprof.masks.mask",
    "BlockMaskWrapper": "maskprof.skipping.wrapper",
    "ConfigError": "maskprof.errors",
    "MaskError": "maskprof.errors",
    "MaskprofError": "maskprof.errors",
    "ModelError": "maskprof.errors",
    "ResultError": "maskprof.errors",
    "TraceError": "maskprof.errors",
    "analyze": "maskprof.notebook",
    "diff": "maskprof.notebook",
    "find_blocks": "maskprof.models.blocks",
    "find_traces": "maskprof.traces.finding",
    "load_result": "maskprof.notebook",
    "read_trace": "maskprof.traces.reader",
    "read_traces": "maskprof.traces.reader",
}

__all__ = [
    "BlockMask",
    "BlockMaskWrapper",
    "ConfigError",
    "MaskError",
    "MaskprofError",
    "ModelError",
    "ResultError",
    "TraceError",
    "__version__",
    "analyze",
    "diff",
    "find_blocks",
    "find_traces",
    "load_result",
    "read_trace",
    "read_traces",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'maskprof' has no attribute {name!r}") from None
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
