"""A trace as a table for other tools: pandas, polars, Parquet. They are imported here, when asked for.

One row per event, in the file's order, with the codes resolved:

- `name`, `category`, `pid`, `tid`, and `input_dims`, `input_types`: texts, as categories (dictionaries) of which
  each is stored once; the last two are missing where no shapes were recorded;
- `ts_ns`, `dur_ns`: integers, in nanoseconds;
- `correlation`, `external_id`, `stream`, `device`, `bytes`: integers; missing where the file has none.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from maskprof.errors import TraceError
from maskprof.traces.columns import Bools, Trace
from maskprof.traces.pieces import Ints

_NUMBERS = ("correlation", "external_id", "stream", "device", "bytes")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Texts:
    """A column of texts: codes into `table`, where a code of -1 is a missing one. Each text is there once."""

    codes: Ints
    table: Sequence[str]


def to_pandas(trace: Trace) -> Any:
    """A `pandas.DataFrame`.

    Raises:
        TraceError: if pandas is not installed.
    """
    pandas = _imported("pandas", "to_pandas")
    columns: dict[str, Any] = {}
    for name, column in _columns(trace).items():
        if isinstance(column, _Texts):
            columns[name] = pandas.Categorical.from_codes(column.codes, categories=column.table)
        elif isinstance(column, tuple):
            columns[name] = pandas.arrays.IntegerArray(*column)
        else:
            columns[name] = column
    return pandas.DataFrame(columns, copy=False)


def to_polars(trace: Trace) -> Any:
    """A `polars.DataFrame`.

    Raises:
        TraceError: if polars is not installed.
    """
    polars = _imported("polars", "to_polars")
    series = []
    for name, column in _columns(trace).items():
        if isinstance(column, _Texts):
            table = polars.Series(name, column.table, dtype=polars.String)
            codes = polars.Series(column.codes)
            texts = table.gather(codes.set(codes < 0, None)) if len(table) else [None] * len(codes)
            series.append(polars.Series(name, texts, dtype=polars.String).cast(polars.Categorical))
        elif isinstance(column, tuple):
            values, missing = (polars.Series(part) for part in column)
            series.append(values.set(missing, None).alias(name))
        else:
            series.append(polars.Series(name, column))
    return polars.DataFrame(series)


def to_parquet(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a Parquet file; the trace's path is in its metadata, as `maskprof.trace`.

    Raises:
        TraceError: if pyarrow is not installed, or the file cannot be written.
    """
    pyarrow = _imported("pyarrow", "to_parquet")
    parquet = import_module("pyarrow.parquet")
    columns: dict[str, Any] = {}
    for name, column in _columns(trace).items():
        if isinstance(column, _Texts):
            codes = pyarrow.array(column.codes.astype(np.int32), mask=column.codes < 0)
            table = pyarrow.array(column.table, type=pyarrow.string())
            columns[name] = pyarrow.DictionaryArray.from_arrays(codes, table)
        elif isinstance(column, tuple):
            values, missing = column
            columns[name] = pyarrow.array(values, mask=missing)
        else:
            columns[name] = pyarrow.array(column)
    try:
        parquet.write_table(
            pyarrow.table(columns, metadata={"maskprof.trace": trace.path}),
            os.fspath(path),
            compression="zstd",
        )
    except OSError as error:
        raise TraceError(f"{os.fspath(path)} cannot be written: {error.strerror or error}") from None


def _columns(trace: Trace) -> dict[str, Any]:
    """Name to a column: texts, an array, or values with a mask of the missing ones."""
    events = trace.events
    columns: dict[str, Any] = {
        "name": _texts(events.name, trace.names),
        "category": _texts(events.category, trace.categories),
        "pid": _texts(events.pid, [str(pid) for pid in trace.pids]),
        "tid": _texts(events.tid, [str(tid) for tid in trace.tids]),
        "ts_ns": events.ts_ns,
        "dur_ns": np.ascontiguousarray(events.dur_ns, dtype=np.int64),
    }
    for name in _NUMBERS:
        columns[name] = _known(getattr(events, name))
    columns["input_dims"] = _texts(events.inputs, [inputs.dims for inputs in trace.inputs])
    columns["input_types"] = _texts(events.inputs, [inputs.types for inputs in trace.inputs])
    return columns


def _texts(codes: Ints, table: Sequence[str]) -> _Texts:
    first: dict[str, int] = {}
    # A process may be called 5 and another "5".
    merged = [first.setdefault(text, len(first)) for text in table]
    to_merged = np.array([*merged, -1], dtype=np.int32)
    return _Texts(codes=to_merged[codes], table=list(first))


def _known(values: Ints) -> tuple[Ints, Bools]:
    values = np.ascontiguousarray(values, dtype=np.int64)
    return values, values == -1


def _imported(package: str, method: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise TraceError(
            f"{method} needs {package}, which is not installed: pip install 'maskprof[frames]' brings it"
        ) from None
