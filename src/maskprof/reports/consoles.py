"""Consoles (rich) for stdout and stderr, and what they do when whoever read them went away."""

import sys
from typing import Any

from rich.console import Console

from maskprof.reports.unread import silence


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """Leave a reader that went away to the command, as for everything else that is written."""
        raise BrokenPipeError


class _Stderr(Console):
    def on_broken_pipe(self) -> None:
        """Go on without a word: progress that nobody reads must not end what it shows."""
        self.quiet = True
        silence(sys.stderr)


def stdout_console(**options: Any) -> Console:
    """A console for stdout; `BrokenPipeError` where its reader went away."""
    return _Stdout(**options)


def stderr_console(**options: Any) -> Console:
    """A console for stderr, which falls silent where its reader went away."""
    return _Stderr(stderr=True, **options)
