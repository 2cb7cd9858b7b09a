"""`maskprof analyze` and `maskprof diff` as a user runs them: on our own traces, through pipes, on a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import environment, finished, maskprof, traces_in
from tests.e2e.test_terminal import in_terminal

pytestmark = pytest.mark.e2e

SAMPLE = Path(__file__).parents[2] / "traces" / "sample"
ANALYZE = [sys.executable, "-m", "maskprof", "analyze"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The traces of a full and a masked run of the built-in model, by configuration."""
    folder = tmp_path_factory.mktemp("recorded")
    said = maskprof(
        *(
            "run",
            "--num_active_blocks",
            16,
            10,
            "--num_samples",
            1,
            "--num_warmup",
            1,
            "--closure_samples",
            0,
        ),
        *("--max_new_tokens", 4, "--trace_steps", 2),
        cwd=folder,
    )
    assert said.code == 0, said.err
    return traces_in(folder / "traces" / "transformer_blocks_mask")


def test_the_sample_in_the_repository(tmp_path):
    said = maskprof("analyze", SAMPLE, cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert "\x1b" not in said.out
    assert max(map(len, said.out.splitlines()[1:])) <= 80
    assert "Blocks: 16, 10 active (found by maskprof's ranges)" in said.out
    (found,) = [json.loads(maskprof("analyze", SAMPLE, "--json", "-", cwd=tmp_path).out)]
    blocks = found["blocks"]["phases"]["decode"]["blocks"]
    assert [b["block"] for b in blocks if b["active"]] == [0, 1, 2, 3, 4, 5, 8, 9, 12, 15]
    assert found["gpu"] is None
    assert found["operators"]


def test_a_masked_run_beside_the_full_one(recorded, tmp_path):
    full, masked = recorded["first-16-of-16"], recorded["first-10-of-16"]
    said = maskprof("diff", full.parent, masked, cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    flat = " ".join(said.out.split())
    assert "B skips blocks 10 to 15" in flat
    assert "fewer operator calls than A: exactly those of these blocks, operator by operator." in flat
    found = json.loads(maskprof("diff", full, masked, "--json", "-", cwd=tmp_path).out)
    assert found["skipped_only_in_b"] == [10, 11, 12, 13, 14, 15]
    assert {phase: len(rows) for phase, rows in found["blocks"].items()} == {"prefill": 16, "decode": 16}
    for rows in found["blocks"].values():
        assert [row["status"] == "removed" for row in rows] == [False] * 10 + [True] * 6
        assert all(row["count_b"] == 0 for row in rows[10:])
        assert all(row["count_a"] == row["count_b"] for row in rows[:10])
    assert not [row for row in found["operators"] if row["status"] in ("added", "more")]


def test_a_trace_through_a_pipe(tmp_path):
    (trace,) = traces_in(SAMPLE).values()
    with trace.open("rb") as file:
        said = subprocess.run(
            [*ANALYZE, "-", "--json", "-"],
            cwd=tmp_path, env=environment(), stdin=file, capture_output=True, check=False, timeout=120,
        )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, b"")
    assert json.loads(said.stdout)["account"]["events_kept"] > 10_000


@pytest.mark.parametrize("words", [[], ["--json", "-"], ["--markdown", "-"]])
def test_a_reader_that_went_away_ends_it_quietly(tmp_path, words):
    reading, writing = os.pipe()
    os.close(reading)
    said = subprocess.run(
        [*ANALYZE, str(SAMPLE), *words],
        cwd=tmp_path, env=environment(), stdout=writing, stderr=subprocess.PIPE, check=False, timeout=120,
    )  # fmt: skip
    os.close(writing)
    assert (said.returncode, said.stderr) == (141, b"")


def test_colours_on_a_terminal_only_where_they_are_wanted(tmp_path):
    code, text = in_terminal([*ANALYZE, str(SAMPLE)], cwd=tmp_path)
    assert code == 0
    assert "\x1b[36m" in text
    code, text = in_terminal([*ANALYZE, str(SAMPLE)], cwd=tmp_path, NO_COLOR="1")
    assert code == 0
    assert "\x1b[36m" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_without_box_characters(tmp_path, encoding):
    said = finished([*ANALYZE, str(SAMPLE)], cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert (said.code, said.err) == (0, "")
    assert said.out.isascii()


def test_markdown_for_an_output_without_box_characters(tmp_path):
    said = finished([*ANALYZE, str(SAMPLE), "--markdown", "-"], cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (said.code, said.err) == (0, "")
    assert said.out.isascii()


@pytest.mark.parametrize("command", ["analyze", "diff"])
def test_what_is_no_trace_is_one_sentence(tmp_path, command):
    (tmp_path / "notes.txt").write_text("no trace")
    said = maskprof(command, *["notes.txt"] * (1 if command == "analyze" else 2), cwd=tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("maskprof: notes.txt ")
    assert said.err.count("\n") == 1
