"""What a browser is given of traces that are no strict JSON, or not for the viewer."""

import gzip
import json
import math

import pytest

from maskprof.errors import TraceError
from maskprof.traces.reader import read_trace
from maskprof.viewing.browser_json import packed_json
from tests.support.traces import TraceBuilder

SOUND = TraceBuilder().op("aten::mm", 0, 10).kernel("größer", 20, 5, 1).text(ensure_ascii=False)
EVENTS = json.loads(SOUND)["traceEvents"]

DAMAGED = (
    "t.json is damaged, and the viewer shows sound traces only; maskprof analyze and --speedscope read what is left "
    "of it"
)


def shown(tmp_path, content):
    """The document that a browser parses, strictly."""
    path = tmp_path / "t.json"
    path.write_bytes(content)
    packed = packed_json(content, read_trace(path).account, "t.json")

    def no_constant(name):
        raise AssertionError(name)

    return json.loads(gzip.decompress(packed).decode(), parse_constant=no_constant)


@pytest.mark.parametrize("content", [SOUND.encode(), json.dumps(EVENTS).encode()], ids=["object", "array"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_sound_traces_stay_as_they_are(tmp_path, content, pack):
    path = tmp_path / "t.json"
    path.write_bytes(pack(content))
    packed = packed_json(pack(content), read_trace(path).account, "t.json")
    assert gzip.decompress(packed) == content
    assert pack is bytes or packed == pack(content)


@pytest.mark.parametrize(
    "content",
    [
        SOUND.encode("utf-16"),
        gzip.compress(SOUND.encode("utf-16")),
        SOUND.encode("utf-8-sig"),
        SOUND.encode() + b"\n" + SOUND.encode(),
        SOUND.encode() + b"garbage",
        gzip.compress(SOUND[:50].encode()) + gzip.compress(SOUND[50:].encode()),
        gzip.compress(SOUND.encode()) + b"\0" * 512,
        gzip.compress(SOUND.encode()) + b"garbage",
    ],
    ids=[
        "UTF-16",
        "UTF-16 in gzip",
        "mark",
        "twice",
        "text behind",
        "two members",
        "padded gzip",
        "text behind gzip",
    ],
)
def test_forms_that_browsers_refuse(tmp_path, content):
    assert shown(tmp_path, content)["traceEvents"] == EVENTS


def test_browsers_unpack_one_member_only(tmp_path):
    content = gzip.compress(SOUND[:50].encode()) + gzip.compress(SOUND[50:].encode())
    packed = packed_json(content, read_trace(_written(tmp_path, content)).account, "t.json")
    assert packed.count(b"\x1f\x8b\x08") == 1


def _written(folder, content):
    path = folder / "t.json"
    path.write_bytes(content)
    return path


def test_what_is_no_number_and_what_has_no_time(tmp_path):
    kernel = {"ph": "X", "cat": "kernel", "pid": 0, "tid": 7, "ts": 5, "dur": 2}
    events = [
        kernel | {"name": "kept", "args": {"occupancy": math.nan, "x": math.inf}},
        kernel | {"name": "no time", "ts": math.nan},
        kernel | {"name": "no end", "dur": math.inf},
        None,
        kernel | {"name": None, "pid": None, "args": None, "ts": "39.5"},
        {"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "python"}},
    ]
    document = shown(tmp_path, json.dumps({"traceEvents": events, "share": -math.inf}).encode())
    assert document == {
        "traceEvents": [
            kernel | {"name": "kept", "args": {"occupancy": None, "x": None}},
            kernel | {"ts": 39.5, "name": ""},
            events[-1],
        ],
        "share": None,
    }


def test_numbers_for_names_become_texts(tmp_path):
    event = {"ph": "X", "cat": "cpu_op", "name": 5, "pid": 1, "tid": 1, "ts": 0, "dur": 1}
    assert shown(tmp_path, json.dumps([event]).encode()) == [event | {"name": "5"}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (SOUND.replace("aten::mm", 'a"b', 1).encode(), DAMAGED),
        (b'{"traceEvents": []}', "t.json holds no event, so there is nothing to show"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(TraceError) as caught:
        shown(tmp_path, content)
    assert str(caught.value) == sentence
