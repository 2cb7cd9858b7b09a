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


def page_of(tmp_path, name, *words):
    command = [sys.executable, str(_BENCHMARKS / name), "--quick", *words, "--output", "page.md"]
    done = finished(command, cwd=tmp_path)
    assert done.code == 0, done.err
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == done.out.rstrip("\n") + "\n"
    assert f"python benchmarks/{name} --quick" in done.out
    assert "- torch: " in done.out
    return done.out


def test_interval_coverage(tmp_path):
    found = tables(page_of(tmp_path, "interval_coverage.py"))
    rows = found["50 samples of each configuration"]
    assert rows[0] == ["machine", "median", "median, bootstrap", "difference", "slope", "slope, by distances"]
    assert [row[0] for row in rows[1:6]] == ["quiet", "shared", "loaded", "independent", "slow"]


def test_block_power(tmp_path):
    found = tables(page_of(tmp_path, "block_power.py"))
    alarms, slower = found["Nothing changed"], found["One block slower"]
    ways = ["ours", "medians", "not in pairs", "own variance", "one variance", "alone", "turns"]
    assert alarms[0] == ["machine", "pairs", *ways]
    assert slower[0] == ["machine", "pairs", "slower by", *ways]
    assert [row[0] for row in alarms[1:]] == [row[0] for row in slower[1:]] == ["quiet", "shared", "loaded"]


def test_known_answers(tmp_path):
    (rows,) = tables(page_of(tmp_path, "known_answers.py")).values()
    figures = [row[0] for row in rows[1:]]
    assert len(figures) == 16
    assert figures[0] == "prefill, 5 of 8 blocks"
    assert figures[-1] == "cache of skipped blocks, decode, worst of 3"
    assert {row[-1] for row in rows[1:]} <= {"right", "wrong"}
    # What was planted does not depend on how busy the machine is.
    assert [row[1] for row in rows[1:3]] == ["65.000", "45.000"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("closure.py", 1), ("planted.py", 2), ("perturbation.py", 3), ("reference.py", 1)],
)
def test_pages_with_tables(tmp_path, name, count):
    assert len(tables(page_of(tmp_path, name))) == count


@pytest.mark.slow
def test_research_semantics(tmp_path):
    page = page_of(tmp_path, "research_semantics.py")
    assert re.findall(r"^## (\d+)\. ", page, flags=re.MULTILINE) == [str(number) for number in range(1, 20)]
    assert page.count("*Instead*: ") == page.count("*Size*: ") == 19


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
    (claim,) = found["What was to be reached"][1:]
    assert (claim[0], claim[3]) == ("peak memory of the command", "at most 150 MB")
    assert claim[4] in ("reached", "missed")


def test_the_page_of_all_benchmarks(tmp_path):
    words = [
        sys.executable,
        str(_BENCHMARKS / "run_all.py"),
        "--only_page",
        "--output",
        str(tmp_path / "all.md"),
    ]
    done = finished(words, cwd=tmp_path)
    assert done.code == 0, done.err
    found = tables((tmp_path / "all.md").read_text(encoding="utf-8"))
    listed = [row[0] for row in found["All benchmarks"][1:]]
    assert "[mask_overhead](mask-overhead.md)" in listed
    assert [row[0] for row in found["What does a mask itself cost?"]][1] == "an active block, mask"
    refused = finished([*words[:2], "nonsense"], cwd=tmp_path)
    assert (refused.code, "there is no benchmark 'nonsense'" in refused.err) == (2, True)
