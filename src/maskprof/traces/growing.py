"""Columns that grow piece by piece and stay as narrow as their values allow."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_WIDTHS = tuple((np.dtype(kind), np.iinfo(kind).max) for kind in (np.int8, np.int16, np.int32, np.int64))


class GrowingColumn:
    """Integers that come in pieces, kept in the narrowest type that holds all of them.

    The bytes grow in place, so that there is never a second copy of a long column but while it is being
    widened. As long as every value is the same, there is no copy at all.
    """

    def __init__(self, *, at_least: DTypeLike = np.int8) -> None:
        self._dtype = np.dtype(at_least)
        self._bytes = bytearray()
        self._count = 0
        self._constant: int | None = None

    def __len__(self) -> int:
        return self._count

    def extend(self, values: NDArray[Any]) -> None:
        """Append `values`; shape (n,)."""
        if not len(values):
            return
        lowest, highest = int(values.min()), int(values.max())
        if not self._count:
            self._constant = lowest
        if self._constant is not None and not lowest == highest == self._constant:
            self._widen(_narrowest(self._constant, self._constant))
            self._bytes += np.full(self._count, self._constant, dtype=self._dtype).data
            self._constant = None
        if self._constant is None:
            self._widen(_narrowest(lowest, highest))
            self._bytes += np.ascontiguousarray(values, dtype=self._dtype).data
        self._count += len(values)

    def finish(self) -> NDArray[Any]:
        """All values, shape (n,); read-only. Nothing can be appended afterwards."""
        if self._constant is not None:
            self._widen(_narrowest(self._constant, self._constant))
            return np.broadcast_to(self._dtype.type(self._constant), (self._count,))
        column = np.frombuffer(self._bytes, dtype=self._dtype)
        column.flags.writeable = False
        return column

    def _widen(self, dtype: np.dtype[Any]) -> None:
        if dtype.itemsize <= self._dtype.itemsize:
            return
        if self._bytes:
            self._bytes = bytearray(np.frombuffer(self._bytes, dtype=self._dtype).astype(dtype).data)
        self._dtype = dtype


def _narrowest(lowest: int, highest: int) -> np.dtype[Any]:
    return next(dtype for dtype, most in _WIDTHS if -most - 1 <= lowest and highest <= most)
