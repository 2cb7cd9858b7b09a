"""BlockMask: which blocks of a model run."""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from maskprof.errors import MaskError


class BlockMask(Sequence[bool]):
    """An immutable mask over a model's blocks: `mask[i]` is True where block i runs.

    >>> str(BlockMask.from_indices([0, 5, 10, 15], total=16))
    '1000010000100001'
    """

    __slots__ = ("_flags",)

    def __init__(self, flags: Iterable[Any]) -> None:
        """Take any sequence of bools, or a one-dimensional bool tensor or array.

        Raises:
            MaskError: an entry is not a bool, there is no entry, or a tensor is not one-dimensional.
        """
        if isinstance(flags, BlockMask):
            self._flags: tuple[bool, ...] = tuple(flags)
            return
        # Tensors and arrays tell their dtype; 0/1 integers are refused there as in lists, since an index list
        # such as [0, 1] would silently be read as a mask.
        dtype = getattr(flags, "dtype", None)
        if dtype is not None:
            if str(dtype).rpartition(".")[2] != "bool":
                raise MaskError(
                    f"a mask needs booleans, got a tensor of {dtype}; use mask.bool() if it is 0/1"
                )
            shape = tuple(getattr(flags, "shape", ()))
            if len(shape) != 1:
                raise MaskError(f"a mask needs shape (n_layers,), got {shape}")
            flags = flags.tolist()  # type: ignore[attr-defined]
        if isinstance(flags, str) or not isinstance(flags, Iterable):
            raise MaskError(f"a mask is a sequence of bools, got {flags!r}")
        values = tuple(flags)
        for position, value in enumerate(values):
            if not isinstance(value, bool):
                raise MaskError(
                    f"a mask needs booleans, got {value!r} at position {position}; "
                    "for a list of block numbers use BlockMask.from_indices"
                )
        if not values:
            raise MaskError("a mask needs at least one entry, got none")
        self._flags = values

    # Choosing blocks ------------------------------------------------------------------------------------

    @classmethod
    def full(cls, total: int) -> Self:
        """Every block runs."""
        return cls([True] * _checked_total(total))

    @classmethod
    def from_indices(cls, indices: Iterable[int], total: int) -> Self:
        """Exactly these blocks run.

        Raises:
            MaskError: an index is out of range or given twice.
        """
        flags = [False] * _checked_total(total)
        for index in indices:
            if isinstance(index, bool) or not isinstance(index, int):
                raise MaskError(f"a block number is a whole number, got {index!r}")
            if not 0 <= index < total:
                raise MaskError(f"block {index} does not exist: the model has blocks 0 to {total - 1}")
            if flags[index]:
                raise MaskError(f"block {index} is given twice")
            flags[index] = True
        return cls(flags)

    @classmethod
    def first(cls, n: int, total: int) -> Self:
        """The first n blocks."""
        _check_count(n, total)
        return cls.from_indices(range(n), total)

    @classmethod
    def last(cls, n: int, total: int) -> Self:
        """The last n blocks."""
        _check_count(n, total)
        return cls.from_indices(range(total - n, total), total)

    @classmethod
    def middle(cls, n: int, total: int) -> Self:
        """Neighbouring blocks around the middle; where they cannot be centred, the earlier ones."""
        _check_count(n, total)
        start = (total - n) // 2
        return cls.from_indices(range(start, start + n), total)

    @classmethod
    def uniform(cls, n: int, total: int) -> Self:
        """Blocks spread evenly, the first and the last among them if n is 2 or more."""
        _check_count(n, total)
        if n == 1:
            return cls.from_indices([0], total)
        # Whole numbers throughout, rounding half up: the same mask on every machine.
        span, gaps = total - 1, n - 1
        return cls.from_indices([(2 * i * span + gaps) // (2 * gaps) for i in range(n)], total)

    @classmethod
    def random(cls, n: int, total: int, seed: int = 0) -> Self:
        """Blocks drawn without replacement; the same seed gives the same mask."""
        _check_count(n, total)
        # A generator of our own: the caller's random state stays as it is.
        return cls.from_indices(sorted(random.Random(seed).sample(range(total), n)), total)  # noqa: S311

    # Reading --------------------------------------------------------------------------------------------

    @property
    def active_indices(self) -> tuple[int, ...]:
        """The blocks that run, in order."""
        return tuple(i for i, active in enumerate(self._flags) if active)

    @property
    def skipped_indices(self) -> tuple[int, ...]:
        """The blocks that are skipped, in order."""
        return tuple(i for i, active in enumerate(self._flags) if not active)

    @property
    def num_active(self) -> int:
        """How many blocks run."""
        return sum(self._flags)

    @property
    def total(self) -> int:
        """How many blocks there are."""
        return len(self._flags)

    def __len__(self) -> int:
        return len(self._flags)

    def __getitem__(self, index: Any) -> Any:
        return self._flags[index]

    def __iter__(self) -> Iterator[bool]:
        return iter(self._flags)

    def __eq__(self, other: object) -> bool:
        return self._flags == other._flags if isinstance(other, BlockMask) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._flags)

    def __str__(self) -> str:
        return "".join("1" if active else "0" for active in self._flags)

    def __repr__(self) -> str:
        return f"BlockMask.from_indices({list(self.active_indices)}, total={self.total})"


def _checked_total(total: int) -> int:
    if isinstance(total, bool) or not isinstance(total, int) or total < 1:
        raise MaskError(f"a model has at least one block, got total={total!r}")
    return total


def _check_count(n: int, total: int) -> None:
    _checked_total(total)
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= total:
        raise MaskError(f"the number of active blocks is between 1 and {total}, got {n!r}")
