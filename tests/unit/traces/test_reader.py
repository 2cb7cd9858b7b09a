import gzip
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maskprof
from maskprof.errors import TraceError
from maskprof.traces import decode
from maskprof.traces.reader import read_trace
from tests.support.traces import TraceBuilder, event_rows


def _three_events():
    return (
        TraceBuilder(baseTimeNanoseconds=1_700_000_000_000_000_000)
        .op("aten::mm", "10.125", "2.5", Ev_Idx=3)
        .launch(11, 42, External_id=1)
        .kernel("gemm", "20.001", "0.999", 42, stream=7, device=0)
    )


EXPECTED_ROWS = [
    ("cpu_op", "aten::mm", 100, 100, 10_125, 2_500),
    ("cuda_runtime", "cudaLaunchKernel", 100, 100, 11_000, 1_000),
    ("kernel", "gemm", 0, 7, 20_001, 999),
]


def test_columns_hold_what_the_file_says(tmp_path):
    trace = _three_events().read(tmp_path)
    assert event_rows(trace) == EXPECTED_ROWS
    assert trace.events.correlation.tolist() == [-1, 42, 42]
    assert trace.events.stream.tolist() == [-1, -1, 7]
    assert trace.events.device.tolist() == [-1, -1, 0]
    assert trace.metadata["baseTimeNanoseconds"] == 1_700_000_000_000_000_000
    assert "traceEvents" not in trace.metadata
    assert (trace.account.events, trace.account.lost, trace.account.truncated) == (3, 0, False)
    assert trace.path.endswith("trace.json")


def test_read_trace_is_public():
    assert maskprof.read_trace is read_trace


@pytest.mark.parametrize(
    "layout", [{}, {"indent": 2}, {"indent": 8}, {"separators": (",", ":")}, {"bare": True}]
)
def test_layouts_and_forms_are_alike(tmp_path, layout):
    assert event_rows(_three_events().read(tmp_path, **layout)) == EXPECTED_ROWS


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b"\n  "])
def test_leading_marks_do_not_matter(tmp_path, prefix):
    path = tmp_path / "t.json"
    path.write_bytes(prefix + _three_events().text().encode())
    assert event_rows(read_trace(path)) == EXPECTED_ROWS


def test_gzip_is_told_by_content(tmp_path):
    text = _three_events().text().encode()
    for name, content in (("plain.json.gz", text), ("packed.json", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        assert event_rows(read_trace(tmp_path / name)) == EXPECTED_ROWS
    (tmp_path / "members.gz").write_bytes(gzip.compress(text[:300]) + gzip.compress(text[300:]))
    assert event_rows(read_trace(str(tmp_path / "members.gz"))) == EXPECTED_ROWS


def test_metadata_may_stand_before_and_after_the_events(tmp_path):
    path = tmp_path / "t.json"
    mine = {"active": [0, 2], "nested": [{"a": 1}, {"a": 2}]}
    events = json.dumps(json.loads(_three_events().text())["traceEvents"])
    path.write_text(
        f'{{"first": 1, "traceEvents": {events}, "maskprof": {json.dumps(mine)}, "last": [{{"b": 1}}]}}'
    )
    trace = read_trace(path)
    assert trace.metadata == {"first": 1, "maskprof": mine, "last": [{"b": 1}]}
    assert len(trace.events) == 3
    assert trace.account.notes == ()


@pytest.mark.parametrize("piece", [64, 400])
def test_pieces_give_the_same_as_the_whole(tmp_path, monkeypatch, piece):
    builder = TraceBuilder(tail=[{"x": 1}, {"y": [2]}])
    for i in range(200):
        builder.op(
            f"op {i % 7}", f"{1_700_000_000_000_000 + i}.{i:03d}", "1.5", shapes=[{"a": i}, {"b": [i]}]
        )
    whole = builder.read(tmp_path)
    monkeypatch.setattr(decode, "_PIECE_BYTES", piece)
    monkeypatch.setattr("maskprof.traces.inflate._CHUNK_BYTES", 50)
    monkeypatch.setattr("maskprof.traces.inflate._READ_BYTES", 50)
    for suffix in ("json", "json.gz"):
        pieces = read_trace(builder.write(tmp_path / f"pieces.{suffix}"))
        assert event_rows(pieces) == event_rows(whole)
        assert (pieces.account, pieces.metadata) == (whole.account, whole.metadata)


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("1700000000000000.123", 1_700_000_000_000_000_123),
        ("1700000000000000", 1_700_000_000_000_000_000),
        ('"1700000000000000.001"', 1_700_000_000_000_000_001),
        ('"12"', 12_000),
        ("6520618861901.761", 6_520_618_861_901_761),
        ("1.7e3", 1_700_000),
        ("0.0014", 1),
        ("-3.5", -3_500),
    ],
)
def test_times_are_exact_to_the_nanosecond(tmp_path, written, nanoseconds):
    trace = TraceBuilder().op("a", written, 1).op("b", 1, written).read(tmp_path)
    assert trace.events.ts_ns.tolist() == [nanoseconds, 1_000]
    assert trace.events.dur_ns.tolist() == [1_000, max(0, nanoseconds)]


