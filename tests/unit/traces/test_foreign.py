"""Traces of others, against figures that were computed from them independently."""

import json

import numpy as np
import pytest

from maskprof.traces.categories import DEVICE_EVENTS
from maskprof.traces.intervals import union_length
from maskprof.traces.links import link_launches
from maskprof.traces.reader import read_trace
from tests.support.traces import SHARED_TRACES, shared_truth


@pytest.mark.parametrize("truth", shared_truth())
def test_figures_match_the_truth(truth):
    trace = read_trace(SHARED_TRACES / truth["file"])
    events = trace.events
    kernels, device = trace.rows_in(["kernel"]), trace.rows_in(DEVICE_EVENTS)

    def busy_us(rows):
        return union_length(events.ts_ns[rows], events.end_ns[rows]) / 1000

    assert len(events) == trace.account.events
    assert trace.account.with_duration == truth["n_events_X"]
    assert len(read_trace(SHARED_TRACES / truth["file"], python=True).events) == truth["n_events_X"]
    assert len(kernels) == truth["n_kernels"]
    assert len(trace.rows_in(["gpu_memcpy"])) == truth["n_memcpy"]
    assert len(trace.rows_in(["gpu_memset"])) == truth["n_memset"]
    assert len(np.unique(events.name[kernels])) == truth["distinct_kernel_names"]
    assert events.dur_ns[kernels].sum() / 1000 == pytest.approx(truth["kernel_us_sum"], rel=1e-9)
    assert events.dur_ns[device].sum() / 1000 == pytest.approx(truth["gpu_us_sum"], rel=1e-9)
    # The truth's unions were summed in floating point, 0.24 ns at a time.
    assert busy_us(kernels) == pytest.approx(truth["kernel_busy_us_union"], rel=1e-4)
    assert busy_us(device) == pytest.approx(truth["gpu_busy_us_union"], rel=1e-4)
    span_us = (events.end_ns[device].max() - events.ts_ns[device].min()) / 1000
    assert span_us == pytest.approx(truth["gpu_span_us"], rel=1e-6)
    assert (trace.account.lost, trace.account.truncated, trace.account.notes) == (0, False, ())
    assert trace.metadata["deviceProperties"][0]["name"] in (truth["device"], "")


@pytest.mark.parametrize("truth", shared_truth())
def test_launches_match_the_truth(truth):
    trace = read_trace(SHARED_TRACES / truth["file"])
    events, launches = trace.events, link_launches(trace)
    linked = launches.linked
    calls, first, counts = np.unique(launches.launch_rows[linked], return_index=True, return_counts=True)
    starts = events.ts_ns[launches.device_rows[linked]]
    first_start = np.minimum.reduceat(
        starts[np.argsort(launches.launch_rows[linked], kind="stable")], np.cumsum(counts) - counts
    )
    assert len(first) == len(calls)
    assert int(linked.sum()) == truth["n_gpu_linked"]
    assert int((~linked).sum()) == truth["n_gpu_unlinked"]
    assert len(calls) == truth["n_launch_calls_linked"]
    assert counts.max() == truth["max_gpu_events_per_correlation"]
    delay_us = np.sort(first_start - events.ts_ns[calls]) / 1000
    assert np.median(delay_us) == pytest.approx(truth["launch_to_start_us_median"], rel=1e-4)
    assert delay_us[0] == pytest.approx(truth["launch_to_start_us_min"], rel=1e-4)


@pytest.mark.shared_data
def test_an_accelerator_of_another_kind():
    path = SHARED_TRACES / "mtia_inference.json.gz"
    if not path.is_file():
        pytest.skip(f"no foreign traces at {SHARED_TRACES}")
    trace = read_trace(path)
    assert len(trace.rows_in(["mtia_ccp_events"])) == 1313
    assert json.dumps(trace.metadata["INFO"])
