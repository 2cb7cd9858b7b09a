import pytest

from maskprof import analyze
from tests.support.small_pieces import cut_small
from tests.support.traces import TraceBuilder


@pytest.fixture(params=["whole", "in small pieces"], autouse=True)
def _pieces(request, monkeypatch):
    if request.param != "whole":
        cut_small(monkeypatch)


def _shares(summary) -> list[tuple]:
    return [(d.device, d.name, d.busy_us, d.kernel_count, d.kernel_time_us) for d in summary.devices]


def _two_devices() -> TraceBuilder:
    builder = TraceBuilder(deviceProperties=[{"id": 1, "name": "B"}, {"id": 0, "name": "A"}])
    builder.annotation("step", 0, 5)
    for i in range(1, 5):
        builder.launch(i, i)
    # Device 1: two streams that overlap by 5, a gap of 10, a copy inside of the last kernel.
    builder.kernel("a", 10, 20, 1, device=1).kernel("b", 25, 15, 2, device=1, stream=8)
    builder.kernel("c", 50, 20, 9, device=1).kernel("Memcpy", 55, 5, 8, device=1, stream=8, cat="gpu_memcpy")
    return builder.kernel("a", 12, 3, 3, device=0)


def test_each_device_has_the_union_of_its_own_events(tmp_path):
    assert _shares(analyze(_two_devices().read(tmp_path))) == [(0, "A", 3.0, 1, 3.0), (1, "B", 50.0, 3, 55.0)]


def test_of_a_range_only_what_was_launched_inside_counts(tmp_path):
    summary = analyze(_two_devices().read(tmp_path), within="step")
    assert _shares(summary) == [(0, "A", 3.0, 1, 3.0), (1, "B", 30.0, 2, 35.0)]


def test_a_device_without_work_in_the_range_is_not_there(tmp_path):
    builder = _two_devices().annotation("later", 100, 9).launch(101, 7).kernel("d", 110, 4, 7, device=1)
    assert _shares(analyze(builder.read(tmp_path), within="later")) == [(1, "B", 4.0, 1, 4.0)]


def test_one_device_works_as_long_as_all_together(tmp_path):
    summary = analyze(TraceBuilder().launch(0, 1).kernel("a", 10, 20, 1).kernel("b", 15, 5, 1).read(tmp_path))
    assert _shares(summary) == [(0, "device 0", 20.0, 2, 25.0)]
    assert summary.whole.device.busy_us == 20.0


def test_the_host_alone_has_none(tmp_path):
    assert analyze(TraceBuilder().op("aten::mm", 0, 1).read(tmp_path)).devices == ()