@pytest.mark.parametrize(
    "written",
    [
        "null",
        '"soon"',
        "1e999",
        "16e999598738",
        '"1e-99999999999999999999"',
        "[1]",
        "99999999999999999999",
        '"NaN"',
        "true",
    ],
)
def test_an_event_without_a_usable_time_is_lost_alone(tmp_path, written):
    trace = TraceBuilder().op("a", 5, 1).op("b", written, 1).op("c", 7, 1).read(tmp_path)
    assert trace.events.ts_ns.tolist() == [5_000, 7_000]
    assert trace.account.lost == 1


def test_older_spellings(tmp_path):
    builder = TraceBuilder()
    for category in ("Kernel", "Memcpy", "Memset", "Runtime", "Operator", "Trace"):
        builder.event(category, "x", 1, 1, **{"external id": 5})
    trace = builder.read(tmp_path)
    assert [row[0] for row in event_rows(trace)] == [
        "kernel", "gpu_memcpy", "gpu_memset", "cuda_runtime", "cpu_op", "trace",
    ]  # fmt: skip
    assert trace.events.external_id.tolist() == [5] * 6


def test_unusual_types_of_fields(tmp_path):
    builder = TraceBuilder()
    builder.event("cpu_op", "text ids", 1, 1, pid="Spans", tid="")
    builder.event("cuda_runtime", "text stream", 2, 1, stream="0x55d0", correlation=None)
    builder.event("kernel", "huge id", 3, 1, correlation=2**70)
    builder.event(None, 7, 4, 1, pid=1.5)
    trace = builder.read(tmp_path)
    assert event_rows(trace)[0][2:4] == ("Spans", "")
    assert event_rows(trace)[3][:3] == ("", "7", "1.5")
    assert trace.events.correlation.tolist() == [-1] * 4
    assert trace.account.lost == 0


@pytest.mark.parametrize("odd", [{"args": None}, {"args": []}, {"name": 5}, {"cat": None}, {"tid": 100.0}])
def test_an_oddly_typed_event_stays_on_its_thread(tmp_path, odd):
    builder = TraceBuilder().op("outer", 0, 50).op("inner", 5, 30)
    builder.events[0] |= odd
    trace = builder.read(tmp_path)
    assert [row[2:] for row in event_rows(trace)] == [(100, 100, 0, 50_000), (100, 100, 5_000, 30_000)]
    assert (trace.pids, trace.tids) == ((100,), (100,))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["5", 5], [5, 5]),
        ([5, "5"], [5, 5]),
        (["-3", -3, "0", 0], [-3, -3, 0, 0]),
        (["05", 5], ["05", 5]),
        (["-0", 0], ["-0", 0]),
        (["5 ", "+5", "५", ""], ["5 ", "+5", "५", ""]),
        (["9" * 30, 5.0, 5.5], ["9" * 30, 5, "5.5"]),
        ([None, -1, True, [1], {"a": 1}], [-1, -1, "true", "[1]", '{"a": 1}']),
    ],
)
def test_a_process_is_the_same_as_a_number_and_as_a_text_of_digits(tmp_path, written, read):
    builder = TraceBuilder()
    for pid in written:
        builder.op("aten::mm", 0, 1, pid=pid)
    trace = builder.read(tmp_path)
    assert [row[2] for row in event_rows(trace)] == read
    assert trace.pids == tuple(dict.fromkeys(read))


def test_an_event_without_a_process_is_read_alike_whatever_else_is_odd(tmp_path):
    builder = TraceBuilder().op("plain", 0, 1).op("odd", 2, 1, pid=None)
    del builder.events[0]["pid"]
    assert [row[2] for row in event_rows(builder.read(tmp_path))] == [-1, -1]


