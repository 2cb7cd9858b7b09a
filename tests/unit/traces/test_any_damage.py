"""Whatever is done to a file: a trace of what is left, or one sentence."""

import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof.errors import TraceError
from maskprof.traces import decode
from maskprof.traces.reader import read_trace
from tests.support.traces import TraceBuilder, event_rows

COUNT = 12
NAMES = [f"op{i}" for i in range(COUNT)]


def _text(**layout) -> bytes:
    builder = TraceBuilder(baseTimeNanoseconds=5, after={"deep": [{"a": 1}, {"b": [2]}]})
    for i in range(COUNT):
        builder.op(f"op{i}", 10 * i, 5, correlation=i, **{"Input Dims": [[i, 2], []]})
    return builder.text(**layout).encode()


def _names(content: bytes) -> list[str] | None:
    """The events' names, or None where the file is refused."""
    try:
        trace = read_trace(io.BytesIO(content))
    except TraceError:
        return None
    assert len(trace.events) == trace.account.events
    return [row[1] for row in event_rows(trace)]


@pytest.fixture(params=[1 << 20, 500], ids=["one piece", "many pieces"], autouse=True)
def _piece(request, monkeypatch):
    monkeypatch.setattr(decode, "_PIECE_BYTES", request.param)
    monkeypatch.setattr("maskprof.traces.inflate._READ_BYTES", 300)
    monkeypatch.setattr("maskprof.traces.inflate._CHUNK_BYTES", 300)


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"bare": True}], ids=["compact", "indented", "bare"])
def test_a_text_cut_anywhere_keeps_every_event_before_the_cut(layout):
    text = _text(**layout)
    ends = [text.index(b'"op%d"' % (i + 1)) if i + 1 < COUNT else len(text) for i in range(COUNT)]
    for cut in range(len(text)):
        names = _names(text[:cut])
        whole = sum(1 for end in ends if end <= cut)
        if names is None:
            # Before the list there is nothing to keep, and half an event is no trace.
            assert not whole
        else:
            assert names == NAMES[: len(names)]
            assert whole <= len(names) <= whole + 1


def test_a_packed_file_cut_anywhere_keeps_a_prefix():
    packed = gzip.compress(_text(), mtime=0)
    for cut in range(len(packed)):
        names = _names(packed[:cut])
        assert names is None or names == NAMES[: len(names)]
    assert _names(packed[:-8]) == NAMES


@pytest.mark.parametrize("put", [b"\0", b'"', b"{", b"}", b"]", b"\\", b",", b"\xff", b"1"])
def test_one_wrong_byte_anywhere_costs_the_event_and_its_neighbours_at_most(put):
    text = _text()
    first, second = text.index(b'{"ph"'), text.index(b'"op2"')
    for at in (*range(first, second), *range(len(text) - 100, len(text))):
        names = _names(text[:at] + put + text[at + 1 :])
        assert names is not None
        missing = [i for i, name in enumerate(NAMES) if name not in names]
        assert len(missing) <= 3, (at, text[at - 20 : at + 20])
        assert not missing or missing[-1] - missing[0] <= 2


@settings(deadline=None, max_examples=150)
@given(
    at=st.floats(0, 1), junk=st.binary(max_size=8) | st.text('[]{}",:\\', max_size=6).map(str.encode),
    cut=st.integers(0, 60), packed=st.booleans(),
)  # fmt: skip
def test_no_insertion_or_hole_raises_anything_but_trace_error(at, junk, cut, packed):
    content = _text()
    content = gzip.compress(content, mtime=0) if packed else content
    place = int(at * len(content))
    _names(content[:place] + junk + content[place + cut :])
