"""What a device event is: a kernel, a copy or a memset."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.categories import KERNEL, MEMCPY, MEMSET, MTIA, MTIA_COPIES
from maskprof.traces.columns import Int32s, Int64s, Trace


class Kind(IntEnum):
    """What a device event is. What an MTIA runs, executables compiled from whole graphs, counts as kernels."""

    KERNEL = 0
    COPY = 1
    MEMSET = 2


_KINDS = {KERNEL: Kind.KERNEL, MEMCPY: Kind.COPY, MEMSET: Kind.MEMSET, MTIA: Kind.KERNEL}


def device_kinds(trace: Trace, rows: Int64s | Int32s) -> NDArray[np.int8]:
    """The `Kind` of each device event in `rows`; shape (rows,)."""
    table = np.array([_KINDS.get(category, Kind.KERNEL) for category in trace.categories], dtype=np.int8)
    kinds = table[trace.events.category[rows]]
    if MTIA in trace.categories:
        copies = [code for code, name in enumerate(trace.names) if name in MTIA_COPIES]
        kinds[np.isin(trace.events.name[rows], copies) & is_mtia(trace, rows)] = Kind.COPY
    return kinds


def is_mtia(trace: Trace, rows: Int64s | Int32s) -> NDArray[np.bool_]:
    """Which device events in `rows` are an MTIA's; shape (rows,)."""
    return trace.in_categories((MTIA,))[rows]
