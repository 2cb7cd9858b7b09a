import math
import random
from dataclasses import replace

import pytest

from maskprof import serial, stats
from maskprof.analysis.summary import closures, departs, fit_lines, summarize
from maskprof.config.schema import Variant
from maskprof.errors import ResultError
from maskprof.results.schema import Statistics
from tests.support.results import (
    explicit_configuration,
    knob_configurations,
    make_attribution,
    make_configuration,
    make_sample,
    make_samples,
)


def test_a_summary_counts_its_own_clean_samples_only():
    four, eight = make_configuration(4), make_configuration(8)
    summary = summarize(four, make_samples(four) + make_samples(eight))
    assert summary.num_samples == 5
    assert summary.prefill.p50 == pytest.approx(2.0 + 1.2 * 4 + 0.002 * 12)
    assert summary.decode_per_token.p50 == pytest.approx(0.2 + 0.12 * 4 + 0.002 * 12)
    assert summary.decode.p50 == pytest.approx(4 * summary.decode_per_token.p50)
    assert summary.vision.p50 == 3.2
    low, high = summary.prefill.median_ci95
    assert low < summary.prefill.p50 < high


def test_phases_that_do_not_occur_are_none():
    configuration = make_configuration(4)
    summary = summarize(configuration, make_samples(configuration, vision_ms=0.0, output_tokens=1))
    assert summary.vision is None
    assert summary.decode_per_token is None
    assert summary.decode.max == 0.0


def test_the_statistics_of_five_samples():
    configuration = make_configuration(4)
    samples = [
        replace(make_sample(configuration, number), prefill_ms=float(ms))
        for number, ms in enumerate((2, 10, 1, 4, 3))
    ]
    found = summarize(configuration, samples).prefill
    assert (found.p50, found.mean, found.min, found.max) == (3.0, 4.0, 1.0, 10.0)
    assert (found.p95, found.p99) == pytest.approx((4 + 0.8 * 6, 4 + 0.96 * 6))
    assert found.std == pytest.approx(math.sqrt(10))
    assert found.median_ci95 == (1.0, 10.0)


@pytest.mark.parametrize(
    ("tokens", "vision_ms", "has_vision"), [(0, 0.0, False), (144, 0.0, True), (0, 3.0, True)]
)
def test_vision_occurs_where_there_are_its_tokens_or_its_time(tokens, vision_ms, has_vision):
    configuration = make_configuration(4)
    sample = replace(make_sample(configuration), num_vision_tokens=tokens, vision_ms=vision_ms)
    assert (summarize(configuration, [sample]).vision is not None) == has_vision


@pytest.mark.parametrize("field", ["vision_ms", "prefill_ms", "decode_ms", "total_ms"])
@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_time_that_is_not_finite_is_said_with_its_sample(field, odd):
    configuration = make_configuration(4)
    samples = [make_sample(configuration, 1), replace(make_sample(configuration, 7), **{field: odd})]
    message = (
        "^sample 7 of configuration first-04-of-16 has a time that is not a finite number, so there are no"
    )
    with pytest.raises(ResultError, match=message):
        summarize(configuration, samples)


def test_no_samples_no_summary():
    configuration = make_configuration(4)
    reference = make_sample(configuration, reference=True)
    with pytest.raises(ResultError, match="first-04-of-16 has no samples"):
        summarize(configuration, [reference])


def test_lines_per_phase_and_variant():
    variants = (Variant(), Variant(skip_mode="splice"))
    summaries = [
        summarize(configuration, make_samples(configuration))
        for variant in variants
        for configuration in (make_configuration(n, 16, variant) for n in (4, 8, 16))
    ]
    fits = fit_lines(summaries)
    assert [(fit.variant, fit.phase) for fit in fits] == [
        (variant, phase)
        for variant in ("mask-virtual-host", "splice")
        for phase in ("prefill", "decode_per_token", "total")
    ]
    # Each further active block adds 1.2 ms and saves a skipped block's 2 us.
    assert fits[0].slope_ms_per_block == pytest.approx(1.198)
    assert fits[0].intercept_ms == pytest.approx(2.032)
    assert fits[0].r2 == pytest.approx(1.0)
    assert fits[0].num_points == 3
    assert fits[0].departures == ()
    # The whole adds four decode steps of 0.118 ms a block, and 3.3 ms that do not depend on the blocks.
    assert fits[2].slope_ms_per_block == pytest.approx(1.198 + 4 * 0.118)
    assert fits[2].intercept_ms == pytest.approx(2.032 + 4 * 0.232 + 3.3)


