"""Depth and one knob together: the fit's figures are those that the samples were made with."""

from dataclasses import replace

import pytest

from maskprof.analysis.knob_fits import fit_knobs
from maskprof.analysis.summary import summarize
from maskprof.config.knobs import Knobs
from maskprof.config.schema import Variant
from tests.support.results import knob_configurations, make_configuration, make_samples


def summaries_of(configurations):
    return [summarize(c, make_samples(c)) for c in configurations]


def test_the_coefficients_and_savings():
    prefill, step, total = fit_knobs(summaries_of(knob_configurations(moe_top_k=(2, 4, 8))))
    assert [fit.phase for fit in (prefill, step, total)] == ["prefill", "decode_per_token", "total"]
    assert (prefill.knob, prefill.variant, prefill.num_points) == ("moe_top_k", "mask-virtual-host", 9)
    assert prefill.held == Knobs(max_new_tokens=10)
    # A skipped block costs 2 us, so that 16 blocks at none cost 32 us more.
    assert prefill.intercept_ms.value == pytest.approx(2.032)
    assert prefill.ms_per_block.value == pytest.approx(1.198)
    assert prefill.ms_per_unit.value == pytest.approx(0.0, abs=1e-9)
    assert prefill.ms_per_block_and_unit.value == pytest.approx(0.1)
    assert prefill.r2 == pytest.approx(1.0)
    assert (prefill.full_blocks, prefill.full_value) == (16, 8)
    assert prefill.halving_blocks_ms.value == pytest.approx(8 * 1.198 + 8 * 0.8)
    assert prefill.halving_knob_ms.value == pytest.approx(16 * 0.4)
    assert prefill.halving_both_ms.value == pytest.approx(8 * 1.198 + 16 * 0.8 - 8 * 0.4)
    low, high = prefill.halving_knob_ms.ci95
    assert low <= prefill.halving_knob_ms.value <= high


def test_every_coefficient_counts_in_what_is_saved():
    # 3 + 2 per block + 5 per expert + 1/4 per block and expert, at most at 16 blocks and 8 experts.
    summaries = []
    for summary in summaries_of(knob_configurations(moe_top_k=(2, 4, 8))):
        blocks, experts = summary.configuration.num_active_blocks, summary.configuration.knobs.moe_top_k
        latency = replace(summary.prefill, p50=3 + 2 * blocks + 5 * experts + blocks * experts / 4)
        summaries.append(replace(summary, prefill=latency))
    prefill = fit_knobs(summaries)[0]
    assert prefill.intercept_ms.value == pytest.approx(3.0)
    assert prefill.ms_per_block.value == pytest.approx(2.0)
    assert prefill.ms_per_unit.value == pytest.approx(5.0)
    assert prefill.ms_per_block_and_unit.value == pytest.approx(0.25)
    # All of it is 3 + 32 + 40 + 32 = 107; with 8 blocks 75, with 4 experts 71, with both 47.
    assert prefill.halving_blocks_ms.value == pytest.approx(107 - 75)
    assert prefill.halving_knob_ms.value == pytest.approx(107 - 71)
    assert prefill.halving_both_ms.value == pytest.approx(107 - 47)


def test_each_phases_intervals_come_from_its_own_times():
    configurations = knob_configurations((8, 16), moe_top_k=(2, 8))
    samples = [
        replace(sample, prefill_ms=float(c.num_active_blocks * c.knobs.moe_top_k))
        for c in configurations
        for sample in make_samples(c)
    ]
    prefill, _, total = fit_knobs([summarize(c, samples) for c in configurations], samples)
    low, high = prefill.halving_both_ms.ci95
    assert low == high
    low, high = total.halving_both_ms.ci95
    assert low < high


def test_the_other_knobs_are_held():
    fits = fit_knobs(summaries_of(knob_configurations(num_crops=(1, 4), moe_top_k=(2, 8))))
    held = [(fit.knob, fit.held.num_crops, fit.held.moe_top_k) for fit in fits if fit.phase == "total"]
    assert held == [
        ("num_crops", None, 2),
        ("num_crops", None, 8),
        ("moe_top_k", 1, None),
        ("moe_top_k", 4, None),
    ]
    crops = next(fit for fit in fits if fit.knob == "num_crops" and fit.phase == "total")
    assert crops.ms_per_unit.value == pytest.approx(1.0)
    assert crops.ms_per_block_and_unit.value == pytest.approx(0.0, abs=1e-9)
    # Four points and four coefficients, where depths are two, would leave no spread; here they are three.
    assert crops.ms_per_unit.ci95 is not None


def test_two_by_two_has_the_intervals_of_its_samples():
    configurations = knob_configurations((8, 16), moe_top_k=(2, 8))
    summaries = summaries_of(configurations)
    fits = fit_knobs(summaries, [sample for c in configurations for sample in make_samples(c)])
    assert {fit.num_points for fit in fits} == {4}
    assert all(fit.r2 is None for fit in fits)
    low, high = fits[0].halving_both_ms.ci95
    assert low < fits[0].halving_both_ms.value < high
    # The samples go up and down together, so what is common to two of them cancels in their difference.
    low, high = fits[0].halving_knob_ms.ci95
    widths = [s.prefill.median_ci95[1] - s.prefill.median_ci95[0] for s in summaries]
    assert 0 < high - low < min(widths)
    assert fit_knobs(summaries)[0].halving_both_ms.ci95 is None


def test_phases_without_decode_steps_have_fewer_points():
    fits = {fit.phase: fit for fit in fit_knobs(summaries_of(knob_configurations(max_new_tokens=(1, 4, 8))))}
    assert (fits["total"].num_points, fits["decode_per_token"].num_points) == (9, 6)
    assert "decode_per_token" not in {
        fit.phase for fit in fit_knobs(summaries_of(knob_configurations(max_new_tokens=(1, 4))))
    }


def test_variants_are_apart():
    both = [
        configuration
        for variant in (Variant(), Variant(skip_mode="splice"))
        for configuration in knob_configurations((8, 16), variant, moe_top_k=(2, 8))
    ]
    assert {(fit.variant, fit.num_points) for fit in fit_knobs(summaries_of(both))} == {
        ("mask-virtual-host", 4),
        ("splice", 4),
    }


def test_what_does_not_determine_a_fit_has_none():
    assert fit_knobs(()) == ()
    assert fit_knobs(summaries_of(map(make_configuration, (4, 8, 16)))) == ()
    one_depth = knob_configurations((16,), moe_top_k=(2, 4, 8))
    assert fit_knobs(summaries_of(one_depth)) == ()
    failed = summaries_of(knob_configurations((8, 16), moe_top_k=(2, 8)))[:3]
    assert fit_knobs(failed) == ()


def test_a_departure_lowers_r2():
    summaries = summaries_of(knob_configurations(moe_top_k=(2, 4, 8)))
    far = replace(summaries[4].prefill, p50=summaries[4].prefill.p50 * 1.5)
    summaries[4] = replace(summaries[4], prefill=far)
    assert fit_knobs(summaries)[0].r2 < 0.99
