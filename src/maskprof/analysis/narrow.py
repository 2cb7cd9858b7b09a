"""Arrays kept small: of the narrowest type that holds them, and made piece by piece."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[Any]
"""Of some signed integer type; widen before adding up or multiplying."""

PIECE = 2**15


def narrowed(values: Ints) -> Ints:
    """The same values in the narrowest signed type that holds them."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype, copy=False)
    return values


def slices(length: int, piece: int | None = None) -> Iterator[slice]:
    """Slices that cover an array of this length, one after the other."""
    piece = piece or PIECE
    for start in range(0, length, piece):
        yield slice(start, min(start + piece, length))
