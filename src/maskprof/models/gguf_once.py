"""A GGUF file's header read once: transformers reads it for the configuration, the weights and the tokenizer anew.

Of a small model with a usual vocabulary that is most of the time of loading.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def read_once() -> Iterator[None]:
    """While entered, the gguf package gives one reader per file, and one table of names per kind of model.

    Both are only read by those who ask for them.
    """
    import gguf  # noqa: PLC0415  an optional dependency

    replaced: dict[str, Any] = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    try:
        for name, original in replaced.items():
            setattr(gguf, name, _remembering(original))
        yield
    finally:
        for name, original in replaced.items():
            setattr(gguf, name, original)


def _remembering(original: Callable[..., Any]) -> Callable[..., Any]:
    remembered = cache(original)

    def once(*words: Any, **options: Any) -> Any:
        try:
            return remembered(*words, **options)
        except TypeError:
            # What cannot be a key is asked for as before.
            return original(*words, **options)

    return once
