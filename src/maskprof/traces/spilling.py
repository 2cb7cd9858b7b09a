"""Long arrays kept in files without a name: on disk and not in memory, and gone when nobody needs them.

The files lie where `tempfile` puts them (`TMPDIR` says where). Their pages are mapped, so that arrays are used like
any others; what was touched stays in memory until `release` lets it go.
"""

import mmap
import tempfile
import threading
from typing import IO, Any
from weakref import WeakSet, finalize

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Shorter ones stay in memory: of all columns of a trace together, some 20 MB at most.
LEAST_BYTES = 2 * 1024 * 1024

_mapped: "WeakSet[mmap.mmap]" = WeakSet()
_lock = threading.Lock()


class Spill:
    """Bytes appended to a file without a name, and mapped in the end."""

    def __init__(self) -> None:
        """Make the file.

        Raises:
            OSError: if there is no folder that it can be made in.
        """
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._bytes = 0
        finalize(self, self._file.close)

    def append(self, data: memoryview) -> None:
        """Write all of `data`.

        Raises:
            OSError: if the disk is full; what was appended before is still there.
        """
        written = 0
        while written < len(data):
            written += self._file.write(data[written:])
        self._bytes += written

    def read(self) -> bytearray:
        """All that was appended, in memory."""
        data = bytearray(self._bytes)
        self._file.seek(0)
        view = memoryview(data)
        while view and (count := self._file.readinto(view)):  # type: ignore[attr-defined]
            view = view[count:]
        self._file.seek(self._bytes)
        return data

    def mapped(self, dtype: DTypeLike) -> NDArray[Any]:
        """All of it as a read-only array. Nothing can be appended afterwards."""
        pages = mmap.mmap(self._file.fileno(), self._bytes, access=mmap.ACCESS_READ)
        with _lock:
            _mapped.add(pages)
        return np.frombuffer(pages, dtype=dtype)


def release() -> None:
    """Let the pages that were touched go from memory; they are read again when they are needed."""
    if not len(_mapped):
        return
    with _lock:
        mapped = list(_mapped)
    for pages in mapped:
        pages.madvise(mmap.MADV_DONTNEED)
