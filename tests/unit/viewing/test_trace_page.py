import base64
import gzip
import json
import re

import pytest

from maskprof.errors import ConfigError, TraceError
from maskprof.viewing import trace_page as module
from maskprof.viewing.trace_page import trace_page, waiting_page
from tests.support.traces import TraceBuilder

NAME = "</script><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def small_viewer(monkeypatch):
    monkeypatch.setattr(module, "installed_file", lambda name: f"<p>{name}</p>")


def packed(page):
    return re.search(r"<script type='text/plain' id='packed-trace'>([A-Za-z0-9+/=]*)</script>", page)[1]


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_the_trace_lies_packed_in_the_page(tmp_path, suffix):
    path = TraceBuilder().op(NAME, 1, 1).write(tmp_path / f"<b>{suffix}")
    page = trace_page(path)
    content = path.read_bytes()
    text = gzip.decompress(content) if suffix.endswith(".gz") else content
    assert gzip.decompress(base64.b64decode(packed(page))) == text
    assert json.loads(text)["traceEvents"][0]["name"] == NAME
    assert NAME not in page
    assert f"<title>&lt;b&gt;{suffix}</title>" in page
    assert "<p>trace_viewer_full.html</p>" in page


def test_the_browser_is_told_to_ask_for_nothing(tmp_path):
    page = trace_page(TraceBuilder().op("a", 1, 1).write(tmp_path / "a.json"))
    for text in (page, waiting_page()):
        assert """<meta http-equiv="Content-Security-Policy" content="default-src 'none';""" in text
        assert not re.search(r"https?://|src=|@import|url\(", text)
    assert "packed-trace'>" not in waiting_page()


def test_what_is_no_whole_trace_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("nothing")
    with pytest.raises(TraceError, match=r"a\.json"):
        trace_page(path)
    whole = TraceBuilder().op("aten::mul", 1, 1).op("aten::add", 2, 1).text()
    path.write_text(whole[:-20])
    with pytest.raises(TraceError, match=r"a\.json is cut off"):
        trace_page(path)
    large = TraceBuilder().op("aten::mul", 1, 1).write(tmp_path / "large.json.gz")
    monkeypatch.setattr(module, "_MOST_CHARACTERS", 10)
    with pytest.raises(TraceError, match=r"large\.json\.gz .*unpacks"):
        trace_page(large)


def test_a_folder_stands_for_the_one_trace_in_it(tmp_path):
    path = TraceBuilder().op("aten::mul", 1, 1).write(tmp_path / "a.pt.trace.json.gz")
    page = trace_page(tmp_path)
    assert base64.b64decode(packed(page)) == path.read_bytes()
    assert "<title>a.pt.trace.json.gz</title>" in page


def test_without_the_plugin_there_is_no_viewer(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"is not installed: pip install 'maskprof\[plugin\]'"):
        waiting_page()
