"""The other ways in: the research script's launcher, the list of presets, the version."""

import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from maskprof.version import __version__
from tests.e2e.command import finished, maskprof, read_result, traces_in

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_exp3_transformer_blocks_mask.sh"


@pytest.mark.skipif(shutil.which("bash") is None, reason="the script is for bash")
def test_the_research_script_runs_as_before(tmp_path, llama):
    beside = Path(sys.executable).parent
    if not (beside / "maskprof").is_file():
        pytest.skip("needs an environment with the maskprof command")
    # The script's own default: a directory `checkpoints` where it is called.
    shutil.copytree(llama, tmp_path / "checkpoints")
    said = finished(
        [str(SCRIPT), "0", "--num_samples", "2", "--num_active_blocks", "2", "4"],
        cwd=tmp_path,
        PATH=f"{beside}{os.pathsep}{os.environ['PATH']}",
    )
    assert said.code == 0, said.err
    result = read_result(tmp_path / "results" / "transformer_blocks_mask")
    assert (result["model"]["name"], result["model"]["architecture"]) == ("checkpoints", "LlamaForCausalLM")
    assert [entry["num_active_blocks"] for entry in result["summary"]] == [2, 4]
    assert len(result["all_samples"]) == 4
    traces = traces_in(tmp_path / "traces" / "transformer_blocks_mask")
    assert list(traces) == ["first-02-of-04", "first-04-of-04"]


def test_the_version_names_what_it_runs_on(tmp_path):
    said = maskprof("--version", cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == f"maskprof {__version__}"
    assert f"torch {version('torch')}" in lines
    assert f"transformers {version('transformers')}" in lines


def test_the_presets_are_listed(tmp_path):
    said = maskprof("models", cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert "\x1b" not in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    listed = json.loads(maskprof("models", "--json", cwd=tmp_path).out)
    names = [preset["name"] for preset in listed]
    assert {"molmoe-tiny", "llama-3.2-1b", "qwen3-0.6b", "olmoe-1b-7b", "molmoe-1b"} <= set(names)
    for preset in listed:
        assert any(line.startswith(f"{preset['name']} ") for line in said.out.splitlines())
