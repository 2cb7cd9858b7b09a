"""The recorded inputs of an operator's call: sizes, types and values; and what a call costs, once it is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from maskprof.traces.columns import Inputs

# By what the profiler calls a type: what we call it, and its bytes.
_TYPES = {
    "c10::BFloat16": ("bf16", 2),
    "c10::Half": ("fp16", 2),
    "float": ("fp32", 4),
    "double": ("fp64", 8),
    "c10::Float8_e4m3fn": ("fp8", 1),
    "c10::Float8_e4m3fnuz": ("fp8", 1),
    "c10::Float8_e5m2": ("fp8", 1),
    "c10::Float8_e5m2fnuz": ("fp8", 1),
    "long int": ("int64", 8),
    "long": ("int64", 8),
    "int": ("int32", 4),
    "short int": ("int16", 2),
    "short": ("int16", 2),
    "signed char": ("int8", 1),
    "unsigned char": ("uint8", 1),
    "bool": ("bool", 1),
}
_FLOATING = frozenset({"bf16", "fp16", "fp32", "fp64"})
# What stands in the place of a type where an input is no tensor, or none was given.
_NO_TENSORS = frozenset({"", "Scalar", "ScalarList"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """One call's work: FLOPs, least bytes to and from memory, the type computed in, the shapes in words."""

    flops: float
    bytes: float
    dtype: str
    shapes: str


class UnknownCostError(Exception):
    """The inputs do not say what the call did."""


class Call:
    """The inputs of a call, decoded. What is asked for and cannot be told raises `UnknownCostError`."""

    def __init__(self, inputs: Inputs) -> None:
        self.dims = _listed(inputs.dims)
        self.types = _listed(inputs.types)
        self._concrete = inputs.concrete
        # Asked for several times each, of thousands of kinds of calls.
        self._shapes: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.dims)

    def shape(self, position: int) -> tuple[int, ...]:
        """Sizes of an input; empty where it is no tensor, and for a tensor of one number."""
        found = self._shapes.get(position)
        if found is None:
            found = _integers(self.dims[position]) if position < len(self.dims) else ()
            self._shapes[position] = found
        return found

    def is_tensor(self, position: int) -> bool:
        """Whether an input is one tensor, by its type; a list of tensors raises."""
        kind = str(self.types[position]) if position < len(self.types) else ""
        if kind in _NO_TENSORS:
            return False
        self.dtype(position)
        return True

    def dtype(self, position: int) -> tuple[str, int]:
        """Type of an input, and its bytes."""
        found = _TYPES.get(str(self.types[position])) if position < len(self.types) else None
        if found is None:
            raise UnknownCostError
        return found

    def is_floating(self, position: int) -> bool:
        """Whether an input is of a type that arithmetic keeps: no integers, nothing narrower than 16 bits."""
        return self.dtype(position)[0] in _FLOATING

    def value(self, position: int) -> str:
        """An input that is no tensor, as text; empty where it was not recorded."""
        concrete = _listed(self._concrete)
        return str(concrete[position]) if position < len(concrete) else ""

    def numbers(self, position: int) -> tuple[int, ...]:
        """An input that is a list of numbers."""
        found = _integers(_listed(self.value(position)))
        if not found:
            raise UnknownCostError
        return found


Cost: TypeAlias = Callable[[Call], CallCost]


def sizes(shape: Sequence[int]) -> str:
    """`5x7`; a tensor of one number is `1`."""
    return "x".join(map(str, shape)) or "1"


def _integers(values: object) -> tuple[int, ...]:
    if isinstance(values, list) and all(type(value) is int and value >= 0 for value in values):
        return tuple(values)
    raise UnknownCostError


def _listed(text: str) -> list[object]:
    try:
        value = msgspec.json.decode(text) if text else []
    except (msgspec.DecodeError, RecursionError):
        return []
    return value if isinstance(value, list) else []
