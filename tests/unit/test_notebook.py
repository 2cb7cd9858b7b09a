import sys

import pytest

import maskprof
from maskprof.errors import ConfigError, ResultError
from maskprof.notebook import AnalyzedTrace, ComparedTraces, LoadedResult
from maskprof.results.schema import RunResult
from maskprof.results.store import ResultStore
from maskprof.results.trace_comparison import TraceDiff
from maskprof.results.trace_summary import TraceSummary
from tests.support.html import ReadPage
from tests.support.results import make_result
from tests.support.traces import TraceBuilder


@pytest.fixture
def result(tmp_path):
    ResultStore(tmp_path).save(make_result())
    return maskprof.load_result(tmp_path)


@pytest.fixture
def trace(tmp_path):
    builder = TraceBuilder()
    builder.op("aten::mm", 10, 20)
    builder.op("aten::add", 40, 5)
    return builder.write(tmp_path / "a.pt.trace.json")


def shown_by_ipython(value):
    """What IPython would send to a notebook for this value."""
    from IPython.core.formatters import DisplayFormatter

    return DisplayFormatter().format(value)[0]


def test_a_loaded_result_is_the_result_that_was_saved(result):
    assert isinstance(result, LoadedResult)
    assert isinstance(result, RunResult)
    plain = make_result()
    assert (result.samples, result.summary, result.model) == (plain.samples, plain.summary, plain.model)


def test_a_folder_without_a_result_is_refused(tmp_path):
    with pytest.raises(ResultError, match="holds no result"):
        maskprof.load_result(tmp_path)


def test_a_notebook_shows_a_result(result):
    page = ReadPage(shown_by_ipython(result)["text/html"])
    assert page.lines[0].startswith("demo · 16 blocks")
    assert page.lines[1].startswith("Each active block costs 1.20 ms of prefill")
    assert len(page.of("svg")) == 2
    assert any(line.startswith("first-08-of-16 | 8 |") for line in page.lines)


def test_a_result_becomes_data_frames(result):
    pd = pytest.importorskip("pandas", reason="needs pandas: pip install 'maskprof[frames]'")
    frame = result.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame.set_index("configuration").loc["first-08-of-16", "prefill_p50_ms"] == pytest.approx(11.616)
    assert len(result.to_pandas("samples")) == 35
    with pytest.raises(ConfigError, match="there is no table 'sample'; there are summary, samples, blocks"):
        result.to_pandas("sample")


def test_without_pandas_the_way_to_it_is_told(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ResultError, match=r"needs pandas, which is not installed: pip install 'maskprof\[frames\]'"
    ):
        result.to_pandas()


def test_a_result_plots(result, tmp_path):
    assert "<svg" in shown_by_ipython(result.plot())["text/html"]
    assert result.plot().plot.name == "latency-prefill"
    result.plot("skip-decode").save(tmp_path / "a.svg")
    result.plot().save(str(tmp_path / "a.PNG"))
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<svg")
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"ends in neither .svg nor .png"):
        result.plot().save(tmp_path / "a.pdf")
    with pytest.raises(
        ConfigError, match="there is no plot 'latency'; there are latency-prefill, latency-decode"
    ):
        result.plot("latency")


def test_nothing_measured_is_nothing_to_plot(tmp_path):
    from dataclasses import replace

    empty = replace(make_result(), summary=(), samples=(), fits=(), attribution=())
    ResultStore(tmp_path).save(empty)
    with pytest.raises(ConfigError, match="nothing to plot"):
        maskprof.load_result(tmp_path).plot()
    assert "No configuration could be measured." in maskprof.load_result(tmp_path)._repr_html_()


@pytest.mark.parametrize("given", [str, lambda path: path, maskprof.read_trace], ids=["text", "path", "read"])
def test_a_trace_by_path_or_read_before(trace, given):
    found = maskprof.analyze(given(trace))
    assert isinstance(found, AnalyzedTrace)
    assert isinstance(found, TraceSummary)
    page = ReadPage(shown_by_ipython(found)["text/html"])
    assert any(line.startswith("aten::mm |") for line in page.lines)
    assert found.plot().plot.name == "operators"
    pytest.importorskip("pandas", reason="needs pandas: pip install 'maskprof[frames]'")
    assert found.to_pandas()["name"].tolist() == ["aten::mm", "aten::add"]


def test_two_traces(trace, tmp_path):
    builder = TraceBuilder()
    builder.op("aten::mm", 10, 50)
    other = builder.write(tmp_path / "b.pt.trace.json")
    found = maskprof.diff(trace, maskprof.analyze(other))
    assert isinstance(found, ComparedTraces)
    assert isinstance(found, TraceDiff)
    assert any(line.startswith("aten::mm |") for line in ReadPage(shown_by_ipython(found)["text/html"]).lines)
    assert found.plot("operators").plot.drawing.targets[0].text == "aten::mm\nA: 20.0 us\nslower"
    pytest.importorskip("pandas", reason="needs pandas: pip install 'maskprof[frames]'")
    assert found.to_pandas().set_index("key").loc["aten::mm", "delta_us"] == 30.0
