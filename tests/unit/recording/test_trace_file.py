import gzip
import json

import pytest
import torch
from torch.profiler import record_function

from maskprof.recording.session import Details, record
from maskprof.recording.trace_file import finish
from tests.support.trace_checks import check_trace, strict_json


def event(name, ts, dur, cat="user_annotation"):
    """As Kineto writes it, names unescaped."""
    return f"""
  {{
    "ph": "X",
    "cat": "{cat}",
    "name": "{name}",
    "pid": 9,
    "tid": 10,
    "ts": {ts},
    "dur": {dur}
    ,
    "args": {{
      "External id": 1
    }}
  }}"""


def finished(folder, *events):
    exported, final = folder / "in.json", folder / "out.json.gz"
    text = '{\n  "schemaVersion": 1,\n  "traceEvents": [' + ",".join(events) + '\n  ],"traceName": "in" }\n'
    exported.write_text(text, encoding="utf-8")
    finish(exported, final, 4)
    return gzip.decompress(final.read_bytes())


def test_a_counter_rises_and_falls_with_each_forward_of_the_language_model(tmp_path):
    text = finished(
        *(
            tmp_path,
            event("phase.vision", "1000.000", "5.000"),
            event("phase.prefill", "8000000000001.125", "10.750"),
        ),
        *(event("aten::mul", "2.0", "1.0", "cpu_op"), event("phase.decode", "8000000000020.001", "5.000")),
        event("phase.decode", "8000000000021.000", "1.000", "gpu_user_annotation"),
    )
    counters = [e for e in strict_json(text)["traceEvents"] if e["ph"] == "C"]
    assert {(e["name"], e["pid"], e["tid"]) for e in counters} == {("active blocks", 9, 10)}
    assert [e["args"] for e in counters] == [{"blocks": 4}, {"blocks": 0}] * 2
    # Digit by digit: a float would not hold them all.
    written = [line.split('"ts": ')[1].split(",")[0] for line in text.decode().splitlines() if '"C"' in line]
    assert written == ["8000000000001.125", "8000000000011.875", "8000000000020.001", "8000000000025.001"]


def test_everything_else_stays_as_it_was(tmp_path):
    events = [event("aten::mul", "2.0", "1.0", "cpu_op"), event("block.00.active", "1.0", "3.0")]
    text = finished(tmp_path, *events)
    assert json.loads(text)["traceEvents"] == [json.loads(e) for e in events]
    assert text.endswith(b'"traceName": "in" }\n')


@pytest.mark.parametrize(
    ("name", "mended"),
    [
        ('a "quoted" name', "a 'quoted' name"),
        ('"', "'"),
        ('ends with "', "ends with '"),
        ('", "ph": "M', "', 'ph': 'M"),
    ],
)
def test_quotes_in_names_of_others_are_mended(tmp_path, name, mended):
    text = finished(
        tmp_path, event("before", "1.0", "1.0"), event(name, "2.0", "1.0"), event("after", "3.0", "1.0")
    )
    assert [e["name"] for e in strict_json(text)["traceEvents"]] == ["before", mended, "after"]


def test_an_export_of_another_shape_is_kept_as_it_is(tmp_path):
    exported, final = tmp_path / "in.json", tmp_path / "out.json.gz"
    exported.write_text('[{"ph": "X", "name": "bare"}]')
    finish(exported, final, 4)
    assert json.loads(gzip.decompress(final.read_bytes())) == [{"ph": "X", "name": "bare"}]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            '{"traceEvents": [{"ph": "X", "na',
            '{"traceEvents": [{"ph": "X"}',
            '{"traceEvents": [{"Dims": []',
        ),
        *('{"traceEvents": [],"traceName": "in', '[{"ph": "X"}'),
    ],
)
def test_an_export_that_stopped_half_way_is_an_error(tmp_path, text):
    exported, final = tmp_path / "in.json", tmp_path / "out.json.gz"
    exported.write_text(text)
    with pytest.raises(OSError, match="as on a full disk"):
        finish(exported, final, 4)
    assert not final.exists()


METADATA = {"mask": "1010"}


def recorded(folder, **details):
    def run_pass(_watch):
        with record_function("phase.prefill"), record_function('a "quoted" name'):
            torch.nn.Linear(8, 8)(torch.ones(4, 8))

    return record(
        *(run_pass, folder),
        device=torch.device("cpu"),
        num_active_blocks=2,
        metadata=METADATA,
        details=Details(**details),
    )


def test_what_torch_exports_is_understood(tmp_path):
    """Holds the pieces of Kineto's layout that are looked for; a name that it corrupts comes out whole."""
    trace = recorded(tmp_path)
    names = {e["name"] for e in check_trace(trace)}
    assert {"phase.prefill", "a 'quoted' name", "active blocks"} <= names
    assert [path.name for path in tmp_path.iterdir()] == [trace.name]


@pytest.mark.parametrize("detail", ["shapes", "stacks", "memory"])
def test_details_are_recorded_when_asked_for(tmp_path, detail):
    def has(events):
        return {
            "shapes": any("Input Dims" in e.get("args", {}) for e in events),
            "stacks": any(e["name"].startswith("nn.Module: Linear") for e in events),
            "memory": any(e["name"] == "[memory]" for e in events),
        }

    assert not any(has(check_trace(recorded(tmp_path))).values())
    events = check_trace(recorded(tmp_path, **{detail: True}), stacks=detail == "stacks")
    assert has(events) == {name: name == detail for name in ("shapes", "stacks", "memory")}
