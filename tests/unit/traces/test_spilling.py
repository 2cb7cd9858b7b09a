"""Long columns on disk: the same values, nothing left behind, and memory where there is no disk."""

import errno
import gc
import tempfile

import numpy as np
import pytest

from maskprof.traces import spilling
from maskprof.traces.growing import GrowingColumn, kept
from maskprof.traces.reader import read_trace
from tests.support.traces import TraceBuilder


@pytest.fixture(autouse=True)
def long_from_eight_bytes(monkeypatch):
    monkeypatch.setattr(spilling, "LEAST_BYTES", 8)


def grown(*pieces, floor=np.int8):
    column = GrowingColumn(at_least=floor)
    for piece in pieces:
        column.extend(np.array(piece, dtype=np.int64))
    return column.finish()


def mapped():
    gc.collect()
    return len(spilling._mapped)


def test_a_long_column_is_mapped_from_a_file_without_a_name_and_goes_with_its_array(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = mapped()
    column = grown([1, 2, 3], range(20), [-7])
    assert column.tolist() == [1, 2, 3, *range(20), -7]
    assert (column.dtype, mapped()) == (np.int8, before + 1)
    assert not column.flags.writeable
    assert list(tmp_path.iterdir()) == []
    del column
    assert mapped() == before


def test_what_is_on_disk_is_widened_there():
    before = mapped()
    column = grown(range(20), [2**40], [5])
    assert column.tolist() == [*range(20), 2**40, 5]
    assert (column.dtype, mapped()) == (np.int64, before + 1)


def test_pages_that_were_let_go_are_read_again():
    column = grown(range(2000))
    assert column.sum() == 1999 * 1000
    spilling.release()
    assert column.sum() == 1999 * 1000


def test_short_arrays_are_kept_as_they_are():
    short, long = np.array([1, 2], dtype=np.int16), np.arange(8, dtype=np.int16)
    assert kept(short) is short
    assert kept(long).tolist() == long.tolist()
    assert kept(long).dtype == np.int16


def test_without_a_folder_for_files_columns_stay_in_memory(monkeypatch):
    def nowhere(**_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    before = mapped()
    column = grown(range(20), [2**40])
    assert column.tolist() == [*range(20), 2**40]
    assert mapped() == before


@pytest.mark.parametrize("room", [0, 8, 20, 30])
def test_a_disk_that_is_full_at_some_time_loses_nothing(monkeypatch, room):
    class Full(spilling.Spill):
        left = room

        def append(self, data):
            if len(data) > self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.left -= len(data)
            super().append(data)

    monkeypatch.setattr("maskprof.traces.growing.Spill", Full)
    assert grown(range(9), range(9, 18), range(18, 60), [300]).tolist() == [*range(60), 300]


def test_a_trace_of_long_columns_is_the_same_trace(tmp_path, monkeypatch):
    builder = TraceBuilder()
    for i in range(50):
        builder.op(f"aten::{i}", 10 * i, 5).launch(10 * i + 1, i + 1).kernel("k", 20 * i, 3, i + 1)
    on_disk = builder.read(tmp_path)
    monkeypatch.setattr(spilling, "LEAST_BYTES", 2**40)
    in_memory = read_trace(on_disk.path)
    for column in ("name", "category", "ts_ns", "dur_ns", "correlation"):
        assert getattr(on_disk.events, column).tolist() == getattr(in_memory.events, column).tolist()
