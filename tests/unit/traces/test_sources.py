"""Where traces are read from: files, folders, standard input; and which rank they say they are."""

import codecs
import gzip
import io
import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import maskprof
from maskprof.errors import TraceError
from maskprof.traces.finding import find_traces
from maskprof.traces.reader import read_trace, read_traces
from tests.support.traces import TraceBuilder, event_rows


def _builder(name="aten::mm", **metadata):
    return TraceBuilder(**metadata).op(name, "10.125", "2.5").kernel("gemm", 20, 5, 7)


ROWS = [
    ("cpu_op", "aten::mm", 100, 100, 10_125, 2_500),
    ("kernel", "gemm", 0, 7, 20_000, 5_000),
]


def _names(traces):
    return [trace.names[0] for trace in traces]


def test_the_ways_in_are_public():
    assert maskprof.find_traces is find_traces
    assert maskprof.read_traces is read_traces


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input(monkeypatch, pack):
    content = pack(_builder().text().encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    trace = read_trace("-")
    assert event_rows(trace) == ROWS
    assert trace.path == "-"


def test_standard_input_that_is_no_trace(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"hello")))
    with pytest.raises(TraceError, match=r"^standard input is no profiler trace"):
        read_trace("-")


def test_an_open_file(tmp_path):
    path = _builder().write(tmp_path / "t.json.gz")
    with path.open("rb") as file:
        trace = read_trace(file)
        assert not file.closed
    assert event_rows(trace) == ROWS
    assert trace.path == str(path)
    assert read_trace(io.BytesIO(_builder().text().encode())).path == "<file>"


@pytest.mark.parametrize("order", ["little", "big"])
def test_utf_16_with_a_mark_is_read(tmp_path, order):
    mark = codecs.BOM_UTF16_LE if order == "little" else codecs.BOM_UTF16_BE
    text = _builder("größer ∑ 😀").text(ensure_ascii=False)
    path = tmp_path / "t.json"
    path.write_bytes(mark + text.encode(f"utf-16-{order[0]}e"))
    trace = read_trace(path)
    assert [row[1] for row in event_rows(trace)] == ["größer ∑ 😀", "gemm"]
    assert trace.account.lost == 0
    assert any("UTF-16" in note for note in trace.account.notes)


def test_a_folder_with_one_trace_is_that_trace(tmp_path):
    (tmp_path / "inner").mkdir()
    path = _builder().write(tmp_path / "inner" / "host.1.pt.trace.json.gz")
    (tmp_path / "results.json").write_text('{"summary": [], "all_samples": []}')
    trace = read_trace(tmp_path)
    assert event_rows(trace) == ROWS
    assert trace.path == str(path)


def test_a_folder_with_several_traces_needs_a_choice(tmp_path):
    for rank in range(5):
        _builder().write(tmp_path / f"rank{rank}.json")
    with pytest.raises(TraceError) as caught:
        read_trace(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds 5 traces (rank0.json, rank1.json, rank2.json and 2 more); "
        "name one of them, or read all with read_traces"
    )


