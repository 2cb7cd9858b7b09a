"""Readers of stdout and stderr that go away, as `head` does: a quiet end, and nothing that was measured is lost."""

import os
import subprocess
import sys

import pytest

from tests.e2e.command import RESULT, environment, maskprof, read_journal, read_result

pytestmark = pytest.mark.e2e

BRIEF = ("--num_samples", "3", "--closure_samples", "1", "--num_warmup", "1", "--max_new_tokens", "3")


def unread(*words, cwd, both=False, **changes):
    """The command with its stdout, or both outputs, into a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, "-m", "maskprof", *map(str, words)],
            cwd=cwd,
            env=environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing if both else subprocess.PIPE,
            text=True,
            check=False,
            timeout=240,
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stdout and stderr"])
def test_a_run_that_nobody_reads_is_whole(tmp_path, llama, both):
    words = ("run", "--model_path", llama, "--output_dir", "out", *BRIEF)
    said = unread(*words, cwd=tmp_path, both=both)
    assert said.returncode == 141, said.stderr
    assert both or "Traceback" not in said.stderr
    assert len(read_result(tmp_path / "out")["all_samples"]) == 3 * 4
    assert (tmp_path / "out" / "attribution.json").is_file()
    assert list((tmp_path / "traces" / "out").rglob("events.out.tfevents.*"))
    for command in (("report", "out"), ("report", "out", "--svg", "plots")):
        said = unread(*command, cwd=tmp_path, both=both, PYTHONUNBUFFERED="1")
        assert (said.returncode, said.stderr or "") == (141, "")
    assert (tmp_path / "out" / "report.html").is_file()
    assert list((tmp_path / "plots").glob("*.svg"))


def test_a_run_into_head(tmp_path, llama):
    words = ["run", "--model_path", str(llama), "--output_dir", "out", *BRIEF, "--no_trace"]
    script = f"set -o pipefail; {sys.executable} -m maskprof {' '.join(words)} 2>&1 | head -n 1"
    said = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert (said.returncode, said.stderr) == (141, "")
    assert len(said.stdout.splitlines()) == 1
    assert len(read_result(tmp_path / "out")["all_samples"]) == 3 * 4


def test_what_failed_is_of_more_use_than_that_nobody_read_it(tmp_path, llama):
    words = ("run", "--model_path", llama, "--output_dir", "out", *BRIEF, "--no_trace")
    said = unread(*words, "--timeout_per_config", "0.000001", cwd=tmp_path)
    assert said.returncode == 1, said.stderr
    said = unread("run", "--num_samples", "none", cwd=tmp_path, both=True)
    assert said.returncode == 2


@pytest.mark.parametrize(
    "words",
    [("models",), ("models", "--json"), ("doctor",), ("doctor", "--json", "-"), ("--version",)],
)
def test_other_commands(tmp_path, words):
    said = unread(*words, cwd=tmp_path)
    assert (said.returncode, said.stderr) == (141, "")


def test_a_run_that_was_killed_before_its_result_says_what_to_do(tmp_path, llama):
    words = ("run", "--model_path", llama, "--output_dir", "out", *BRIEF, "--no_trace")
    assert maskprof(*words, cwd=tmp_path).code == 0
    (tmp_path / "out" / RESULT).unlink()
    before = read_journal(tmp_path / "out")
    hint = "the same command with --resume saves it and goes on (maskprof run --resume --output_dir out, "
    for command in (("report", "out"), ("compare", "out", "out"), ("analyze", "out"), ("view", "out")):
        said = maskprof(*command, cwd=tmp_path)
        assert (said.code, said.out) == (2, "")
        assert "holds no result" in said.err
        assert hint in said.err
        assert len(said.err.splitlines()) == 1
    said = maskprof(*words, "--resume", cwd=tmp_path)
    assert said.code == 0, said.err
    assert read_journal(tmp_path / "out") == before
    assert maskprof("report", "out", cwd=tmp_path).code == 0
