"""Trace files in folders, told from the other JSON files that lie beside them."""

import gzip
import os
import re
import zlib
from pathlib import Path

from maskprof.errors import TraceError
from maskprof.results.store import unfinished

_SUFFIXES = (".json", ".json.gz")
# The names that torch's own handler gives.
_TRACE_SUFFIXES = (".pt.trace.json", ".pt.trace.json.gz")
# The keys before the events are rarely longer: device properties, process groups.
_LOOKED_AT_BYTES = 1024 * 1024
_OBJECT_FORM = re.compile(rb'"traceEvents"\s*:\s*\[')
_ARRAY_FORM = re.compile(rb'\s*\[\s*(?:null\s*,\s*)*\{[^{}]*"ph"\s*:\s*"')
_MARK = b"\xef\xbb\xbf"


def find_traces(path: str | os.PathLike[str]) -> list[Path]:
    """The trace files in a folder and the folders inside it, sorted; of a file, itself.

    Traces are files named `*.json` or `*.json.gz` whose text begins like a trace's; files named as torch names
    them (`*.pt.trace.json`, `.gz`) are taken for traces whatever is in them, so that a damaged one is not
    passed over without a word.

    Raises:
        TraceError: if there is no such path, or no trace in the folder.
    """
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise TraceError(f"there is no trace file or folder {os.fspath(path)}")
    candidates = sorted(p for p in root.rglob("*") if p.name.endswith(_SUFFIXES) and p.is_file())
    found = [p for p in candidates if p.name.endswith(_TRACE_SUFFIXES) or begins_like_a_trace(p)]
    if not found:
        others = f", though {len(candidates)} other JSON files" if candidates else ""
        journal = f". It holds no result either: {hint}" if (hint := unfinished(root)) else ""
        raise TraceError(
            f"{os.fspath(path)} holds no traces (files named *.json or *.json.gz){others}{journal}"
        )
    return found


def begins_like_a_trace(path: Path) -> bool:
    """Whether the first part of the file's text has the beginning of an event list in it."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_AT_BYTES)
            if text.startswith(b"\x1f\x8b"):
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unpacked:
                    text = unpacked.read(_LOOKED_AT_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    text = text.removeprefix(_MARK)
    return _OBJECT_FORM.search(text) is not None or _ARRAY_FORM.match(text) is not None
