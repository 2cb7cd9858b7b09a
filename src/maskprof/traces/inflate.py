"""The text of a trace file in chunks, unpacked where it is gzip, as far as it can be had."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

# What the standard library's module does, texts of errors included, in a quarter of the time.
from zlib_ng import zlib_ng

from maskprof.errors import TraceError
from maskprof.traces.account import Tally

# How much text a compressed file may unpack to, unless asked otherwise.
MOST_TEXT_BYTES = 16 * 1024**3
_GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 256 * 1024
# Bounds what one step can unpack to, however well the file is compressed.
_CHUNK_BYTES = 512 * 1024
# How zlib's message ends when all data came and only the sum at the end differs.
_WRONG_CHECKSUM = ("incorrect data check", "incorrect length check")
_GZIP_FORMAT = zlib_ng.MAX_WBITS | 16


def text_chunks(file: BinaryIO, tally: Tally, *, max_text_bytes: int = MOST_TEXT_BYTES) -> Iterator[bytes]:
    """Chunks of the file's text, in UTF-8; gzip is told by its first bytes, not by the name.

    A gzip stream that is cut off or corrupt ends the chunks where its good part ends, with a note in `tally`.

    Raises:
        TraceError: if a compressed file unpacks to more than `max_text_bytes`.
    """
    first = file.read(_READ_BYTES)
    packed = first[:2] == _GZIP_MAGIC
    yield from _in_utf8(
        _inflated(first, file, tally, max_text_bytes) if packed else _plain(first, file), tally
    )


def _plain(data: bytes, file: BinaryIO) -> Iterator[bytes]:
    while data:
        yield data
        data = file.read(_CHUNK_BYTES)


class _Compressed:
    """A compressed file, with how much of it has been read."""

    def __init__(self, first: bytes, file: BinaryIO) -> None:
        self._file = file
        self.count = len(first)

    def more(self) -> bytes:
        data = self._file.read(_READ_BYTES)
        self.count += len(data)
        return data


def _inflated(data: bytes, file: BinaryIO, tally: Tally, max_text_bytes: int) -> Iterator[bytes]:
    source = _Compressed(data, file)
    stream = zlib_ng.decompressobj(_GZIP_FORMAT)
    room = max_text_bytes
    while data:
        before = stream.copy()
        try:
            text = stream.decompress(data, _CHUNK_BYTES)
        except zlib_ng.error as error:
            yield _salvaged(before, data)
            _note_corrupt(tally, str(error), source.count - len(data), source.count)
            return
        room -= len(text)
        if room < 0:
            raise TraceError(
                f"unpacks to more than {max_text_bytes} bytes of text, from {source.count} compressed ones; if "
                "that is really a trace, raise the limit with max_text_bytes (--max_text_bytes)"
            )
        yield text
        if stream.eof:
            data = _next_member(stream.unused_data, source, tally)
            if not data:
                return
            stream = zlib_ng.decompressobj(_GZIP_FORMAT)
        else:
            data = stream.unconsumed_tail or source.more()
    yield stream.flush()
    tally.truncated = True
    tally.note("the compressed data is cut off", f"at byte {source.count} of the file")


def _next_member(data: bytes, source: _Compressed, tally: Tally) -> bytes:
    """The beginning of the gzip stream after one that has ended; empty where nothing, or nothing packed, follows."""
    data = data.lstrip(b"\0")
    while len(data) < len(_GZIP_MAGIC) and (more := source.more()):
        data = (data + more).lstrip(b"\0")
    if data and not data.startswith(_GZIP_MAGIC):
        where = f"from byte {source.count - len(data)} of the file"
        tally.note("the file goes on after its compressed data; that part was ignored", where)
        return b""
    return data


def _note_corrupt(tally: Tally, error: str, start: int, stop: int) -> None:
    if error.endswith(_WRONG_CHECKSUM):
        tally.note("the compressed data does not match its checksum; some of it may be wrong")
        return
    tally.truncated = True
    tally.note(
        f"the compressed data is corrupt ({error}) between bytes {start} and {stop} of the file; what comes after "
        "that place is lost"
    )


def _salvaged(stream: "zlib_ng._Decompress", data: bytes) -> bytes:
    """What `data` gives before its corrupt byte: a failing call returns nothing, hence byte by byte."""
    parts = []
    try:
        for at in range(len(data)):
            parts.append(stream.decompress(data[at : at + 1]))  # noqa: PERF401  (the parts before the error count)
    except zlib_ng.error:
        pass
    return b"".join(parts)


def _in_utf8(chunks: Iterator[bytes], tally: Tally) -> Iterator[bytes]:
    """The same text where it is UTF-8; turned into it where a mark says that it is UTF-16."""
    first = next(chunks, b"")
    if first[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    yield decoder.decode(first).encode("utf-8", "replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "replace")
    tally.note("the text is UTF-16; places are those of the same text in UTF-8")
