"""One run at a time in a folder: a lock that the system lets go of when its holder dies, however it dies."""

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from maskprof.errors import ConfigError

LOCK_NAME = ".maskprof.lock"

_CANNOT_LOCK = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def locked(folders: Iterable[Path]) -> Iterator[None]:
    """Hold all of these folders, which must exist; a folder named twice is locked once.

    The lock is on an open file, so that it ends with the process, by SIGKILL too. Its text only says who
    holds it. Where a file system knows no locks, as some network ones, there is none.

    Raises:
        ConfigError: another run is working in one of them; the sentence says who, where and since when.
    """
    with ExitStack() as held:
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            held.enter_context(_locked(folder))
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / LOCK_NAME
    descriptor = _acquire(path)
    if descriptor is None:
        yield
        return
    try:
        holder = {"pid": os.getpid(), "host": platform.node(), "since": _now()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        # While it is still held: whoever opened it before sees in `_acquire` that it is gone.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int | None:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise ConfigError(
                f"{path.parent} cannot be written to: {error.strerror or error}; choose another folder"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(descriptor, 1000, 0)
            os.close(descriptor)
            raise ConfigError(_in_use(path.parent, said)) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _CANNOT_LOCK:
                return None
            raise
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file that was locked is the one that is there: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _in_use(folder: Path, said: bytes) -> str:
    try:
        holder = json.loads(said)
        who = f"process {int(holder['pid'])} on {str(holder['host'])!r} since {str(holder['since'])!r}"
    except (ValueError, TypeError, KeyError):
        who = "another run"
    return f"{folder} is in use by {who}: wait for its end, or choose another folder"


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
