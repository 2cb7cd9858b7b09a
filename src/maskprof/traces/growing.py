"""Columns that grow piece by piece, stay as narrow as their values allow, and go to disk where they are long."""

import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from maskprof.traces import spilling
from maskprof.traces.spilling import Spill

_MOST = {np.dtype(kind): int(np.iinfo(kind).max) for kind in (np.int8, np.int16, np.int32, np.int64)}
_PIECE = 2**16


class GrowingColumn:
    """Integers that come in pieces, kept in the narrowest type that holds all of them.

    The bytes grow in place, so that there is never a second copy of a long column but while it is being
    widened. As long as every value is the same, there is no copy at all. What is long is kept in a file without a
    name where one can be made, and in memory where not.
    """

    def __init__(self, *, at_least: DTypeLike = np.int8) -> None:
        self._dtype = np.dtype(at_least)
        self._most = _MOST[self._dtype]
        self._bytes = bytearray()
        self._count = 0
        self._constant: int | None = None
        self._spill: Spill | None = None
        self._spill_at = spilling.LEAST_BYTES

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
            self._widen(self._constant, self._constant)
            constant = np.full(min(self._count, _PIECE), self._constant, dtype=self._dtype)
            for start in range(0, self._count, _PIECE):
                self._append(constant[: self._count - start])
            self._constant = None
        if self._constant is None:
            self._widen(lowest, highest)
            self._append(values)
        self._count += len(values)

    def finish(self) -> NDArray[Any]:
        """All values, shape (n,); read-only. Nothing can be appended afterwards."""
        if self._constant is not None:
            self._widen(self._constant, self._constant)
            return np.broadcast_to(self._dtype.type(self._constant), (self._count,))
        if self._spill is not None:
            self._to_disk()
        if self._spill is not None:
            return self._spill.mapped(self._dtype)
        column = np.frombuffer(self._bytes, dtype=self._dtype)
        column.flags.writeable = False
        return column

    def _append(self, values: NDArray[Any]) -> None:
        self._bytes += np.ascontiguousarray(values, dtype=self._dtype).data
        if len(self._bytes) >= self._spill_at:
            self._to_disk()

    def _to_disk(self) -> None:
        try:
            if self._spill is None:
                self._spill = Spill()
            self._spill.append(memoryview(self._bytes))
            self._bytes = bytearray()
        except OSError:
            # No folder for it, or a full disk: then in memory, as if there were no disk.
            self._spill_at = sys.maxsize
            if self._spill is not None:
                self._bytes = self._spill.read() + self._bytes
                self._spill = None

    def _widen(self, lowest: int, highest: int) -> None:
        """Make it wide enough for values up to these."""
        if -self._most - 1 <= lowest and highest <= self._most:
            return
        dtype = next(dtype for dtype, most in _MOST.items() if -most - 1 <= lowest and highest <= most)
        self._most = _MOST[dtype]
        narrow, self._dtype = self._dtype, dtype
        spill, self._spill = self._spill, None
        rest, self._bytes = np.frombuffer(self._bytes, dtype=narrow), bytearray()
        if spill is not None:
            so_far = spill.mapped(narrow)
            for start in range(0, len(so_far), _PIECE):
                self._append(so_far[start : start + _PIECE])
        self._append(rest)


def kept(values: NDArray[Any]) -> NDArray[Any]:
    """The same values in the same type; on disk where they are long."""
    if values.nbytes < spilling.LEAST_BYTES:
        return values
    column = GrowingColumn(at_least=values.dtype)
    column.extend(values)
    return column.finish()
