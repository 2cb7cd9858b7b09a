"""Damaged files: everything that can be had is kept, and what was lost is counted."""

import gzip
import json
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskprof.errors import TraceError
from maskprof.traces import decode
from maskprof.traces.reader import read_trace
from tests.support.traces import TraceBuilder, event_rows

COUNT = 300


def _builder(count: int = COUNT) -> TraceBuilder:
    builder = TraceBuilder(baseTimeNanoseconds=5)
    for i in range(count):
        builder.op(f"op{i}", 10 * i, 5, sizes=[[i, 2]], parts=[{"k": i}, {"k": 2}])
    return builder


def _read(tmp_path, text: bytes):
    path = tmp_path / "damaged.json"
    path.write_bytes(text)
    return read_trace(path)


def _names(trace) -> list[str]:
    return [row[1] for row in event_rows(trace)]


ALL = [f"op{i}" for i in range(COUNT)]


@pytest.fixture(params=[None, 2], ids=["compact", "indented"])
def text(request) -> bytes:
    return _builder().text(indent=request.param).encode()


@pytest.fixture(params=[4 * 1024 * 1024, 5000], ids=["one piece", "many pieces"], autouse=True)
def _piece(request, monkeypatch):
    monkeypatch.setattr(decode, "_PIECE_BYTES", request.param)
    monkeypatch.setattr("maskprof.traces.inflate._CHUNK_BYTES", 1000)


def test_cut_off_text(tmp_path, text):
    cut = text.index(b'"op200"') + 3
    trace = _read(tmp_path, text[:cut])
    assert _names(trace) == ALL[:200]
    assert (trace.account.lost, trace.account.truncated) == (1, True)


def test_cut_off_between_events(tmp_path, text):
    cut = text.rindex(b"{", 0, text.index(b'"op200"'))
    trace = _read(tmp_path, text[:cut])
    assert _names(trace) == ALL[:200]
    assert (trace.account.lost, trace.account.truncated) == (0, True)


def test_cut_off_after_the_events(tmp_path):
    text = _builder().text()
    trace = _read(tmp_path, text[:-1].encode())
    assert _names(trace) == ALL
    assert trace.account.truncated
    assert trace.metadata["baseTimeNanoseconds"] == 5


