"""Whatever was measured, there is a page: zeros, single samples, wild figures, everything failed."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from maskprof.analysis.knob_fits import fit_knobs
from maskprof.analysis.summary import fit_lines, summarize
from maskprof.reports.html import render_page
from maskprof.reports.images import standing_alone
from maskprof.reports.page import Run, page_of, plots_of
from maskprof.reports.plots.traces import trace_plots
from tests.support.results import (
    knob_configurations,
    make_attribution,
    make_configuration,
    make_result,
    make_sample,
)
from tests.support.trace_summaries import cpu_summary, gpu_summary, strange_summary

times_ms = st.sampled_from([0.0, 1e-7, 0.5, 12.0, 1e6]) | st.floats(min_value=0, max_value=1e5)
offsets_us = st.sampled_from([-50.0, 0.0, 1e-9, 3.0, 1e7]) | st.floats(min_value=-1e3, max_value=1e6)


def some_of(choices):
    return st.lists(st.sampled_from(choices), min_size=1, max_size=6, unique_by=lambda choice: choice.name)


# A run sets a knob in all of its configurations or in none.
configurations = some_of(list(map(make_configuration, (1, 2, 8, 15, 16)))) | some_of(
    knob_configurations((8, 16), num_crops=(1, 4))
)


@st.composite
def results(draw):
    chosen = draw(configurations)
    samples = []
    for configuration in chosen:
        for sample_id in range(draw(st.integers(min_value=0, max_value=4))):
            prefill, decode, vision = draw(times_ms), draw(times_ms), draw(times_ms)
            samples.append(
                replace(
                    make_sample(configuration, sample_id, reference=draw(st.booleans())),
                    started_s=draw(times_ms),
                    prefill_ms=prefill,
                    decode_ms=decode,
                    vision_ms=vision,
                    total_ms=prefill + decode + vision,
                )
            )
    measured = {sample.configuration for sample in samples if not sample.reference}
    summary = tuple(summarize(c, samples) for c in chosen if c.name in measured)
    device = draw(st.booleans())
    attribution = []
    for configuration in chosen:
        item = make_attribution(configuration, samples, device=device)
        shift = draw(offsets_us)
        phases = tuple(
            replace(
                phase, blocks=tuple(replace(block, host_us=block.host_us + shift) for block in phase.blocks)
            )
            for phase in item.phases
        )
        attribution.append(replace(item, phases=phases if draw(st.booleans()) else ()))
    return replace(
        make_result(trace=False),
        configurations=tuple(chosen),
        samples=tuple(samples),
        summary=summary,
        fits=fit_lines(summary),
        knob_fits=fit_knobs(summary),
        attribution=tuple(attribution),
    )


# Without shrinking: an example takes a tenth of a second.
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(results(), results())
def test_every_result_has_a_page(one, other):
    for runs in ([Run(name="a", result=one)], [Run(name="a", result=one), Run(name="b", result=other)]):
        assert "</html>" in render_page(page_of(runs))
        for plot in plots_of(runs):
            drawing = standing_alone(plot)
            # What can be pointed at lies on the sheet; comparisons are false for what is no number.
            assert all(0 <= t.x <= drawing.width and 0 <= t.y <= drawing.height for t in drawing.targets), (
                plot.name
            )


@pytest.mark.parametrize(
    "summary", [gpu_summary(), cpu_summary(), strange_summary()], ids=["gpu", "cpu", "strange"]
)
def test_every_trace_has_its_plots(summary):
    for plot in trace_plots(summary):
        assert all(
            0 <= t.x <= plot.drawing.width and 0 <= t.y <= plot.drawing.height for t in plot.drawing.targets
        )
    run = Run(name="a", result=make_result(device=True), traces={"first-08-of-16": summary})
    assert "</html>" in render_page(page_of([run]))
