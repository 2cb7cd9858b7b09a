"""What a device event is: a kernel, a copy or a memset."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.categories import KERNEL, MEMCPY, MEMSET, MTIA, MTIA_COPIES
from maskprof.traces.columns import Trace
from maskprof.traces.pieces import Ints, column


class Kind:
    """What a device event is. What an MTIA runs, executables compiled from whole graphs, counts as kernels.

    Plain numbers, and no enum: arrays are compared with these five times as fast.
    """

    KERNEL: Final = 0
    COPY: Final = 1
    MEMSET: Final = 2


KINDS = 3


_KINDS = {KERNEL: Kind.KERNEL, MEMCPY: Kind.COPY, MEMSET: Kind.MEMSET, MTIA: Kind.KERNEL}


def device_kinds(trace: Trace, rows: Ints) -> NDArray[np.int8]:
    """The `Kind` of each device event in `rows`; shape (rows,)."""
    table = np.array([_KINDS.get(category, Kind.KERNEL) for category in trace.categories], dtype=np.int8)
    mtia = MTIA in trace.categories
    copies = [code for code, name in enumerate(trace.names) if name in MTIA_COPIES] if mtia else []

    def kinds(piece: slice) -> Ints:
        some = rows[piece]
        found = table[trace.events.category[some]]
        if mtia:
            found[np.isin(trace.events.name[some], copies) & is_mtia(trace, some)] = Kind.COPY
        return found

    return column(len(rows), kinds, at_least=np.int8)


def is_mtia(trace: Trace, rows: Ints) -> NDArray[np.bool_]:
    """Which device events in `rows` are an MTIA's; shape (rows,)."""
    if MTIA not in trace.categories:
        return np.zeros(len(rows), dtype=np.bool_)
    return np.equal(trace.events.category[rows], trace.categories.index(MTIA))
