"""Trace files in folders, told from the other JSON files that lie beside them."""

import json
import os
import re
import stat
import zlib
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from maskprof.counted_nouns import count
from maskprof.errors import TraceError
from maskprof.results.store import ATTRIBUTION_NAME, RESULT_NAME, unfinished

_SUFFIXES = (".json", ".json.gz")
# The names that torch's own handler gives.
_TRACE_SUFFIXES = (".pt.trace.json", ".pt.trace.json.gz")
# The keys before the events are rarely longer: device properties, process groups.
_LOOKED_AT_BYTES = 1024 * 1024
_OBJECT_FORM = re.compile(rb'"traceEvents"\s*:\s*\[')
_ARRAY_FORM = re.compile(rb'\s*\[\s*(?:null\s*,\s*)*\{[^{}]*"ph"\s*:\s*"')
_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_FORMAT = zlib.MAX_WBITS | 16
# What is left of a file whose blocks never reached the disk.
_NOTHING = b"\0 \t\r\n"
_MOST_NAMED = 3


def find_traces(path: str | os.PathLike[str]) -> list[Path]:
    """The trace files in a folder and the folders inside it, sorted; of a file or a pipe, itself.

    Traces are files named `*.json` or `*.json.gz` whose text begins like a trace's. So that no damaged one is passed
    over without a word, these are in the list too, and reading them says what is wrong: files named as torch names
    traces (`*.pt.trace.json`, `.gz`), whatever is in them; `*.json.gz`, and `*.json` in a folder with other traces,
    that cannot be read, are empty, cut off or no JSON; and folders that cannot be looked into. Other JSON is left
    out, results of maskprof among it.

    Raises:
        TraceError: if there is no such path, it cannot be looked into, or the folder holds no trace.
    """
    root = Path(path)
    try:
        mode = root.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise TraceError(f"there is no trace file or folder {os.fspath(path)}") from None
    except OSError as error:
        raise TraceError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from None
    if not stat.S_ISDIR(mode):
        if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
            return [root]
        raise TraceError(f"{os.fspath(path)} is neither a file nor a pipe nor a folder")
    candidates, closed = _candidates(root)
    kinds = {candidate: _kind(candidate) for candidate in candidates}
    folders = {candidate.parent for candidate, kind in kinds.items() if kind is _Kind.TRACE}
    found = sorted(
        [
            candidate
            for candidate, kind in kinds.items()
            if kind is _Kind.TRACE
            or (kind is _Kind.DAMAGED and (candidate.parent in folders or candidate.name.endswith(".gz")))
        ]
        + closed
    )
    # Where nothing is whole, what is wrong with the rest is the answer.
    found = found or [candidate for candidate, kind in kinds.items() if kind is _Kind.DAMAGED]
    if not found:
        others = f", though {count(len(candidates), 'other JSON file')}" if candidates else ""
        journal = f". It holds no result either: {hint}" if (hint := unfinished(root)) else ""
        raise TraceError(
            f"{os.fspath(path)} holds no traces (files named *.json or *.json.gz){others}{journal}"
        )
    return found


def is_trace(path: str | os.PathLike[str]) -> bool:
    """Whether there is a regular file whose text begins like a trace's, or whose name is one that torch gives."""
    file = Path(path)
    return file.is_file() and _kind(file) is _Kind.TRACE


def one_trace(path: str | os.PathLike[str]) -> Path:
    """The trace at `path`: a file, a pipe, or the only one in a folder.

    Raises:
        TraceError: as `find_traces`, and where a folder holds several.
    """
    found = find_traces(path)
    if len(found) > 1:
        some = ", ".join(one.name for one in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise TraceError(
            f"{os.fspath(path)} holds {len(found)} traces ({some}{more}); "
            "name one of them, or read all with read_traces"
        )
    return found[0]


class _Kind(Enum):
    TRACE = auto()
    DAMAGED = auto()
    OTHER = auto()


def _candidates(root: Path) -> tuple[list[Path], list[Path]]:
    """Files that may be traces by their names, and folders below that cannot be looked into; both sorted.

    Raises:
        TraceError: the folder itself cannot be looked into.
    """
    closed: list[Path] = []

    def on_error(error: OSError) -> None:
        if Path(error.filename) == root:
            raise TraceError(f"{root} cannot be read: {error.strerror or error}") from None
        closed.append(Path(error.filename))

    found = [
        Path(folder) / name
        for folder, _, names in os.walk(root, onerror=on_error)
        for name in names
        if name.endswith(_SUFFIXES) and name not in (RESULT_NAME, ATTRIBUTION_NAME)
    ]
    return sorted(path for path in found if _may_be_read(path)), sorted(closed)


def _may_be_read(path: Path) -> bool:
    """No pipes and devices: whoever looks through a folder does not wait for them."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        # A link that leads nowhere, a file in a folder whose files may not be opened: reading it says so.
        return True


def _kind(path: Path) -> _Kind:
    """What the first part of the file's text looks like."""
    if path.name.endswith(_TRACE_SUFFIXES):
        return _Kind.TRACE
    try:
        text, whole = _beginning(path)
    except OSError:
        return _Kind.DAMAGED
    text = text.removeprefix(_MARK)
    if text.startswith(_UTF_16_MARKS):
        text = text.decode("utf-16", "replace").encode("utf-8", "replace")
    if _OBJECT_FORM.search(text) or _ARRAY_FORM.match(text):
        return _Kind.TRACE
    return _Kind.DAMAGED if not text.strip(_NOTHING) or (whole and not _is_json(text)) else _Kind.OTHER


def _beginning(path: Path) -> tuple[bytes, bool]:
    """The first part of the file's text, and whether that is all that there is of it.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_LOOKED_AT_BYTES)
        if not data.startswith(_GZIP_MAGIC):
            return data, not file.read(1)
        return _unpacked(data, lambda: file.read(_LOOKED_AT_BYTES))


def _unpacked(data: bytes, more: Callable[[], bytes]) -> tuple[bytes, bool]:
    stream = zlib.decompressobj(_GZIP_FORMAT)
    text = b""
    while data and not stream.eof and len(text) < _LOOKED_AT_BYTES:
        try:
            text += stream.decompress(data, _LOOKED_AT_BYTES - len(text))
        except zlib.error:
            return text, True
        data = stream.unconsumed_tail or more()
    return text, len(text) < _LOOKED_AT_BYTES


def _is_json(text: bytes) -> bool:
    """Whether this is JSON, or several documents of it one after the other, as logs have them."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.msg == "Extra data"
    except UnicodeDecodeError:
        return False
    except RecursionError:
        return True
    return True
