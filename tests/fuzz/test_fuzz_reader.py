"""The fuzzer starts, takes its own inputs, and finds nothing in a moment; longer runs are by hand."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed (dependency group fuzz)")
def test_a_short_run_finds_nothing(tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.fuzz_reader",
        "-runs=1500",
        "-seed=1",
        f"-artifact_prefix={tmp_path}/",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done 1500 runs" in done.stderr
    assert list(tmp_path.iterdir()) == []
