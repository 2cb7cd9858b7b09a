"""Where the command writes: through devices, pipes and links; over nothing that it reads; onto disks that are full."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import RESULT, Finished, environment, finished, maskprof
from tests.support.devices import FULL, device
from tests.support.results import make_result
from tests.support.traces import TraceBuilder

pytestmark = pytest.mark.e2e

NO_SPACE = "maskprof: standard output cannot be written to: No space left on device\n"


@pytest.fixture
def here(tmp_path):
    """A folder with one trace, and a job of four ranks of which two are damaged."""
    trace(0).write(tmp_path / "good.json")
    (tmp_path / "job").mkdir()
    for rank in (0, 2):
        trace(rank, world_size=4).write(tmp_path / "job" / f"rank{rank}.json")
    (tmp_path / "job" / "rank1.json").write_bytes(b"")
    (tmp_path / "job" / "rank3.json.gz").write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00")
    (tmp_path / "job" / "config.json").write_text('{"world_size": 4}')
    return tmp_path


def trace(rank, world_size=1):
    builder = TraceBuilder(distributedInfo={"rank": rank, "world_size": world_size})
    return builder.op("aten::mm", 0, 10).launch(1, 1).kernel("volta_sgemm", 20, 100, 1)


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def shell(script, cwd, **changes):
    command = f'maskprof() {{ {sys.executable} -m maskprof "$@"; }}; {script}'
    return finished(["bash", "-c", command], cwd=cwd, **changes)


def full_device(folder):
    """A device that is always full."""
    return device(folder / "full", FULL)


def onto(device, *words, cwd, **changes):
    with device.open("wb") as full:
        said = subprocess.run(
            [sys.executable, "-m", "maskprof", *map(str, words)],
            cwd=cwd,
            env=environment(**changes),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=240,
        )
    return Finished(said.returncode, "", said.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words", [("analyze", "good.json"), ("analyze", "good.json", "--json"), ("--help",), ("--version",)]
)
def test_a_full_stdout_is_one_sentence(here, words, unbuffered):
    said = onto(full_device(here), *words, cwd=here, PYTHONUNBUFFERED=unbuffered)
    assert (said.code, said.err) == (2, NO_SPACE)


def test_a_full_device_that_is_named(here):
    full_device(here)
    said = maskprof("analyze", "good.json", "--json", "full", cwd=here)
    assert said == (
        2,
        "",
        "maskprof: full cannot be written to: No space left on device; name another file\n",
    )
    assert stat.S_ISCHR((here / "full").stat().st_mode)


def test_pipes_of_the_shell_both_ways(here):
    said = shell("maskprof analyze <(cat good.json) --json >(cat > out.json) --markdown; wait $!", here)
    assert said.code == 0, said.err
    assert said.out.startswith("# /dev/fd/")
    assert json.loads((here / "out.json").read_text())["gpu"]["kernel_count"] == 1
    said = shell("mkfifo a b; cat good.json > a & cat good.json > b & maskprof diff a b --json", here)
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)


def test_a_pipe_is_viewed(here):
    pytest.importorskip("torch_tb_profiler", reason="needs the plugin: pip install torch-tb-profiler")
    said = shell("maskprof view <(cat good.json) --html page.html --speedscope scope.json", here)
    assert said == (0, "page.html: open it in a browser\nscope.json: open it in speedscope\n", "")
    assert json.loads((here / "scope.json").read_text())["profiles"]


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("target", ["| cat", "> kept.txt; cat kept.txt"])
def test_stdout_by_its_other_names(here, place, target):
    if not Path(place).exists():
        pytest.skip(f"there is no {place} on this system")
    said = shell(f"maskprof analyze good.json --json {place} {target}", here)
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["gpu"]["kernel_count"] == 1


def test_a_link_is_followed(here):
    (here / "link.json").symlink_to("real.json")
    assert maskprof("analyze", "good.json", "--json", "link.json", cwd=here).code == 0
    assert (here / "link.json").is_symlink()
    assert json.loads((here / "real.json").read_text())["gpu"]["kernel_count"] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("view good.json --html good.json", "--html: good.json is the trace and would be overwritten"),
        ("view good.json --speedscope hard.json", "--speedscope: hard.json is the trace and would be overwritten"),
        ("view good.json --html a --speedscope a", "--html and --speedscope would be written to one file, a"),
        ("analyze job --json job/rank0.json", "--json: job/rank0.json is one of the traces and would be overwritten"),
        ("analyze job --markdown job/rank1.json", "--markdown: job/rank1.json is one of the traces"),
        ("analyze good.json --json soft.json", "--json: soft.json is one of the traces and would be overwritten"),
        ("analyze good.json --json a --markdown ./a", "--json and --markdown would be written to one file, a"),
        ("analyze good.json --json t/traces.csv --csv t", "--json and --csv would be written to one file"),
        ("diff one good.json --json one/a.json", "--json: one/a.json is one of the traces and would be overwritten"),
        ("compare one good.json --json one/a.json", "--json: one/a.json is one of the traces"),
        (f"report out --html out/{RESULT}", f"--html: out/{RESULT} is the result of a run and would be overwritten"),
        ("report out --json out/journal.jsonl", "--json: out/journal.jsonl is a file of a run"),
        ("report out --svg . --html latency-prefill.svg", "--html and --svg would be written to one file"),
        (f"analyze good.json --json out/{RESULT}", f"--json: out/{RESULT} holds what a run measured"),
        ("analyze --json good.json one/a.json", "--json: good.json is a trace and would be overwritten; name another"),
        ("analyze --markdown good.json one/a.json job", "--markdown: good.json is a trace and would be overwritten"),
        ("analyze --markdown soft.json one/a.json", "--markdown: soft.json is a trace and would be overwritten"),
        ("diff good.json one/a.json --json job/rank0.json", "--json: job/rank0.json is a trace"),
        ("doctor --json good.json", "--json: good.json is a trace and would be overwritten"),
        ("report out --html good.json", "--html: good.json is a trace and would be overwritten; name another file"),
        ("report out --html - --json -", "--html - and another output would mix on stdout"),
        ("view good.json --html - --speedscope -", "--html - and --speedscope - would mix on stdout"),
        ("doctor --json out/journal.jsonl", "--json: out/journal.jsonl holds what a run measured"),
    ],
)  # fmt: skip
def test_nothing_that_is_read_is_overwritten(here, call, words, sentence):
    from maskprof.results.store import ResultStore

    store = ResultStore(here / "out")
    store.prepare()
    store.save(make_result())
    store.journal_path.write_text("{}\n")
    (here / "t").mkdir()
    (here / "one").mkdir()
    trace(0).write(here / "one" / "a.json")
    (here / "soft.json").symlink_to("good.json")
    os.link(here / "good.json", here / "hard.json")
    before = everything(here)
    said = call(*words.split())
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"maskprof: {sentence}"), said.err
    assert said.err.count("\n") == 1
    assert everything(here) == before


def test_an_earlier_output_is_written_anew(here):
    (here / "all.json").write_bytes(b"")
    for _ in range(2):
        said = maskprof("analyze", "good.json", "--json", "all.json", cwd=here)
        assert (said.code, said.err) == (0, "")
        assert json.loads((here / "all.json").read_text())["gpu"]["kernel_count"] == 1


@pytest.mark.parametrize("place", ["-", "/dev/stdout"])
def test_a_report_on_stdout_is_the_page_alone(here, place):
    from maskprof.results.store import ResultStore

    (here / "out").mkdir()
    ResultStore(here / "out").save(make_result())
    said = maskprof("report", "out", "--html", place, cwd=here, PYTHONIOENCODING="ascii")
    assert (said.code, said.err) == (0, "")
    assert said.out.lstrip().lower().startswith("<!doctype html>")
    assert said.out.rstrip().endswith("</html>")
    assert not (here / "-").exists()
    assert maskprof("report", "out", "--html", "page.html", cwd=here).code == 0
    assert said.out == (here / "page.html").read_text(encoding="utf-8")


def test_a_page_of_a_trace_on_stdout(here):
    said = maskprof("view", "good.json", "--speedscope", "-", cwd=here)
    assert said.code == 0
    assert json.loads(said.out)["profiles"]
    assert not (here / "-").exists()


def test_damaged_ranks_are_named_and_the_others_shown(here):
    said = maskprof("analyze", "job", cwd=here)
    assert said.code == 2
    assert "Ranks: 2 traces" in said.out
    assert said.err.splitlines() == [
        "maskprof: job/rank1.json is no profiler trace: it is empty",
        "maskprof: job/rank3.json.gz is no profiler trace: its compressed data is corrupt or cut off from the start",
    ]
    for name in ("rank1.json", "rank3.json.gz"):
        (here / "job" / name).unlink()
    said = maskprof("analyze", "job", cwd=here)
    assert (said.code, said.err) == (0, "")


def test_many_traces_are_a_line_each(here):
    (here / "many").mkdir()
    for rank in range(30):
        trace(rank, world_size=30).write(here / "many" / f"rank{rank}.json")
    said = maskprof(
        "analyze", "many", "--json", "all.json", "--markdown", "all.md", "--csv", "tables", cwd=here
    )
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 2 * 30 + 20
    assert "30 traces in many" in lines
    assert [line.split()[:4] for line in lines if line.startswith("rank7.json")] == [
        ["rank7.json", "120.0", "100.0", "1"]
    ]
    assert lines[-1] == "One in full: maskprof analyze many/rank0.json"
    assert len(json.loads((here / "all.json").read_text())) == 30
    assert (here / "all.md").read_text().count("\n# many/rank") == 30
    assert len((here / "tables" / "kernels.csv").read_text().splitlines()) == 31