def test_two_depths_have_a_line_whose_quality_is_unknown():
    configurations = [make_configuration(count) for count in (4, 16)]
    samples = [sample for configuration in configurations for sample in make_samples(configuration)]
    summaries = [summarize(configuration, samples) for configuration in configurations]
    for fit in fit_lines(summaries):
        assert (fit.num_points, fit.r2, fit.slope_ci95, fit.intercept_ci95) == (2, None, None, None)
    # What the samples vary by tells the intervals of both nevertheless.
    fit = fit_lines(summaries, samples)[0]
    assert fit.slope_ci95[0] < fit.slope_ms_per_block < fit.slope_ci95[1]
    assert fit.intercept_ci95[0] < fit.intercept_ms < fit.intercept_ci95[1]


@pytest.mark.parametrize(
    ("p50", "interval", "expected", "does"),
    [
        (110.0, (105.0, 115.0), 100.0, True),
        # Without an interval it cannot be told.
        (110.0, None, 100.0, False),
        # The interval holds what is expected, its ends included.
        (110.0, (90.0, 115.0), 100.0, False),
        (110.0, (100.0, 115.0), 100.0, False),
        (90.0, (85.0, 100.0), 100.0, False),
        # No more than 2 % of what is expected.
        (102.0, (101.5, 102.5), 100.0, False),
        (98.0, (97.5, 98.5), 100.0, False),
        (102.5, (101.5, 103.0), 100.0, True),
        (0.5, (0.4, 0.6), 0.01, True),
        (10.0, (9.0, 11.0), -10.0, True),
    ],
)
def test_a_departure_lies_outside_the_interval_and_above_two_percent(p50, interval, expected, does):
    found = Statistics(p50=p50, p95=0, p99=0, mean=0, std=0, min=0, max=0, median_ci95=interval)
    assert departs(found, expected) is does


def test_each_setting_of_the_knobs_has_its_own_line():
    configurations = knob_configurations(moe_top_k=(2, 8), max_new_tokens=(5,))
    fits = fit_lines([summarize(c, make_samples(c)) for c in configurations])
    prefill = [fit for fit in fits if fit.phase == "prefill"]
    assert [(fit.knobs.moe_top_k, fit.knobs.max_new_tokens, fit.num_points) for fit in prefill] == [
        (2, 5, 3),
        (8, 5, 3),
    ]
    assert [fit.slope_ms_per_block for fit in prefill] == pytest.approx([1.398, 1.998])


def test_one_depth_has_no_line():
    masks = [explicit_configuration(blocks) for blocks in ((0, 1), (3, 5))]
    assert fit_lines([summarize(mask, make_samples(mask)) for mask in masks]) == ()


def test_a_departure_is_outside_the_interval_and_not_tiny():
    summaries = []
    for count, factor in ((4, 1.0), (8, 1.3), (12, 1.0), (16, 1.0)):
        configuration = make_configuration(count)
        samples = [replace(s, prefill_ms=s.prefill_ms * factor) for s in make_samples(configuration)]
        summaries.append(summarize(configuration, samples))
    prefill = next(fit for fit in fit_lines(summaries) if fit.phase == "prefill")
    assert prefill.departures[0][0] in {"first-04-of-16", "first-08-of-16"}
    departures = dict(prefill.departures)
    assert departures["first-08-of-16"] > 0
    measured = summaries[1].prefill.p50
    assert departures["first-08-of-16"] == pytest.approx(
        measured - prefill.intercept_ms - 8 * prefill.slope_ms_per_block
    )


@pytest.mark.parametrize(
    ("line", "does"),
    [
        ((99.0, 101.0), True),
        ((90.0, 104.5), True),
        # They touch or overlap.
        ((90.0, 105.0), False),
        ((90.0, 107.0), False),
        ((115.0, 120.0), False),
        ((115.5, 120.0), True),
    ],
)
def test_a_departure_is_one_from_the_interval_of_the_line(line, does):
    found = Statistics(p50=110, p95=0, p99=0, mean=0, std=0, min=0, max=0, median_ci95=(105.0, 115.0))
    assert departs(found, 100.0, line) is does


