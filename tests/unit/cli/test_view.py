import json

import pytest

from maskprof.cli.main import main
from tests.support.traces import TraceBuilder


@pytest.fixture
def complaint(capsys):
    def complained(*words):
        assert main(["view", *map(str, words)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1, "one sentence"
        return err

    return complained


def test_bad_input_gets_a_sentence(tmp_path, complaint):
    trace = TraceBuilder().op("a", 1, 1).write(tmp_path / "a.json")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert complaint(empty).startswith(f"maskprof: {empty} holds neither traces nor")
    assert complaint(tmp_path / "gone").startswith(
        f"maskprof: there is no {tmp_path / 'gone'}; give the folder"
    )
    assert "--port: a port is a number from 0 to 65535, got 70000" in complaint(trace, "--port", 70000)
    assert "holds no traces" in complaint(empty, "--html", tmp_path / "page.html")
    assert "standard input is neither" in complaint("-", "--html", tmp_path / "page.html")
    assert "there is no trace file" in complaint(tmp_path / "gone", "--speedscope", tmp_path / "x.json")


def test_files_instead_of_a_browser(tmp_path, capsys):
    pytest.importorskip("torch_tb_profiler", reason="needs the plugin: pip install torch-tb-profiler")
    trace = TraceBuilder().op("a", 1, 1).write(tmp_path / "a.json")
    page, scope = tmp_path / "page.html", tmp_path / "a.speedscope.json"
    assert main(["view", str(trace), "--html", str(page), "--speedscope", str(scope)]) == 0
    assert capsys.readouterr().out == f"{page}: open it in a browser\n{scope}: open it in speedscope\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(scope.read_text())["profiles"][0]["type"] == "evented"
