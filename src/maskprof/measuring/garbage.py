"""When Python looks for garbage: not inside a sample, and not while everything is being loaded."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection in here.

    Inside a sample it would fall on whichever configuration is being timed. While libraries and models load it looks
    again and again through a growing heap of which all stays: a sixth of the time of importing torch and transformers.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
