import json

import pytest

from maskprof.errors import ConfigError, ResultError
from maskprof.viewing.logdir import find_logdir

RESULT = "exp3_transformer_blocks_mask_results.json"
TRACE = "first-04-of-16/maskprof.1.pt.trace.json.gz"


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "file", [TRACE, "w.pt.trace.json", "a/b/c/events.out.tfevents.1.host", "deep/er/w.1.pt.trace.json.gz"]
)
def test_a_folder_with_runs_in_it_is_shown_itself(tmp_path, file):
    touched(tmp_path / file)
    assert find_logdir(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "dirs",
    [
        ("results/mine", None, "traces/mine"),
        ("./results/mine", None, "traces/mine"),
        ("results/mine", "elsewhere/seen", "elsewhere/seen"),
        ("results/mine/", "results/mine-traces", "results/mine-traces"),
    ],
)
@pytest.mark.parametrize("place", ["where it ran", "elsewhere"])
def test_the_traces_of_a_result_are_found(tmp_path, monkeypatch, place, dirs):
    output_dir, trace_dir, traces = dirs
    ran_in, elsewhere = tmp_path / "ran", tmp_path / "else"
    elsewhere.mkdir()
    folder = ran_in / "results" / "mine"
    config = {"output_dir": output_dir, "trace_dir": trace_dir}
    touched(folder / RESULT).write_text(json.dumps({"config": config}))
    touched(ran_in / traces / TRACE)
    monkeypatch.chdir(ran_in if place == "where it ran" else elsewhere)
    given = folder.relative_to(ran_in) if place == "where it ran" else folder
    assert find_logdir(given).resolve() == ran_in / traces


def test_a_result_that_was_moved_still_knows_an_absolute_folder(tmp_path):
    traces = tmp_path / "traces"
    touched(traces / TRACE)
    config = {"output_dir": "results/mine", "trace_dir": str(traces)}
    touched(tmp_path / "moved" / RESULT).write_text(json.dumps({"config": config}))
    assert find_logdir(tmp_path / "moved") == traces


def test_what_cannot_be_shown_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no .*nowhere; give the folder of"):
        find_logdir(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds neither traces nor TensorBoard's event files; give"):
        find_logdir(tmp_path)
    (tmp_path / RESULT).write_text(json.dumps({"config": {"output_dir": "o", "trace_dir": "gone"}}))
    with pytest.raises(ConfigError, match="holds a result, and its traces are not there any more"):
        find_logdir(tmp_path)
    (tmp_path / RESULT).write_text("[]")
    with pytest.raises(ResultError, match="is no result of maskprof run"):
        find_logdir(tmp_path)
