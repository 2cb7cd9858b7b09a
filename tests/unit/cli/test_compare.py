import json

import pytest

from maskprof.cli import main
from tests.support.traces import TraceBuilder

BLOCKS = 6


def write(path, slower=None, steps=120):
    """Steps of blocks of 1000 us, one of them perhaps 10 % longer."""
    builder, now = TraceBuilder(), 0
    for step in range(steps):
        began = now
        for block in range(BLOCKS):
            took = 1000 + (3 * step + 5 * block + 7 * step * block) % 11 + (100 if block == slower else 0)
            builder.annotation(f"block.{block:02d}.active", now, took)
            now += took
        builder.annotation("phase.decode", began, now - began)
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.write(path)
    return path


def test_folders_of_traces(tmp_path, capsys):
    for number in range(2):
        write(tmp_path / "a" / str(number) / "one.pt.trace.json.gz")
        write(tmp_path / "b" / str(number) / "one.pt.trace.json.gz", slower=4)
    assert main.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Block 4 is ")
    assert "slower in decode (" in out.splitlines()[0]
    assert len([line for line in out.splitlines() if line.startswith("decode")]) == BLOCKS
    assert sum("slower" in line for line in out.splitlines() if line.startswith("decode")) == 1


def test_as_json(tmp_path, capsys):
    before, after = write(tmp_path / "a.json"), write(tmp_path / "b.json")
    assert main.main(["compare", str(before), str(after), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [change["block"] for change in document["changes"]] == list(range(BLOCKS))
    assert all(change["interval"][0] <= 0 <= change["interval"][1] for change in document["changes"])
    assert not document["device"]
    (found,) = document["resolutions"]
    assert (found["phase"], found["unit"], found["traces"], found["power"]) == ("decode", "pieces", 1, 0.8)
    assert 0 < found["typical"] <= found["smallest"]
    assert (found["asked"], found["traces_needed"], document["alternating"]) == (None, None, None)


def test_how_many_traces_a_resolution_needs(tmp_path, capsys):
    for number in range(3):
        for name in ("a", "b"):
            write(tmp_path / name / f"{number}.pt.trace.json.gz", steps=40 + 7 * number)
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert main.main([*words, "--resolve", "2%", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["resolutions"]
    assert (found["unit"], found["traces"], found["asked"]) == ("traces", 3, 0.02)
    assert main.main([*words, "--resolve", "2 %"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Resolution: a block slower by " in said
    assert "To find 2 % in decode 80 % of the time, these 3 traces of each side are enough." in said


@pytest.mark.parametrize("text", ["2", "0", "-1%", "little", "nan"])
def test_what_is_no_share(tmp_path, capsys, text):
    assert main.main(["compare", "a", "b", f"--resolve={text}"]) == 2
    assert f"needs a share such as 2% or 0.02, got '{text}'" in capsys.readouterr().err


def test_nothing_changed(tmp_path, capsys):
    before, after = write(tmp_path / "a.json"), write(tmp_path / "b.json")
    assert main.main(["compare", str(before), str(after)]) == 0
    assert capsys.readouterr().out.startswith("No block changed by more than chance can explain.")


@pytest.mark.parametrize("side", ["nothing-there.json", "empty"])
def test_what_holds_no_trace(tmp_path, capsys, side):
    (tmp_path / "empty").mkdir()
    there = write(tmp_path / "a.json", steps=2)
    assert main.main(["compare", str(there), str(tmp_path / side)]) == 2
    assert side in capsys.readouterr().err


def test_other_forms(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json")
    write(tmp_path / "b.json", slower=4)
    words = ["compare", "a.json", "b.json", "--csv", "tables", "--markdown", "c.md", "--json", "c.json"]
    assert main.main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Block 4 is ")
    changes = json.loads((tmp_path / "c.json").read_text())["changes"]
    head, *rows = (line.split(",") for line in (tmp_path / "tables" / "blocks.csv").read_text().splitlines())
    assert [dict(zip(head, row, strict=True))["block"] for row in rows] == [str(c["block"]) for c in changes]
    assert [dict(zip(head, row, strict=True))["clear"] for row in rows].count("true") == 1
    page = (tmp_path / "c.md").read_text()
    assert page.startswith("Block 4 is ")
    assert page.count("\n| decode |") == BLOCKS
    assert main.main([*words[:3], "--markdown"]) == 0
    assert capsys.readouterr().out == page
    # As it was when --json took no file.
    assert main.main(["compare", "--json", "a.json", "b.json"]) == 0
    assert json.loads(capsys.readouterr().out)["changes"] == changes


def test_traces_of_others_have_no_blocks_to_compare(tmp_path, capsys):
    path = (
        TraceBuilder().op("aten::mm", 0, 10).launch(1, 1).kernel("gemm", 20, 5, 1).write(tmp_path / "a.json")
    )
    assert main.main(["compare", str(path), str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("maskprof: the traces have no ")