@pytest.mark.parametrize("odd", [{}, {"args": None}, {"ts": "1"}], ids=["fast", "one by one", "exact"])
def test_negative_durations_are_taken_as_zero_and_counted(tmp_path, odd):
    builder = TraceBuilder().op("backwards", 1, -10).op("aten::mm", 2, 3).op("nothing", 3, "-0.001")
    builder.events[0] |= odd
    trace = builder.read(tmp_path)
    assert [row[4:] for row in event_rows(trace)] == [(1_000, 0), (2_000, 3_000), (3_000, 0)]
    assert (trace.account.negative_durations, trace.account.lost) == (2, 0)


def test_a_begin_event_is_as_long_as_its_end_says_whatever_duration_it_has(tmp_path):
    builder = TraceBuilder().event("cpu_op", "outer", 1, 0, ph="B").event("", "", 9, 0, ph="E")
    builder.events[0]["dur"] = -5
    trace = builder.read(tmp_path)
    assert [(row[1], row[5]) for row in event_rows(trace)] == [("outer", 8_000)]
    assert trace.account.negative_durations == 0


def test_begin_and_end_events_become_whole_ones(tmp_path):
    builder = (
        TraceBuilder()
        .event("cpu_op", "outer", 1, 0, ph="B", correlation=9)
        .event("cpu_op", "other", 2, 0, ph="B", tid=5)
    )
    builder.event("cpu_op", "inner", "2.5", 0, ph="B").op("whole", 3, 1).event("cpu_op", "", 4, 0, ph="E")
    builder.event("cpu_op", "", 5, 0, ph="E", tid=5).event("cpu_op", "", 6, 0, ph="E").event(
        "cpu_op", "", 7, 0, ph="E"
    )
    builder.event("cpu_op", "never ended", 8, 0, ph="B")
    trace = builder.read(tmp_path)
    assert [(row[1], *row[4:]) for row in event_rows(trace)] == [
        ("outer", 1_000, 5_000), ("other", 2_000, 3_000), ("inner", 2_500, 1_500), ("whole", 3_000, 1_000),
    ]  # fmt: skip
    assert trace.events.correlation[0] == 9
    assert trace.account.unpaired == 2


def test_events_without_duration_are_counted_not_kept(tmp_path):
    builder = (
        TraceBuilder()
        .event("ac2g", "flow", 1, 0, ph="s")
        .event("", "process_name", 1, 0, ph="M")
        .op("a", 1, 1)
    )
    trace = builder.read(tmp_path)
    assert (trace.account.events, trace.account.other) == (1, 2)


@pytest.mark.parametrize("key", ["Input Dims", "Input dims"])
def test_recorded_inputs_are_kept_as_text(tmp_path, key):
    shapes = {key: [[2, 3], []], "Input type": ["float", "Scalar"], "Concrete Inputs": ["", "1"]}
    builder = TraceBuilder().op("aten::mm", 1, 1, **shapes).op("aten::add", 2, 1)
    builder.op("aten::mm", 3, 1, **shapes).op("flash_attention", 4, 1, **shapes)
    builder.op("no types", 5, 1, **{key: []}).event("gpu_memcpy", "Memcpy", 6, 1, bytes=2**40)
    trace = builder.read(tmp_path)
    assert trace.events.inputs.tolist() == [0, -1, 0, 1, 2, -1]
    assert trace.inputs == (
        ("[[2, 3], []]", '["float", "Scalar"]', ""),
        ("[[2, 3], []]", '["float", "Scalar"]', '["", "1"]'),
        ("[]", "", ""),
    )
    assert trace.inputs[0].types == '["float", "Scalar"]'
    assert trace.events.bytes.tolist() == [-1, -1, -1, -1, -1, 2**40]


@pytest.mark.parametrize(
    ("operator", "kept"),
    [
        ("aten::_scaled_dot_product_attention_math", True),
        ("flash_attn::_flash_attn_forward", True),
        ("aten::convolution_backward", True),
        ("aten::scatter", False),
    ],
)
def test_values_are_kept_of_operators_whose_work_they_tell(tmp_path, operator, kept):
    shapes = {"Input Dims": [[2]], "Input type": ["float"], "Concrete Inputs": ["1"]}
    (inputs,) = TraceBuilder().op(operator, 1, 1, **shapes).read(tmp_path).inputs
    assert inputs.concrete == ('["1"]' if kept else "")


