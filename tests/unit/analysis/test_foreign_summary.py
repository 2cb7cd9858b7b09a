"""Summaries of traces of others, against figures that were computed from them independently."""

import pytest

from maskprof import analyze
from maskprof.traces.reader import read_trace
from tests.support.traces import SHARED_TRACES, shared_truth


@pytest.mark.parametrize("truth", shared_truth())
def test_figures_match_the_truth(truth):
    summary = analyze(read_trace(SHARED_TRACES / truth["file"]))
    device, launches, account = summary.whole.device, summary.whole.launches, summary.account
    counts = {
        "n_events_X": summary.facts.events,
        "n_kernels": device.kernel_count,
        "n_memcpy": device.memcpy_count,
        "n_memset": device.memset_count,
        "n_streams": device.streams,
        "distinct_kernel_names": len(summary.whole.kernels),
        "n_gpu_linked": account.linked,
        "n_gpu_unlinked": account.unlinked_before_window + account.unlinked_other,
        "n_gpu_in_multi_launch": account.from_graphs,
        "n_launch_calls_linked": launches.count,
    }
    assert counts == {key: truth[key] for key in counts}
    times = {
        "kernel_us_sum": device.kernel_time_us,
        "gpu_us_sum": device.kernel_time_us + device.memcpy_us + device.memset_us,
        "gpu_busy_us_union": device.busy_us,
        "gpu_span_us": device.span_us,
        "all_span_us": summary.facts.span_us,
        "launch_to_start_us_median": launches.median_delay_us,
        "launch_to_start_us_p95": launches.p95_delay_us,
        "launch_to_start_us_min": launches.min_delay_us,
    }
    assert times == {key: pytest.approx(truth[key], rel=1e-4) for key in times}
    # The truth is rounded to a thousandth of a percent.
    assert device.idle_pct == pytest.approx(truth["idle_pct_of_gpu_span"], abs=6e-4)
    assert device.busy_us + device.idle_us == pytest.approx(device.span_us)
    top = [(k.name, k.count, pytest.approx(k.total_us, rel=1e-4)) for k in summary.whole.kernels[:5]]
    assert [(k["name"], k["count"], k["us"]) for k in truth["top5_kernels"]] == top
    assert account.unclassified_pct < 3
    assert summary.facts.devices in ((truth["device"],), ("device 2",))
    assert summary.headline


@pytest.mark.parametrize("truth", shared_truth())
def test_a_single_step_has_what_was_launched_in_it(truth):
    summary = analyze(read_trace(SHARED_TRACES / truth["file"]))
    linked_kernels = sum(k.count for k in summary.whole.kernels) - summary.account.unlinked_before_window
    for r in summary.ranges:
        assert r.kernel_count + r.elsewhere_kernel_count <= summary.whole.device.kernel_count
        breakdown = r.breakdown
        assert sum(k.count for k in breakdown.kernels) == r.kernel_count
        assert sum(k.total_us for k in breakdown.kernels) == pytest.approx(r.device_us)
        if breakdown.device:
            d = breakdown.device
            assert d.busy_us + d.idle_us + d.elsewhere_us == pytest.approx(d.span_us)
    assert linked_kernels <= summary.account.linked


@pytest.mark.shared_data
def test_an_mtias_work():
    path = SHARED_TRACES / "mtia_inference.json.gz"
    if not path.is_file():
        pytest.skip(f"no foreign traces at {SHARED_TRACES}")
    summary = analyze(read_trace(path))
    assert summary.facts.devices == ("ARTEMIS",)
    kernels = {k.name: (k.count, k.category) for k in summary.whole.kernels}
    assert kernels == {"merge": (36, "compiled"), "remote": (37, "compiled"), "pe_exe": (24, "compiled")}
    assert summary.whole.device.memcpy_count == 877
    assert summary.account.unclassified_count == 0