def test_a_folder_without_traces(tmp_path):
    with pytest.raises(TraceError, match=r"holds no traces \(files named \*\.json or \*\.json\.gz\)$"):
        read_trace(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(TraceError, match=r"though 1 other JSON file$"):
        list(read_traces(tmp_path))


@pytest.mark.parametrize("name", ["absent.json", "a\0b"])
def test_paths_that_cannot_be_read(tmp_path, name):
    with pytest.raises(TraceError):
        read_trace(tmp_path / name)
    with pytest.raises(TraceError):
        find_traces(tmp_path / name)


TRACES = {
    "a.pt.trace.json": _builder().text(),
    "b.pt.trace.json.gz": _builder().text(),
    "c.json": _builder().text(bare=True, indent=2),
    "d.json.gz": _builder().text(separators=(",", ":")),
    "deep/er/e.json": "\ufeff" + _builder().text(indent=1),
    "damaged.pt.trace.json.gz": "",
    "null-first.json": "[null, " + _builder().text(bare=True)[1:],
}
OTHERS = {
    "exp3_transformer_blocks_mask_results.json": "",
    "attribution.json": "{",
    "results.json": json.dumps({"summary": [{"prefill": {}}], "loss": float("nan")}),
    "list.json": "[1, 2]",
    "objects.json": json.dumps([{"name": "x", "value": {"ph": "X"}}]),
    "text.json": json.dumps({"note": 'about "traceEvents": ['}),
    "log.json": '{"step": 1}\n{"step": 2}\n',
    "packed.json.gz": "{}",
    "notes.txt": _builder().text(),
}
DAMAGED = {
    "empty.json": b"",
    "blank.json": b"\0" * 4096,
    "cut.json": _builder().text().encode()[:12],
    "garbage.json": b"\xff\x00garbage",
    "empty.json.gz": b"",
    "packed-nothing.json.gz": gzip.compress(b""),
    "cut.json.gz": gzip.compress(b"{" + b" " * 1000 + b"}")[:20],
    "magic.json.gz": gzip.compress(b"x")[:8],
}


def fill(folder, texts):
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text.encode() if isinstance(text, str) else text
        packs = name.endswith(".gz") and text and isinstance(text, str)
        path.write_bytes(gzip.compress(content) if packs else content)


def found_in(folder):
    paths = find_traces(folder)
    assert paths == sorted(paths)
    return {str(path.relative_to(folder)) for path in paths}


def test_only_what_looks_like_a_trace_is_found(tmp_path):
    fill(tmp_path, TRACES | OTHERS)
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    assert found_in(tmp_path) == set(TRACES)
    assert find_traces(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]


def test_damaged_ones_are_found_too(tmp_path):
    fill(tmp_path, TRACES | OTHERS | DAMAGED)
    (tmp_path / "nowhere.json").symlink_to("gone")
    assert found_in(tmp_path) == {*TRACES, *DAMAGED, "nowhere.json"}
    for name in (*DAMAGED, "nowhere.json"):
        with pytest.raises(TraceError, match=name):
            read_trace(tmp_path / name)


def test_away_from_traces_only_names_that_tell_count(tmp_path):
    fill(tmp_path, {"in/a.json": _builder().text(), "elsewhere/config.json": "", "elsewhere/b.json.gz": b""})
    assert found_in(tmp_path) == {"in/a.json", "elsewhere/b.json.gz"}


def test_where_nothing_is_whole_the_damaged_ones_are_named(tmp_path):
    fill(tmp_path, {"rank0.json": "", "rank1.json": "[", "list.json": "[1]"})
    assert found_in(tmp_path) == {"rank0.json", "rank1.json"}


def test_what_may_not_be_opened_is_found(tmp_path, monkeypatch):
    fill(tmp_path, {"a.json": _builder().text(), "b.json": _builder().text(), "closed/c.json": "[]"})
    # The rights of files do not bind the administrator, who may run this.
    opened, listed = Path.open, os.scandir

    def open_(path, *args, **kwargs):
        if path.name == "b.json":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    def scandir(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(os, "scandir", scandir)
    assert found_in(tmp_path) == {"a.json", "b.json", "closed"}
    for name in ("b.json", "closed"):
        with pytest.raises(TraceError, match=f"{name} cannot be read: Permission denied"):
            read_trace(tmp_path / name)


def test_a_pipe_is_read_and_a_device_is_not(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert find_traces(tmp_path / "pipe") == [tmp_path / "pipe"]
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(_builder().text().encode()))
    writer.start()
    trace = read_trace(tmp_path / "pipe")
    writer.join(timeout=60)
    assert event_rows(trace) == ROWS
    with pytest.raises(TraceError, match="/dev/null is neither a file nor a pipe nor a folder"):
        find_traces("/dev/null")


def test_several_traces_one_after_the_other(tmp_path):
    for name in ("b", "a"):
        _builder(name).write(tmp_path / f"{name}.json")
    alone = _builder("c").write(tmp_path.parent / f"{tmp_path.name}-c.json")
    assert _names(read_traces(tmp_path)) == ["a", "b"]
    assert _names(read_traces([alone, tmp_path])) == ["c", "a", "b"]
    assert _names(read_traces(str(alone))) == ["c"]
    assert _names(read_traces(io.BytesIO(_builder("d").text().encode()))) == ["d"]
    assert _names(read_traces([])) == []


@pytest.mark.parametrize(
    ("name", "metadata", "rank", "world_size"),
    [
        ("t.json", {}, None, None),
        ("t.json", {"distributedInfo": {"rank": 3, "world_size": 8}}, 3, 8),
        ("rank-5.json", {"distributedInfo": {"rank": 3, "world_size": 8}}, 3, 8),
        ("rank-5.json", {}, 5, None),
        ("trace_rank_12.pt.trace.json", {}, 12, None),
        ("Rank7-of-8.json", {"distributedInfo": "none"}, 7, None),
        ("rank2_step100.json", {"distributedInfo": {"rank": "2", "world_size": None}}, 2, None),
        ("ranking.json", {"distributedInfo": {"rank": True, "world_size": -1}}, None, None),
    ],
)
def test_rank_and_world_size(tmp_path, name, metadata, rank, world_size):
    trace = read_trace(_builder(**metadata).write(tmp_path / name))
    assert (trace.rank, trace.world_size) == (rank, world_size)
