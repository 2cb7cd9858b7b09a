"""The benchmarks run and say what they are to say; their figures are no matter of a test."""

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.command import finished

pytestmark = pytest.mark.e2e

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def tables(page):
    """Rows of cells by the heading above them; the titles are the first row."""
    found, heading = {}, ""
    for line in page.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and "---" not in line:
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return found


@pytest.mark.parametrize("model", ["bare", "llama"])
def test_mask_overhead(tmp_path, model):
    words = [sys.executable, str(_BENCHMARKS / "mask_overhead.py"), "--quick", "--model", model]
    done = finished([*words, "--output", "page.md"], cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == done.out.rstrip("\n") + "\n"
    assert "- threads: 1" in done.out
    found = tables(done.out)
    assert [len(rows) - 1 for rows in found.values()] == [10, 8, 8, 2]
    (decode,) = (rows for heading, rows in found.items() if "decode step" in heading)
    verdicts = {row[0]: row[4] for row in decode[1:]}
    with_target = [what for what, verdict in verdicts.items() if verdict]
    assert with_target == [
        "an active block, mask",
        "a skipped block, mask, virtual cache",
        "a block left, splice",
        "a block left, remove",
        "a block left, early_exit",
    ]
    assert set(verdicts.values()) <= {"", "reached", "missed", "undecided"}
    assert all(re.fullmatch(r"-?\d+\.\d{3}", row[1]) for row in decode[1:])
    (_, short, long) = found["The dummy cache of a skipped block, by length of the prompt"]
    assert short[1] == long[1], "virtual: whatever the length"
    assert [int(row[2]) for row in (short, long)] == [16 * 1024, 64 * 1024]


def test_trace_engine(tmp_path):
    words = [sys.executable, str(_BENCHMARKS / "trace_engine.py"), "--quick", "--peers_up_to_mb", "0"]
    done = finished([*words, "--output", "page.md"], cwd=tmp_path, MASKPROF_TRACES="")
    assert done.code == 0, done.err
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == done.out.rstrip("\n") + "\n"
    found = tables(done.out)
    inside, whole = found["In a running process, ms"], found["As a whole process, seconds and peak MB"]
    traces = ["generated-0.5MB.json", "generated-1MB.json"]
    assert [row[0] for row in inside[1:]] == [row[0] for row in whole[1:]] == traces
    measured = r"\d+\.\d+ \(\d+\.\d+ to \d+\.\d+\)"
    for row in inside[1:]:
        assert all(re.fullmatch(measured, row[at]) for at in (2, 3, 4, 7)), row
        assert (row[5], row[6], row[8]) == ("-", "-", "-")
    for row in whole[1:]:
        assert re.fullmatch(measured + r"<br>\d+ \(\d+ to \d+\)", row[2])
        assert (row[3], row[5]) == ("not run", "not run")
    assert "peak memory of the command, of 0 MB of text and more" in done.out
