"""Counts and sums by pairs of numbers, such as (range, kernel name), added up piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.columns import Int64s

_DENSE = 2**18
_MERGE_AT = 2**18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairTable:
    """Only pairs that occurred, ascending by row and then code; all arrays have shape (pairs,)."""

    row: Int64s
    code: Int64s
    sums: tuple[Int64s, ...]

    def by_row(self, rows: int, rank: NDArray[np.integer] | None = None) -> Iterator[list[tuple[int, ...]]]:
        """For each row its (code, *sums), by the second sum, falling; where that is equal, by the code or its rank."""
        ranks = self.code if rank is None else rank[self.code]
        order = np.lexsort((ranks, -self.sums[1], self.row))
        pairs = list(zip(*(column[order].tolist() for column in (self.code, *self.sums)), strict=True))
        bounds = np.searchsorted(self.row, np.arange(rows + 1)).tolist()
        for first, last in pairwise(bounds):
            yield pairs[first:last]


@dataclass(slots=True)
class PairSums:
    """Sums of several integer weights per (row, code). Dense where the table is small, else by sorted keys."""

    rows: int
    codes: int
    weights: int
    _dense: Int64s | None = None
    _parts: list[tuple[Int64s, tuple[Int64s, ...]]] = field(default_factory=list)
    _held: int = 0

    def add(self, row: NDArray[np.integer], code: NDArray[np.integer], *weights: NDArray[np.integer]) -> None:
        """Add `weights`, each of the shape of `row` and `code`."""
        if not len(row):
            return
        key = row.astype(np.int64) * self.codes + code
        if self.rows * self.codes <= _DENSE:
            if self._dense is None:
                self._dense = np.zeros((self.weights, self.rows * self.codes), dtype=np.int64)
            for total, weight in zip(self._dense, weights, strict=True):
                # Much slower where types differ.
                np.add.at(total, key, weight.astype(np.int64, copy=False))
            return
        keys, inverse = np.unique(key, return_inverse=True)
        sums = tuple(np.bincount(inverse, weights=w, minlength=len(keys)).astype(np.int64) for w in weights)
        self._parts.append((keys, sums))
        self._held += len(keys)
        if self._held > _MERGE_AT:
            self._merge()

    def table(self) -> PairTable:
        """All pairs for which anything was added."""
        if self.rows * self.codes <= _DENSE:
            dense = self._dense if self._dense is not None else np.zeros((self.weights, 0), dtype=np.int64)
            keys = np.flatnonzero(dense.any(axis=0))
            sums = tuple(total[keys] for total in dense)
        else:
            self._merge()
            keys, sums = self._parts[0] if self._parts else (np.zeros(0, dtype=np.int64), ())
            sums = sums or (np.zeros(0, dtype=np.int64),) * self.weights
        return PairTable(row=keys // max(self.codes, 1), code=keys % max(self.codes, 1), sums=sums)

    def _merge(self) -> None:
        if len(self._parts) > 1:
            everything = np.concatenate([keys for keys, _ in self._parts])
            keys, inverse = np.unique(everything, return_inverse=True)
            sums = tuple(
                np.bincount(inverse, weights=np.concatenate([part[i] for _, part in self._parts])).astype(
                    np.int64
                )
                for i in range(self.weights)
            )
            self._parts = [(keys, sums)]
        self._held = 0
