"""Values to and from standard JSON: no NaN is ever written, and what is read has the type it should have."""

import json
import math
from typing import Any, TypeVar

from maskprof.errors import ResultError

T = TypeVar("T")


def to_text(value: Any, *, indent: int | None = None) -> str:
    """JSON text of plain values; NaN and infinities, which JSON lacks, become null.

    Raises:
        TypeError: a value that has no place in JSON.
    """
    return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def from_text(text: str, origin: str) -> Any:
    """The value of JSON text; `origin` names the file in the error.

    Raises:
        ResultError: the text is no JSON.
    """
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ResultError(
            f"{origin} is not valid JSON ({error}); it may have been cut off or edited"
        ) from None


def number(entry: dict[str, Any], key: str) -> float:
    """A number; null, written for what was not finite, is NaN again.

    Raises:
        KeyError, TypeError: the key is absent, or its value is no number.
    """
    value = optional_number(entry, key)
    return math.nan if value is None else value


def optional_number(entry: dict[str, Any], key: str) -> float | None:
    """A number or None.

    Raises:
        KeyError, TypeError: the key is absent, or its value is neither.
    """
    value = entry[key]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{key!r} should be a number, got {value!r}")
    return float(value)


def whole(entry: dict[str, Any], key: str) -> int:
    """A whole number.

    Raises:
        KeyError, TypeError: the key is absent, or its value is no whole number.
    """
    return typed(entry, key, int)


def typed(entry: dict[str, Any], key: str, kind: type[T]) -> T:
    """A value of exactly this JSON type.

    Raises:
        KeyError, TypeError: the key is absent, or its value is of another type.
    """
    value = entry[key]
    if type(value) is not kind:
        raise TypeError(f"{key!r} should be of type {kind.__name__}, got {value!r}")
    return value


def optional_text(entry: dict[str, Any], key: str) -> str | None:
    """A string or None.

    Raises:
        KeyError, TypeError: the key is absent, or its value is neither.
    """
    return None if entry[key] is None else typed(entry, key, str)


def optional_pair(entry: dict[str, Any], key: str) -> tuple[float, float] | None:
    """An interval [low, high] or None.

    Raises:
        KeyError, TypeError, ValueError: the key is absent, or its value is neither.
    """
    if entry[key] is None:
        return None
    low, high = entry[key]
    pair = {"low": low, "high": high}
    return number(pair, "low"), number(pair, "high")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
