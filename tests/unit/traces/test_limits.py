"""What a file can make the reader hold is bounded, and where something was lost is told."""

import gzip
import json

import pytest

from maskprof.errors import TraceError
from maskprof.traces import code_tables, decode, folding, metadata
from maskprof.traces.reader import read_trace
from tests.support.traces import TraceBuilder, event_rows


def _write(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _many(count, **fields):
    builder = TraceBuilder()
    for i in range(count):
        builder.op(f"op{i}", i, 1, **fields)
    return builder


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(decode, "_PIECE_BYTES", 2000)
    monkeypatch.setattr("maskprof.traces.inflate._CHUNK_BYTES", 1000)
    monkeypatch.setattr("maskprof.traces.inflate._READ_BYTES", 700)


def test_a_bomb_is_refused_by_default_limit_or_by_one_that_is_given(tmp_path):
    text = _many(300).text()
    path = _write(tmp_path, gzip.compress(text.encode()))
    assert len(read_trace(path, max_text_bytes=len(text)).events) == 300
    with pytest.raises(TraceError) as caught:
        read_trace(path, max_text_bytes=5000)
    assert str(path) in str(caught.value)
    assert "unpacks to more than 5000 bytes of text" in str(caught.value)
    assert "--max_text_bytes" in str(caught.value)


def test_the_limit_is_for_what_is_unpacked_only(tmp_path):
    path = _write(tmp_path, _many(300).text())
    assert len(read_trace(path, max_text_bytes=10).events) == 300


def test_more_events_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(folding, "_MOST_EVENTS", 250)
    with pytest.raises(TraceError, match=r"more than 250 events with a duration.*at event 2"):
        read_trace(_write(tmp_path, _many(300).text()))


def test_more_names_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(code_tables, "_MOST_KEYS", 100)
    trace = read_trace(_write(tmp_path, _many(300).text()))
    names = [row[1] for row in event_rows(trace)]
    assert names == [f"op{i}" for i in range(100)] + ["(further)"] * 200
    assert any("too many names" in note for note in trace.account.notes)


def test_longer_names_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(code_tables, "_LONGEST_KEY", 50)
    builder = TraceBuilder().op("x" * 51, 1, 1).op("y" * 50, 2, 1, **{"Input Dims": [[1] * 30]})
    trace = builder.op("z", 3, 1, **{"Input Dims": [[1]]}).read(tmp_path)
    assert [row[1] for row in event_rows(trace)] == ["(further)", "y" * 50, "z"]
    assert trace.events.inputs.tolist() == [-1, 0, 1]
    assert trace.inputs[0].dims == "(further)"
    assert trace.inputs[1].dims == "[[1]]"


def test_one_endless_string(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "_LONGEST_EVENT_BYTES", 20_000)
    builder = _many(20).op("x" * 50_000, 1, 1)
    for i in range(20):
        builder.op(f"later{i}", i, 1)
    trace = read_trace(_write(tmp_path, builder.text()))
    names = [row[1] for row in event_rows(trace)]
    assert names[:20] == [f"op{i}" for i in range(20)]
    assert names[-19:] == [f"later{i}" for i in range(1, 20)]
    assert trace.account.lost >= 1
    assert any("without the end of an event" in note for note in trace.account.notes)


def test_an_endless_head(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "LONGEST_KEYS_BYTES", 5000)
    with pytest.raises(TraceError, match="no traceEvents in its first 5000 bytes"):
        read_trace(_write(tmp_path, '{"a": "' + "x" * 10_000))


def test_an_endless_tail(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "LONGEST_KEYS_BYTES", 5000)
    monkeypatch.setattr(metadata, "_FIRST_TRY_BYTES", 100)
    text = _many(3).text()[:-1] + ', "more": "' + "x" * 20_000
    trace = read_trace(_write(tmp_path, text))
    assert len(trace.events) == 3
    assert trace.metadata["schemaVersion"] == 1
    assert any("could not all be read" in note for note in trace.account.notes)


def test_a_huge_value_beside_the_events(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "_LONGEST_VALUE_BYTES", 500)
    groups = [{"ranks": list(range(300))}]
    builder = TraceBuilder(distributedInfo={"rank": 2, "world_size": 300, "pg_config": groups}, big="x" * 600)
    trace = builder.op("a", 1, 1).read(tmp_path)
    assert (trace.rank, trace.world_size) == (2, 300)
    assert "big" not in trace.metadata
    assert sum("was not kept" in note for note in trace.account.notes) == 2


@pytest.mark.parametrize("opener", ["[", '{"a":'])
@pytest.mark.parametrize("where", ["event", "args", "metadata"])
def test_deep_nesting(tmp_path, opener, where):
    deep = opener * 100_000 + "1" + {"[": "]"}.get(opener, "}") * 100_000
    good = '{"ph": "X", "name": "a", "ts": 1, "dur": 1}'
    bad = {
        "event": deep,
        "args": f'{{"ph": "X", "name": "b", "ts": 1, "dur": 1, "args": {{"x": {deep}}}}}',
        "metadata": good,
    }
    beside = deep if where == "metadata" else "1"
    trace = read_trace(
        _write(tmp_path, f'{{"traceEvents": [{good}, {good}, {bad[where]}], "beside": {beside}}}')
    )
    assert "a" in [row[1] for row in event_rows(trace)]
    assert trace.account.notes


def test_an_inner_object_with_a_list_of_that_name_is_not_the_trace(tmp_path):
    builder = TraceBuilder(inner={"traceEvents": [{"ph": "X", "name": "no", "ts": 1, "dur": 1}]}, brace="}{[")
    trace = builder.op("yes", 1, 1).read(tmp_path)
    assert [row[1] for row in event_rows(trace)] == ["yes"]
    assert trace.metadata["brace"] == "}{["


def test_where_events_were_lost(tmp_path):
    text = _many(300).text()
    for i in (100, 200):
        text = text.replace(f'"op{i}"', f'"op"{i}')
    trace = read_trace(_write(tmp_path, text))
    assert trace.account.lost == 2
    assert [place.event for place in trace.account.lost_at] == [100, 200]
    for place in trace.account.lost_at:
        assert text[place.byte :].startswith('{"ph"')
        assert f'"op"{place.event}' in text[place.byte : place.byte + 60]
    first = trace.account.lost_at[0]
    assert f"2 events were lost: damaged, null, or without a time (first event 100 at byte {first.byte})" in (
        trace.account.notes
    )


def test_where_null_and_timeless_events_were(tmp_path):
    content = json.loads(_many(300).text())
    content["traceEvents"][250] = None
    del content["traceEvents"][270]["ts"]
    trace = read_trace(_write(tmp_path, json.dumps(content)))
    assert [str(place) for place in trace.account.lost_at] == ["event 250", "event 270"]


@pytest.mark.parametrize(
    ("bad", "note"),
    [
        (b"op250\x01", "control characters were replaced by blanks"),
        (b"op250\xff", "bytes that are not UTF-8 were replaced"),
        (b"op250\\q", "lone backslashes were taken literally, halves of characters replaced"),
    ],
)
def test_where_text_was_mended(tmp_path, bad, note):
    text = _many(300).text().encode().replace(b"op250", bad)
    trace = read_trace(_write(tmp_path, text))
    assert trace.account.notes == (f"{note} (first at byte {text.index(bad) + 5})",)


def test_where_a_file_ends(tmp_path):
    text = _many(300).text()
    cut = text.index('"op222"')
    trace = read_trace(_write(tmp_path, text[:cut]))
    assert trace.account.text_bytes == cut
    assert f"the file is cut off at byte {cut}, inside the list of events" in trace.account.notes
    assert str(trace.account.lost_at[0]).startswith("event 222 at byte ")
    with pytest.raises(TraceError, match="cut off before its first event, at byte 15"):
        read_trace(_write(tmp_path, text[:15]))
