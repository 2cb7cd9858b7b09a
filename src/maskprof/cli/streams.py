"""Standard output and error of the command, on a disk that is full too."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from maskprof.errors import ConfigError
from maskprof.reports.unread import silence


class StdoutError(ConfigError):
    """Standard output cannot be written to, for another reason than that nobody reads it."""


class _Stream:
    """A text stream whose `write` and `flush` hand errors of the system to `_failed`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._failed(error)

    def _failed(self, _error: OSError) -> None:
        # What waits in its buffer would be tried, and fail, once more at the interpreter's end.
        silence(self._stream)


class _Stdout(_Stream):
    def _failed(self, error: OSError) -> None:
        super()._failed(error)
        raise StdoutError(f"standard output cannot be written to: {error.strerror or error}")


@contextmanager
def guarded() -> Iterator[None]:
    """Inside, a stdout that cannot be written to is a sentence, and such a stderr ends nothing.

    A reader that went away is left to the command: `BrokenPipeError`. A stream that was closed swallows everything.

    Raises:
        StdoutError: on writing to stdout.
    """
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
        sys.stdout = cast("TextIO", _Stdout(before[0] if before[0] is not None else nowhere))
        sys.stderr = cast("TextIO", _Stream(before[1] if before[1] is not None else nowhere))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