def test_a_trace_without_events_is_a_trace(tmp_path):
    trace = TraceBuilder().read(tmp_path)
    assert len(trace.events) == 0
    assert (trace.account.truncated, trace.account.lost, trace.metadata["schemaVersion"]) == (False, 0, 1)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MICROSECONDS = st.one_of(
    st.integers(0, 2**50),
    st.integers(0, 2_000_000_000_000_000_000).map(lambda ns: Decimal(ns).scaleb(-3)),
)
TEXT_IDS = NAMES.filter(lambda name: not name.removeprefix("-").isdecimal())
EVENTS = st.tuples(
    NAMES, MICROSECONDS, MICROSECONDS, st.integers(0, 2**40) | TEXT_IDS, st.integers(-1, 2**62)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(events=st.lists(EVENTS, max_size=12), bare=st.booleans(), indent=st.sampled_from([None, 2]))
def test_generated_traces_come_back_exactly(tmp_path, events, bare, indent):
    builder = TraceBuilder()
    for name, ts, dur, pid, correlation in events:
        builder.event("cpu_op", name, ts, dur, pid=pid, correlation=correlation)
    builder.event("", "mark", 0, 0, ph="i")
    trace = builder.read(tmp_path, bare=bare, indent=indent, ensure_ascii=False)
    assert event_rows(trace) == [
        ("cpu_op", name, pid, 100, int(Decimal(ts) * 1000), int(Decimal(dur) * 1000))
        for name, ts, dur, pid, _ in events
    ]
    assert trace.events.correlation.tolist() == [e[4] for e in events]
    assert trace.account.lost == 0
    assert not trace.account.truncated


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b"hello", "does not begin like JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8 text"),
        ('{"traceEvents": []}'.encode("utf-16-le"), "not UTF-8 text"),
        (b'{"weights": [1, 2]}', "without a traceEvents list"),
        (b'{"schemaVersion": 1, "device', "cut off before its first event"),
        (b"[]", "empty list"),
        (b"[1, 2, 3]", "no trace events"),
        (b'[{"a": 1}, {"b": 2}]', "no trace events"),
        (b'{"traceEvents": ["a"]}', "no trace events"),
        (gzip.compress(b"")[:12], "corrupt or cut off"),
        (gzip.compress(b"hello"), "does not begin like JSON"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=sentence) as caught:
        read_trace(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_columns_are_as_narrow_as_their_values(tmp_path):
    builder = _three_events().op("long", 30, 2**40).kernel("other", 40, 1, 2**40, stream=300)
    events = builder.read(tmp_path).events
    assert {events.category.dtype, events.pid.dtype, events.tid.dtype} == {np.dtype(np.int8)}
    assert {events.stream.dtype, events.name.dtype} == {np.dtype(np.int16)}
    assert {events.ts_ns.dtype, events.dur_ns.dtype, events.correlation.dtype} == {np.dtype(np.int64)}
    assert events.external_id.dtype == np.dtype(np.int32)
    assert events.dur_ns.tolist()[3] == 2**40 * 1000
    assert events.end_ns.dtype == np.dtype(np.int64)


def test_columns_cannot_be_written(tmp_path):
    events = _three_events().read(tmp_path).events
    for column in (events.ts_ns, events.dur_ns, events.inputs):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


def test_python_frames_are_counted_and_kept_only_when_asked_for(tmp_path):
    builder = TraceBuilder().op("aten::mm", 1, 1)
    builder.event("python_function", "model.py(7): forward", 2, 1)
    builder.event("python_function", "nn.Module: Linear_3", 3, 1)
    builder.event("python_function", "threading.py(1): run", 4, 1)
    path = builder.write(tmp_path / "t.json")
    trace = read_trace(path)
    assert [row[1] for row in event_rows(trace)] == ["aten::mm", "nn.Module: Linear_3"]
    assert (trace.account.events, trace.account.frames, trace.account.with_duration) == (2, 2, 4)
    everything = read_trace(path, python=True)
    assert len(everything.events) == everything.account.events == 4
    assert everything.account.frames == 0


def test_python_frames_among_begin_and_end_events_do_not_disturb_the_pairs(tmp_path):
    builder = TraceBuilder().event("cpu_op", "outer", 1, 0, ph="B")
    builder.event("python_function", "frame", 2, 0, ph="B").event("", "", 3, 0, ph="E")
    builder.event("python_function", "whole frame", 2, 1).event("", "", 9, 0, ph="E")
    trace = builder.read(tmp_path)
    assert [(row[1], row[5]) for row in event_rows(trace)] == [("outer", 8_000), ("frame", 1_000)]
    assert (trace.account.frames, trace.account.unpaired) == (1, 0)
