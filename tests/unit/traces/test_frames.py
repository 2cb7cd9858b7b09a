"""Traces as tables of other tools, every value of them."""

import subprocess
import sys

import pytest

from maskprof.errors import TraceError
from maskprof.traces import frames
from tests.support.traces import TraceBuilder

COLUMNS = {
    "name": ["aten::mm", "cudaLaunchKernel", "gemm", "aten::mm", "Memcpy HtoD"],
    "category": ["cpu_op", "cuda_runtime", "kernel", "cpu_op", "gpu_memcpy"],
    "pid": ["100", "100", "0", "100", "Spans"],
    "tid": ["100", "100", "7", "5", ""],
    "ts_ns": [10_125, 11_000, 20_001, 30_000, 40_000],
    "dur_ns": [2_500, 1_000, 999, 1_000, 2_000],
    "correlation": [None, 42, 42, None, None],
    "external_id": [3, None, None, None, None],
    "stream": [None, None, 7, None, None],
    "device": [None, None, 0, None, None],
    "bytes": [None, None, None, None, 2**40],
    "input_dims": ["[[2, 3]]", None, None, "[[2, 3]]", None],
    "input_types": ['["float"]', None, None, '["half"]', None],
}


@pytest.fixture
def trace(tmp_path):
    shapes = {"Input Dims": [[2, 3]], "Input type": ["float"]}
    builder = TraceBuilder().op("aten::mm", "10.125", "2.5", **{"External id": 3}, **shapes)
    builder.launch(11, 42).kernel("gemm", "20.001", "0.999", 42)
    builder.op("aten::mm", 30, 1, tid=5, **(shapes | {"Input type": ["half"]}))
    builder.event("gpu_memcpy", "Memcpy HtoD", 40, 2, pid="Spans", tid="", bytes=2**40)
    return builder.read(tmp_path)


def test_pandas(trace):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = trace.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    found = {name: [None if pandas.isna(v) else v for v in frame[name].tolist()] for name in COLUMNS}
    assert found == COLUMNS
    assert frame["name"].dtype == "category"
    assert (frame["ts_ns"].dtype, frame["dur_ns"].dtype, frame["stream"].dtype) == ("int64", "int64", "Int64")
    assert frame.groupby("category", observed=True)["dur_ns"].sum()["cpu_op"] == 3_500


def test_polars(trace):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = trace.to_polars()
    assert frame.to_dict(as_series=False) == COLUMNS
    assert frame.schema["name"] == polars.Categorical
    assert frame.schema["correlation"] == polars.Int64


def test_parquet(trace, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = tmp_path / "trace.parquet"
    trace.to_parquet(path)
    table = parquet.read_table(path)
    assert table.to_pydict() == COLUMNS
    assert table.schema.metadata[b"maskprof.trace"].decode() == trace.path


def test_a_parquet_file_that_cannot_be_written(trace, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with pytest.raises(TraceError, match="cannot be written"):
        trace.to_parquet(tmp_path / "absent" / "trace.parquet")


@pytest.mark.parametrize("kind", ["pandas", "polars", "parquet"])
def test_a_trace_without_events(tmp_path, kind):
    pytest.importorskip({"parquet": "pyarrow"}.get(kind, kind), reason=f"{kind} is not installed")
    trace = TraceBuilder().read(tmp_path)
    if kind == "parquet":
        trace.to_parquet(tmp_path / "t.parquet")
        import pyarrow.parquet

        frame = pyarrow.parquet.read_table(tmp_path / "t.parquet")
        assert (frame.num_rows, frame.column_names) == (0, list(COLUMNS))
    else:
        frame = getattr(trace, f"to_{kind}")()
        assert (len(frame), list(frame.columns)) == (0, list(COLUMNS))


@pytest.mark.parametrize("kind", ["pandas", "polars", "parquet"])
def test_names_that_are_equal_once_they_are_text(tmp_path, kind):
    pytest.importorskip({"parquet": "pyarrow"}.get(kind, kind), reason=f"{kind} is not installed")
    builder = TraceBuilder().op("a", 1, 1, pid=5).op("a", 2, 1, pid="5").op("b", 3, 1)
    trace = builder.read(tmp_path)
    if kind == "parquet":
        trace.to_parquet(tmp_path / "t.parquet")
        import pyarrow.parquet

        frame = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pydict()
    else:
        frame = getattr(trace, f"to_{kind}")()
    assert list(frame["name"]) == ["a", "a", "b"]
    assert list(frame["pid"]) == ["5", "5", "100"]


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow"])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(trace, monkeypatch, package):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(frames, "import_module", absent)
    method = "to_parquet" if package == "pyarrow" else f"to_{package}"
    with pytest.raises(TraceError) as caught:
        getattr(trace, method)(*(["x"] if package == "pyarrow" else []))
    assert str(caught.value) == (
        f"{method} needs {package}, which is not installed: pip install 'maskprof[frames]' brings it"
    )


def test_reading_imports_none_of_them(trace):
    code = f"import maskprof, sys; maskprof.read_trace({trace.path!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pandas", "polars", "pyarrow"}.intersection(loaded.split())
    assert "maskprof.traces.frames" not in loaded.split()
