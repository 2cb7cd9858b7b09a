"""The one door to traces: a path in, columns out."""

import os
from pathlib import Path

from maskprof.errors import TraceError
from maskprof.traces.account import Tally
from maskprof.traces.columns import Trace
from maskprof.traces.decode import decode
from maskprof.traces.inflate import text_chunks


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read one Chrome trace as PyTorch's profiler writes it, `.json` or gzip (told by content, not by name).

    Times are kept to the nanosecond. A damaged file gives everything that can be had of it; `Trace.account`
    says what was lost.

    Raises:
        TraceError: if there is no such file, it cannot be read, or it holds no trace.
    """
    tally = Tally()
    try:
        with Path(path).open("rb") as file:
            decoded = decode(text_chunks(file, tally), tally)
    except IsADirectoryError:
        raise TraceError(f"{os.fspath(path)} is a directory; give one of the trace files in it") from None
    except FileNotFoundError:
        raise TraceError(f"there is no trace file {os.fspath(path)}") from None
    except OSError as error:
        raise TraceError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
    except TraceError as error:
        raise TraceError(f"{os.fspath(path)} {error}") from None
    columns = decoded.columns
    return Trace(
        path=os.fspath(path),
        events=columns.events,
        names=columns.names,
        categories=columns.categories,
        pids=columns.pids,
        tids=columns.tids,
        inputs=columns.inputs,
        metadata=decoded.metadata,
        account=decoded.account,
    )
