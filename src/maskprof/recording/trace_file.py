"""From the file that the profiler exports to the trace that is kept: counters added, names mended, compressed.

Kineto writes no counters of its own, and puts a double quote in the name of a range into its JSON as it is. The
file is gone through in pieces, so that its size does not matter.
"""

import errno
import mmap
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from zlib_ng import gzip_ng

ACTIVE_BLOCKS_COUNTER = "active blocks"
# Compressed here and not by torch, whose exporter takes the slowest level, line by line.
_GZIP_LEVEL = 4
# The last thing that Kineto writes, and the path in it.
_LAST_KEY = b'"traceName"'
_TAIL_BYTES = 8192

_PHASE = re.compile(
    rb'"cat": "user_annotation",\s*"name": "phase\.(?:prefill|decode)",\s*'
    rb'"pid": (?P<pid>\d+),\s*"tid": (?P<tid>\d+),\s*"ts": (?P<ts>[\d.]+),\s*"dur": (?P<dur>[\d.]+)'
)
_EVENTS = re.compile(rb'"traceEvents": \[')
# A name's line on which something follows the quote that should be its last.
_BROKEN_NAME = re.compile(rb'"name": "[^"\n]*"(?! *,? *\n)')
_NAME_LINE = re.compile(rb'(?P<before> *"name": ")(?P<name>.*)(?P<after>",? *\n)')


def finish(exported: Path, final: Path, num_active_blocks: int) -> None:
    """Write the exported trace, plain JSON, to `final`, gzip.

    Args:
        exported: what the profiler wrote.
        final: where the trace goes.
        num_active_blocks: what the counter `active blocks` shows while a forward of the language model runs; it
            is 0 between them.

    Raises:
        OSError: the disk is full, or the exporter, which does not say so itself, found it full.
    """
    if not exported.stat().st_size:
        raise OSError(errno.ENOSPC, "the profiler wrote nothing, as on a full disk")
    with exported.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        if not _is_whole(text):
            raise OSError(errno.ENOSPC, "the profiler wrote only a part of its trace, as on a full disk")
        counters = "".join(f"  {event},\n" for event in _counters(text, num_active_blocks)).encode()
        start = _EVENTS.search(text)
        head = start.end() if start else 0
        broken = _BROKEN_NAME.search(text) is not None
        with gzip_ng.open(final, "wb", compresslevel=_GZIP_LEVEL) as compressed:
            compressed.write(text[:head])
            if start:
                compressed.write(b"\n" + counters)
            file.seek(head)
            if broken:
                compressed.writelines(map(_mended, file))
            else:
                shutil.copyfileobj(file, compressed, 1024 * 1024)


def _is_whole(text: mmap.mmap) -> bool:
    """Whether an export has its end: brackets tell nothing, since every event ends with one."""
    tail = text[-_TAIL_BYTES:].rstrip()
    if text[:_TAIL_BYTES].lstrip().startswith(b"["):
        return tail.endswith(b"]")
    return tail.endswith(b"}") and _LAST_KEY in tail


def _counters(text: mmap.mmap, num_active_blocks: int) -> Iterator[str]:
    for phase in _PHASE.finditer(text):
        pid, tid, ts, dur = (phase[field].decode() for field in ("pid", "tid", "ts", "dur"))
        for at, blocks in ((Decimal(ts), num_active_blocks), (Decimal(ts) + Decimal(dur), 0)):
            # Not through a float, which would not hold all the digits of a time.
            yield (
                f'{{"ph": "C", "name": "{ACTIVE_BLOCKS_COUNTER}", "pid": {pid}, "tid": {tid}, "ts": {at}, '
                f'"args": {{"blocks": {blocks}}}}}'
            )


def _mended(line: bytes) -> bytes:
    match = _NAME_LINE.fullmatch(line)
    if match is None:
        return line
    return match["before"] + match["name"].replace(b'"', b"'") + match["after"]
