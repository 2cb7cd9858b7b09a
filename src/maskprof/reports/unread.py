"""Outputs whose reader went away."""

import os
from typing import TextIO


def silence(*streams: TextIO) -> None:
    """What goes to these from now on, as when the interpreter flushes them at its end, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
