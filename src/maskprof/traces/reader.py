"""The one door to traces: a path in, columns out."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeAlias

from maskprof.errors import TraceError
from maskprof.traces.account import Tally
from maskprof.traces.columns import Trace
from maskprof.traces.decode import decode
from maskprof.traces.finding import find_traces, one_trace
from maskprof.traces.inflate import MOST_TEXT_BYTES, text_chunks

__all__ = ["find_traces", "read_trace", "read_traces"]

Source: TypeAlias = str | os.PathLike[str] | BinaryIO

STDIN = "-"


def read_trace(source: Source, *, python: bool = False, max_text_bytes: int = MOST_TEXT_BYTES) -> Trace:
    """Read one Chrome trace as PyTorch's profiler writes it.

    `source` is a path, `-` for standard input, an open binary file, or a folder in which there is exactly one
    trace. The text may be plain or gzip (told by content, not by name), an object or a bare array of events.
    Times are kept to the nanosecond. A damaged file gives everything that can be had of it; `Trace.account`
    says what was lost and where.

    Args:
        source: what to read.
        python: whether to keep Python frames (`python_function`) that are no module's. They are most of a
            trace recorded with stacks, and no analysis needs them.
        max_text_bytes: how much text a compressed file may unpack to: a few kilobytes can be made to unpack
            to more than any memory or patience holds.

    Raises:
        TraceError: if there is no such file, it cannot be read, or it holds no trace.
    """
    if not isinstance(source, str | os.PathLike):
        return _read(source, str(getattr(source, "name", "<file>")), python, max_text_bytes)
    name = os.fspath(source)
    if name == STDIN:
        return _read(sys.stdin.buffer, STDIN, python, max_text_bytes)
    try:
        path = one_trace(source) if Path(source).is_dir() else Path(source)
        with path.open("rb") as file:
            return _read(file, os.fspath(path), python, max_text_bytes)
    except FileNotFoundError:
        raise TraceError(f"there is no trace file {name}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, TraceError):
            raise
        reason = error.strerror if isinstance(error, OSError) else None
        raise TraceError(f"{name} cannot be read: {reason or error}") from None


def read_traces(
    sources: Source | Iterable[Source], *, python: bool = False, max_text_bytes: int = MOST_TEXT_BYTES
) -> Iterator[Trace]:
    """Read several traces one after the other, such as those of all ranks; of folders, every trace in them.

    Each is read when it is asked for, so that only those are in memory which the caller keeps.

    Raises:
        TraceError: as `read_trace`; and if a folder holds no trace.
    """
    alone = isinstance(sources, str | os.PathLike) or hasattr(sources, "read")
    for source in [sources] if alone else sources:  # type: ignore[union-attr]
        if isinstance(source, str | os.PathLike) and Path(source).is_dir():
            for path in find_traces(source):
                yield read_trace(path, python=python, max_text_bytes=max_text_bytes)
        else:
            yield read_trace(source, python=python, max_text_bytes=max_text_bytes)  # type: ignore[arg-type]


def _read(file: BinaryIO, name: str, python: bool, max_text_bytes: int) -> Trace:
    tally = Tally()
    try:
        decoded = decode(text_chunks(file, tally, max_text_bytes=max_text_bytes), tally, python=python)
    except TraceError as error:
        raise TraceError(f"{'standard input' if name == STDIN else name} {error}") from None
    columns = decoded.columns
    return Trace(
        path=name,
        events=columns.events,
        names=columns.names,
        categories=columns.categories,
        pids=columns.pids,
        tids=columns.tids,
        inputs=columns.inputs,
        metadata=decoded.metadata,
        account=decoded.account,
    )