def test_cut_off_gzip(tmp_path, text):
    packed = gzip.compress(text)
    trace = _read(tmp_path, packed[: len(packed) * 3 // 4])
    found = _names(trace)
    assert found == ALL[: len(found)]
    assert len(found) > COUNT // 2
    assert trace.account.truncated
    notes = " ".join(trace.account.notes)
    assert f"the compressed data is cut off (at byte {len(packed) * 3 // 4} of the file)" in notes
    assert f"the file is cut off at byte {trace.account.text_bytes}, inside the list of events" in notes
    assert "the file is cut off and has no device events: profilers write those last" in notes


def test_corrupt_gzip_keeps_what_comes_before_the_bad_byte(tmp_path, text):
    packed = bytearray(gzip.compress(text))
    at = len(packed) * 3 // 4
    packed[at : at + 40] = b"\xff" * 40
    trace = _read(tmp_path, bytes(packed))
    found = _names(trace)
    kept = [name for name in found if name in ALL]
    assert kept[: COUNT // 2] == ALL[: COUNT // 2]
    assert trace.account.truncated
    assert any("compressed data" in note for note in trace.account.notes)


def test_wrong_gzip_checksum_loses_nothing(tmp_path, text):
    packed = bytearray(gzip.compress(text))
    packed[-6] ^= 0xFF
    trace = _read(tmp_path, bytes(packed))
    assert _names(trace) == ALL
    assert not trace.account.truncated
    assert trace.account.notes == (
        "the compressed data does not match its checksum; some of it may be wrong",
    )


@pytest.mark.parametrize(
    ("bad", "name", "note"),
    [
        (b'"op150\x01\n"', "op150  ", "control characters"),
        (b'"op150\xff"', "op150\N{REPLACEMENT CHARACTER}", "not UTF-8"),
        (b'"op150\\q"', "op150\\q", "lone backslashes"),
        (
            b'"op150\\ud83d \\ud83d\\ude00 \\\\ud83d"',
            "op150\ufffd \U0001f600 \\ud83d",
            "halves of characters",
        ),
        (b'"op150\\uDE00\\uDE00"', "op150\ufffd\ufffd", "halves of characters"),
    ],
)
def test_bad_characters_are_mended(tmp_path, text, bad, name, note):
    trace = _read(tmp_path, text.replace(b'"op150"', bad))
    assert _names(trace) == [*ALL[:150], name, *ALL[151:]]
    assert trace.account.lost == 0
    assert note in " ".join(trace.account.notes)


def test_not_a_number_in_arguments(tmp_path, text):
    trace = _read(tmp_path, text.replace(b'"k": 2', b'"k": NaN', 3).replace(b'"k": 2', b'"k": -Infinity', 3))
    assert _names(trace) == ALL
    assert trace.account.lost == 0


def test_unescaped_quote_loses_one_event(tmp_path, text):
    trace = _read(tmp_path, text.replace(b'"op150"', b'"op"150"'))
    assert _names(trace) == ALL[:150] + ALL[151:]
    assert (trace.account.lost, trace.account.truncated) == (1, False)
    assert trace.metadata["baseTimeNanoseconds"] == 5


def test_null_events_at_the_end_are_no_sign_of_a_cut(tmp_path):
    builder = TraceBuilder().op("a", 1, 1)
    builder.events += [None, None]
    account = builder.read(tmp_path).account
    assert (account.events, account.lost, account.truncated, account.ignored_bytes) == (1, 2, False, 0)


def test_null_events(tmp_path):
    content = json.loads(_builder().text())
    content["traceEvents"][10:10] = [None, None]
    trace = _read(tmp_path, json.dumps(content).encode())
    assert _names(trace) == ALL
    assert trace.account.lost == 2


def test_hole_in_the_text(tmp_path, text):
    start, stop = text.index(b'"op100"') + 2, text.index(b'"op120"') - 5
    trace = _read(tmp_path, text[:start] + text[stop:])
    found = _names(trace)
    assert found[:100] == ALL[:100]
    assert found[-179:] == ALL[121:]
    assert trace.metadata["baseTimeNanoseconds"] == 5


def test_a_second_trace_in_the_file_is_named_not_added(tmp_path, text):
    trace = _read(tmp_path, text + b"\n" + text)
    assert _names(trace) == ALL
    assert trace.account.ignored_bytes == len(text)
    assert not trace.account.truncated
    assert any("goes on after the end" in note for note in trace.account.notes)


def test_many_damaged_events(tmp_path, text):
    for i in range(0, COUNT, 3):
        text = text.replace(f'"op{i}"'.encode(), f'"op{i}""'.encode())
    trace = _read(tmp_path, text)
    assert _names(trace) == [name for i, name in enumerate(ALL) if i % 3]
    assert trace.account.lost == COUNT // 3


DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "hole", "insert"]), st.integers(0, 10**6), st.binary(max_size=6)
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=80,
)
@given(damages=st.lists(DAMAGE, min_size=1, max_size=3), packed=st.booleans())
def test_no_damage_raises_anything_but_trace_error(tmp_path, damages, packed):
    content = bytearray(_builder(30).text().encode())
    if packed:
        content = bytearray(gzip.compress(bytes(content)))
    for kind, place, junk in damages:
        at = place % max(1, len(content))
        if kind == "cut":
            del content[at:]
        elif kind == "hole":
            del content[at : at + 10 * len(junk)]
        elif kind == "insert":
            content[at:at] = junk
        elif content:
            content[at] ^= (junk or b"\x01")[0]
    try:
        trace = _read(tmp_path, bytes(content))
    except TraceError:
        return
    assert len(trace.events) == trace.account.events


def test_gzip_that_stops_making_sense(tmp_path, text):
    # A stored block whose length and its complement disagree: invalid wherever it stands.
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    half = text.index(b'"op200"')
    packed = (
        packer.compress(text[:half])
        + packer.flush(zlib.Z_FULL_FLUSH)
        + b"\x00\x01\x02\x03\x04"
        + b"junk" * 200
    )
    trace = _read(tmp_path, packed)
    assert _names(trace) == ALL[:200]
    assert (trace.account.lost, trace.account.truncated) == (1, True)
    assert "corrupt" in trace.account.notes[0]


@pytest.mark.parametrize("nulls", [1, 2])
def test_null_events_behind_the_last_one(tmp_path, nulls):
    builder = TraceBuilder().op("a", 0, 1).op("b", 5, 1)
    builder.events += [None] * nulls
    account = builder.read(tmp_path).account
    assert (account.events, account.lost, account.truncated) == (2, nulls, False)
