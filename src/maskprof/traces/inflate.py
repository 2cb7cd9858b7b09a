"""The text of a trace file in chunks, unpacked where it is gzip, as far as it can be had."""

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from maskprof.traces.account import Tally

_GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 256 * 1024
# Bounds what one step can unpack to, however well the file is compressed.
_CHUNK_BYTES = 1024 * 1024
# How zlib's message ends when all data came and only the sum at the end differs.
_WRONG_CHECKSUM = ("incorrect data check", "incorrect length check")
_GZIP_FORMAT = zlib.MAX_WBITS | 16


def text_chunks(file: BinaryIO, tally: Tally) -> Iterator[bytes]:
    """Chunks of about 1 MB of the file's text; gzip is told by its first bytes, not by the name.

    A gzip stream that is cut off or corrupt ends the chunks where its good part ends, with a note in `tally`.
    """
    first = file.read(_READ_BYTES)
    if first[:2] == _GZIP_MAGIC:
        yield from _inflated(first, file, tally)
        return
    while first:
        yield first
        first = file.read(_CHUNK_BYTES)


def _inflated(data: bytes, file: BinaryIO, tally: Tally) -> Iterator[bytes]:
    stream = zlib.decompressobj(_GZIP_FORMAT)
    while data:
        before = stream.copy()
        try:
            yield stream.decompress(data, _CHUNK_BYTES)
        except zlib.error as error:
            yield _salvaged(before, data)
            if str(error).endswith(_WRONG_CHECKSUM):
                tally.note("the compressed data does not match its checksum; some of it may be wrong")
                return
            tally.truncated = True
            tally.note(f"the compressed data is corrupt ({error}); what comes after that place is lost")
            return
        if not stream.eof:
            data = stream.unconsumed_tail or file.read(_READ_BYTES)
            continue
        data = (stream.unused_data or file.read(_READ_BYTES)).lstrip(b"\0")
        if data and not data.startswith(_GZIP_MAGIC):
            tally.note("the file goes on after its compressed data; that part was ignored")
            return
        stream = zlib.decompressobj(_GZIP_FORMAT)
        if not data:
            return
    yield stream.flush()
    if not stream.eof:
        tally.truncated = True
        tally.note("the compressed data is cut off")


def _salvaged(stream: "zlib._Decompress", data: bytes) -> bytes:
    """What `data` gives before its corrupt byte: a failing call returns nothing, hence byte by byte."""
    parts = []
    try:
        for at in range(len(data)):
            parts.append(stream.decompress(data[at : at + 1]))  # noqa: PERF401  (the parts before the error count)
    except zlib.error:
        pass
    return b"".join(parts)
