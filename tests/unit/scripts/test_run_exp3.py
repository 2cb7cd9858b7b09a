"""The research script's launcher: which words are the GPU, and which go on to `maskprof run`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "run_exp3_transformer_blocks_mask.sh"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the script is for bash")


@pytest.fixture
def launch(tmp_path):
    """Call the script with a `maskprof` first on PATH that prints the variable and its words."""
    fake = tmp_path / "maskprof"
    fake.write_text('#!/bin/sh\necho "gpus=${CUDA_VISIBLE_DEVICES-unset}"\nprintf "%s\\n" "$@"\nexit 7\n')
    fake.chmod(0o755)

    def call(*words, gpus=None):
        env = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        env["PATH"] = f"{tmp_path}{os.pathsep}{env['PATH']}"
        if gpus is not None:
            env["CUDA_VISIBLE_DEVICES"] = gpus
        return subprocess.run(
            [SCRIPT, *words], env=env, capture_output=True, text=True, check=False, timeout=30
        )

    return call


@pytest.mark.parametrize(
    ("words", "gpus", "lines"),
    [
        ([], None, ["gpus=unset", "run"]),
        (["1"], None, ["gpus=1", "run"]),
        (["1"], "0", ["gpus=1", "run"]),
        (["0,3", "--num_samples", "5"], None, ["gpus=0,3", "run", "--num_samples", "5"]),
        (["--num_samples", "5"], "2", ["gpus=2", "run", "--num_samples", "5"]),
        (["0", "--prompt", "two words"], None, ["gpus=0", "run", "--prompt", "two words"]),
        (["1x"], None, ["gpus=unset", "run", "1x"]),
    ],
)
def test_the_gpu_comes_first_and_the_rest_goes_on(launch, words, gpus, lines):
    result = launch(*words, gpus=gpus)
    assert result.stdout.splitlines() == lines
    assert result.returncode == 7, "the exit code of maskprof is the script's"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(launch, flag):
    result = launch(flag)
    assert result.returncode == 0
    assert result.stdout.startswith(
        "usage: run_exp3_transformer_blocks_mask.sh [GPU_ID] [flags of maskprof run]"
    )
