"""The JSON of `maskprof analyze` and `maskprof diff`: the keys that scripts rely on, and whole files."""

import json
from dataclasses import replace

import pytest

from maskprof.analysis.ranks import compare_ranks
from maskprof.analysis.trace_diff import diff
from maskprof.results.serialize_trace import SCHEMA_VERSION, dump_diff, dump_summaries, skipped_totals
from tests.support.trace_summaries import cpu_summary, gpu_summary, ranks_of_job, strange_summary


@pytest.mark.parametrize(
    ("name", "make"), [("gpu", lambda: gpu_summary(2, 3)), ("cpu", lambda: cpu_summary(2, 3))]
)
def test_whole_summary(golden, name, make):
    golden(f"analyze_{name}.json", dump_summaries([make()]))


def test_whole_difference(golden):
    golden("diff.json", dump_diff(diff(gpu_summary(3, 3, path="a.json"), gpu_summary(2, 3, path="b.json"))))


def test_the_keys_that_scripts_rely_on():
    entry = json.loads(dump_summaries([gpu_summary()]))
    assert entry["schema_version"] == SCHEMA_VERSION
    assert {"path", "events", "span_us", "device_names", "ranks"} <= entry["trace"].keys()
    assert {"kernel_count", "kernel_time_us", "busy_us", "span_us", "idle_pct"} <= entry["gpu"].keys()
    assert {"name", "category", "count", "total_us", "mean_us"} <= entry["kernels"][0].keys()
    assert {"category", "count", "total_us"} <= entry["categories"][0].keys()
    assert {"count", "median_delay_us", "p95_delay_us"} <= entry["launches"].keys()
    assert {"linked", "unlinked_before_window", "from_graphs", "events_lost"} <= entry["account"].keys()
    assert {"count", "host_us", "device_us"} <= entry["ranges"]["phase.decode"].keys()
    assert {"block", "active", "host_us", "device_us"} <= entry["blocks"]["phases"]["decode"]["blocks"][
        0
    ].keys()
    assert [kernel["total_us"] for kernel in entry["kernels"]] == sorted(
        (kernel["total_us"] for kernel in entry["kernels"]), reverse=True
    )


def test_a_trace_without_a_device():
    entry = json.loads(dump_summaries([cpu_summary()]))
    assert (entry["gpu"], entry["kernels"], entry["launches"]) == (None, [], None)
    assert entry["operators"][0].keys() >= {"name", "count", "total_us", "mean_us", "self_us"}


def test_a_range_is_broken_down_as_the_whole_is():
    entry = json.loads(dump_summaries([gpu_summary()]))
    for key in ("gpu", "kernels", "categories", "launches", "operators"):
        assert entry["ranges"]["phase.decode"][key] == entry[key]


def test_several_traces_are_a_list_with_their_ranks():
    found = ranks_of_job(3, late=1)
    entries = json.loads(dump_summaries(found, compare_ranks(found)))
    assert [entry["rank"]["rank"] for entry in entries] == [0, 1, 2]
    assert [entry["rank"]["straggler"] for entry in entries] == [False, True, False]
    assert [entry["rank"]["wait_us"] for entry in entries] == [2000.0, 0.0, 2020.0]


def test_one_trace_alone_has_no_rank_section():
    assert json.loads(dump_summaries([gpu_summary(rank=3, world_size=8)]))["rank"] is None


def test_what_is_no_number_becomes_null():
    summary = gpu_summary(1, 1)
    assert summary.whole.launches is not None
    launches = replace(summary.whole.launches, median_delay_us=float("nan"), p95_delay_us=float("inf"))
    text = dump_summaries([replace(summary, whole=replace(summary.whole, launches=launches))])
    entry = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not standard JSON"))
    assert entry["launches"]["median_delay_us"] is None
    assert entry["launches"]["p95_delay_us"] is None


def test_names_are_whole_and_harmless():
    summary = strange_summary()
    text = dump_summaries([summary])
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    names = [kernel["name"] for kernel in json.loads(text)["kernels"]]
    assert names == [kernel.name for kernel in summary.whole.kernels]


def test_what_remains_of_skipped_blocks():
    blocks = gpu_summary(4, 6).blocks
    assert blocks is not None
    expected = {
        "blocks": 2, "host_us": 3.0, "device_us": 0.0, "copy_us": 4.0, "copy_count": 2.0, "bubble_us": 6.0,
    }  # fmt: skip
    assert [skipped_totals(phase) for phase in blocks.phases] == [expected, expected]
    on_cpu = cpu_summary(4, 6).blocks
    assert on_cpu is not None
    assert skipped_totals(on_cpu.phases[0])["bubble_us"] is None
