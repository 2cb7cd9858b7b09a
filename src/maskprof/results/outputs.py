"""Files that somebody names for what a command writes: where they really are, and what must not be overwritten.

The files of a run itself (`results/store.py`) have names of ours and replace whatever is in their place. A name that
is given follows links, and may be a device, a pipe or what the shell made of `>(command)`.
"""

import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from maskprof.errors import ConfigError
from maskprof.results.store import (
    ATTRIBUTION_CSV_NAME,
    ATTRIBUTION_NAME,
    JOURNAL_NAME,
    RESULT_NAME,
    draft_of,
    put_in_place,
)

_MEASURED = frozenset({RESULT_NAME, ATTRIBUTION_NAME, ATTRIBUTION_CSV_NAME, JOURNAL_NAME})
_STDOUT, _STDERR = 1, 2


def write_output(path: Path, content: str | bytes) -> None:
    """Write what somebody asked for to the file that they named.

    A regular file, or the one that a link leads to, is there whole, the old or the new one, at any moment. Anything
    else that is there already (a device, a pipe, `/dev/stdout`) stays what it is, and is written to.

    Raises:
        ConfigError: it cannot be written to.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        descriptor = _own_descriptor(path)
        if descriptor is not None:
            _write_all(os.dup(descriptor), data)
        elif _is_special(path):
            _write_all(os.open(path, os.O_WRONLY), data)
        else:
            real = Path(os.path.realpath(path))
            with draft_of(real) as draft:
                draft.write_bytes(data)
                put_in_place(draft, real)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written to: {error.strerror or error}; name another file"
        ) from None


def is_stdout(path: Path) -> bool:
    """Whether writing there is writing to this process's standard output, by whatever name."""
    return _is_descriptor(path, _STDOUT)


def check_outputs(outputs: Sequence[tuple[str, Path]], inputs: Mapping[str, Iterable[Path]]) -> None:
    """See to it that no output would overwrite what is read, what a run measured, or another output.

    The same file is told by what it is, not by its name: links of both kinds lead to it too.

    Args:
        outputs: the flag, and the file that is named by it.
        inputs: what they are (`one of the traces`), and the files.

    Raises:
        ConfigError: one would; or one is a directory, or lies in no folder.
    """
    read = {_identity(path): what for what, paths in inputs.items() for path in paths}
    written: dict[object, str] = {}
    for flag, path in outputs:
        if path.is_dir():
            raise ConfigError(f"{flag}: {path} is a directory; name a file in it")
        if not path.parent.is_dir():
            raise ConfigError(f"{flag}: there is no folder {path.parent} for {path.name}")
        identity = _identity(path)
        if identity is None:
            continue
        if identity in read:
            raise ConfigError(
                f"{flag}: {path} is {read[identity]} and would be overwritten; name another file"
            )
        if path.exists() and Path(os.path.realpath(path)).name in _MEASURED:
            raise ConfigError(
                f"{flag}: {path} holds what a run measured and would be overwritten; name another file"
            )
        if identity in written:
            raise ConfigError(
                f"{written[identity]} and {flag} would be written to one file, {path}: name two"
            )
        written[identity] = flag


def _identity(path: Path) -> object:
    """Equal for two names of one file; None for what is no regular file, which nothing can overwrite."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return os.path.realpath(path)
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode)


def _own_descriptor(path: Path) -> int | None:
    """Which of stdout and stderr the path is; a file that the shell writes them to must not be replaced below it."""
    return next((number for number in (_STDOUT, _STDERR) if _is_descriptor(path, number)), None)


def _is_descriptor(path: Path, number: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except (OSError, ValueError):
        return False


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything, after what waits in Python's own buffers, and close."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