def _bent(spread: float, count: int = 5, last: float | None = None) -> tuple[list, list]:
    """Summaries and samples of four depths, of which the second is 30 % above the line; the `last` may scatter more."""
    summaries, samples = [], []
    for depth, factor in ((4, 1.0), (8, 1.3), (12, 1.0), (16, 1.0)):
        configuration = make_configuration(depth)
        scatter = last if last is not None and depth == 16 else spread
        own = [
            replace(s, prefill_ms=s.prefill_ms * factor * (1 + scatter * (-1) ** (s.sample_id + depth // 4)))
            for s in [s for s in make_samples(configuration) if not s.reference][:count]
        ]
        summaries.append(summarize(configuration, own))
        samples += own
    return summaries, samples


def _departures(spread: float, count: int = 5, last: float | None = None) -> set[str]:
    prefill = next(fit for fit in fit_lines(*_bent(spread, count, last)) if fit.phase == "prefill")
    return {name for name, _ in prefill.departures}


def test_what_scatters_more_than_it_departs_is_not_said_to_depart():
    assert "first-08-of-16" in _departures(0.001)
    assert _departures(0.9) == set()


def test_nothing_departs_from_a_line_that_is_not_known():
    assert _departures(0.001, last=0.9) == set()


def test_without_an_interval_no_departure_can_be_told():
    assert _departures(0.001, count=4) == set()


def test_closure_pairs_by_round_and_takes_the_drift_out():
    configuration = make_configuration(12)
    samples = make_samples(configuration)
    attribution = make_attribution(configuration, samples)
    prefill, decode = closures(configuration, samples, attribution.phases)
    assert (prefill.phase, decode.phase) == ("prefill", "decode")
    assert prefill.skipped_blocks == 4
    assert prefill.pairs == 5
    assert prefill.clean_us == pytest.approx(8.0)
    assert prefill.clean_ci95_us == pytest.approx((8.0, 8.0))
    assert prefill.attributed_us == pytest.approx(4 * 1.75)
    assert decode.clean_us == pytest.approx(8.0)
    assert prefill.note is None


def test_a_sample_without_a_partner_takes_no_part():
    configuration = make_configuration(12)
    samples = make_samples(configuration)
    lonely = replace(make_sample(configuration, 9, scale=50.0), round=9)
    prefill, _ = closures(configuration, [*samples, lonely], ())
    assert prefill.pairs == 5
    assert prefill.clean_us == pytest.approx(8.0)
    assert prefill.attributed_us is None
    assert prefill.note == "no trace of this phase was recorded"


def test_closure_without_reference_says_so():
    configuration = make_configuration(12)
    samples = [s for s in make_samples(configuration) if not s.reference]
    prefill, _ = closures(configuration, samples, make_attribution(configuration, samples).phases)
    assert prefill.clean_us is None
    assert prefill.pairs == 0
    assert prefill.note == "the model with the blocks removed was not measured"


@pytest.mark.parametrize(
    "configuration",
    [
        make_configuration(16),
        make_configuration(12, 16, Variant(skip_mode="splice")),
        make_configuration(16, 16, Variant(skip_mode="splice")),
    ],
)
def test_no_block_skipped_in_place_no_closure(configuration):
    assert closures(configuration, make_samples(configuration), ()) == ()


def test_a_phase_of_which_nothing_is_known_does_not_hide_the_next():
    configuration = make_configuration(12)
    samples = [s for s in make_samples(configuration) if not s.reference]
    decode_only = make_attribution(configuration, samples).phases[1:]
    assert [closure.phase for closure in closures(configuration, samples, decode_only)] == ["decode"]


def test_a_closure_may_be_negative_and_its_interval_keeps_its_order():
    configuration = make_configuration(12)
    samples = []
    for number, cost_us in enumerate((-10, -4, 2, -6, -2)):
        samples += [
            replace(make_sample(configuration, number), prefill_ms=20 + cost_us / 1000),
            replace(make_sample(configuration, number, reference=True), prefill_ms=20.0),
        ]
    prefill, _ = closures(configuration, samples, ())
    assert prefill.clean_us == pytest.approx(-4.0)
    assert prefill.clean_ci95_us == pytest.approx((-10.0, 2.0))


def test_intervals_come_from_the_samples_in_the_order_of_rounds():
    offsets = [math.sin(number / 3) / 50 for number in range(30)]
    configurations = [make_configuration(count) for count in (4, 8, 16)]
    samples = [
        replace(make_sample(c, number, scale=1 + offset), round=number)
        for c in configurations
        for number, offset in enumerate(offsets)
    ]
    mixed = random.Random(4).sample(samples, len(samples))
    summaries = [summarize(c, mixed) for c in configurations]
    assert summaries == [summarize(c, samples) for c in configurations]
    prefill = [s.prefill_ms for s in samples if s.configuration == "first-08-of-16"]
    assert summaries[1].prefill.median_ci95 == serial.median_interval(prefill)
    assert summaries[1].prefill.effective_samples == serial.effective_samples(prefill)
    assert summaries[1].prefill.effective_samples < 15
    fit = fit_lines(summaries, mixed)[0]
    series = [[s.prefill_ms for s in samples if s.configuration == c.name] for c in configurations]
    errors = serial.median_errors([range(30)] * 3, series)
    line = stats.fit_line([4, 8, 16], [s.prefill.p50 for s in summaries], errors)
    assert fit.slope_ci95 == pytest.approx(line.slope_ci95)
    assert fit.slope_ci95[0] < 1.198 < fit.slope_ci95[1]
    # The medians lie on a line, so that their distances to it would say that nothing is uncertain.
    exact = fit_lines(summaries)[0].slope_ci95
    assert exact[1] - exact[0] < 1e-6 < fit.slope_ci95[1] - fit.slope_ci95[0]
