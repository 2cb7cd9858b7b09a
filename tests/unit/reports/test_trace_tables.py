"""What the tables on a trace keep when the terminal is narrow, and what they add where there is something to add."""

from dataclasses import replace

from maskprof.reports.knob_tables import knob_table
from maskprof.reports.layout import columns_that_fit
from maskprof.reports.trace_account import account_table
from maskprof.reports.trace_csv import trace_csvs
from maskprof.reports.trace_tables import device_table, devices_table, range_table
from maskprof.results.schema import Estimate
from maskprof.results.trace_summary import DeviceShare
from tests.support.results import knob_configurations, make_result
from tests.support.trace_summaries import gpu_summary


def _cells(table, key):
    return next(column.cells for column in table.columns if column.key.startswith(key))


def _two_devices(**names):
    share = DeviceShare(device=0, name="NVIDIA H100", busy_us=50.0, kernel_count=5, kernel_time_us=55.0)
    devices = (share, replace(share, device=1, busy_us=100.0, **names))
    return replace(gpu_summary(), devices=devices)


def test_each_of_several_devices_has_a_row():
    table = devices_table(_two_devices())
    span = gpu_summary().whole.device.span_us
    assert _cells(table, "number") == ("0", "1")
    assert _cells(table, "name") == ("NVIDIA H100",) * 2
    assert _cells(table, "busy") == ("50.0", "100.0")
    assert _cells(table, "share") == tuple(f"{100 * us / span:.1f} %" for us in (50, 100))


def test_names_that_are_numbers_are_not_repeated():
    summary = _two_devices()
    named = tuple(replace(device, name=f"device {device.device}") for device in summary.devices)
    assert not any(c.key.startswith("name") for c in devices_table(replace(summary, devices=named)).columns)


def test_one_device_needs_no_table_of_its_own():
    summary = _two_devices()
    assert devices_table(replace(summary, devices=summary.devices[:1])) is None
    assert device_table(summary.whole).title.startswith("Device time:")


def test_several_devices_are_not_called_one():
    table = device_table(gpu_summary().whole, devices=2)
    assert table.title.startswith("Time of all devices together:")
    assert _cells(table, "part")[0] == "busy: at least one"


def test_devices_as_csv():
    assert trace_csvs([_two_devices()])["devices.csv"].splitlines()[1:] == [
        "traces/first-10-of-16/worker.1.pt.trace.json.gz,,0,NVIDIA H100,50.0,5,55.0",
        "traces/first-10-of-16/worker.1.pt.trace.json.gz,,1,NVIDIA H100,100.0,5,55.0",
    ]
    assert "devices.csv" not in trace_csvs([gpu_summary()])


def _ranges(own_us, others_us):
    found = gpu_summary().ranges[0]
    return [replace(found, name="## backward ##", device_us=own_us, elsewhere_device_us=others_us)]


def test_what_other_threads_launch_stays_where_a_range_looks_empty_without():
    table = range_table(_ranges(46.0, 244_600.0), top=10)
    assert "others" in {column.key for column in columns_that_fit(table, 50)}
    assert any(note.startswith("By other threads") for note in table.notes)
    little = range_table(_ranges(244_600.0, 46.0), top=10)
    assert "others" in {column.key for column in columns_that_fit(little, 140)}
    assert "others" not in {column.key for column in columns_that_fit(little, 50)}
    assert "others" not in {column.key for column in range_table(_ranges(46.0, 0.0), top=10).columns}


def test_the_account_tells_repeated_ids_and_negative_durations():
    summary = gpu_summary()
    account = replace(summary.account, repeated_ids=3, negative_durations=2)
    table = account_table(replace(summary, account=account))
    told = dict(zip(_cells(table, "what"), _cells(table, "count"), strict=True))
    assert told["  ids of several launch calls"] == "3"
    assert told["durations below zero"] == "2"
    assert not any(
        "ids of" in name or "below zero" in name for name in _cells(account_table(summary), "what")
    )


def test_a_saving_in_a_narrow_table_says_that_it_is_unclear():
    result = make_result(knob_configurations(num_crops=(1, 4)))
    wide = Estimate(value=33.81, ci95=(-181.9, 249.5))
    fits = tuple(replace(fit, halving_both_ms=wide) for fit in result.knob_fits)
    table = knob_table(replace(result, knob_fits=fits))
    assert {c.key: c.cells[0] for c in columns_that_fit(table, 140)}["halving_both"] == "34 ±216 ms"
    narrow = {c.key: c.cells[0] for c in columns_that_fit(table, 60)}
    assert narrow["halving_both_plain"] == "unclear"
    assert narrow["halving_blocks_plain"].endswith(" ms")


def test_savings_without_intervals_are_said_to_be_so():
    result = make_result(knob_configurations(num_crops=(1, 4)))
    fits = tuple(
        replace(fit, halving_both_ms=replace(fit.halving_both_ms, ci95=None)) for fit in result.knob_fits
    )
    assert any(note.startswith("Without ±") for note in knob_table(replace(result, knob_fits=fits)).notes)
    assert not any(note.startswith("Without ±") for note in knob_table(result).notes)
