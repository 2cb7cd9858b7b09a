"""The first lines of a report: what was measured, and what came out, in plain language."""

from collections.abc import Sequence

from maskprof.config.knobs import varying_knobs
from maskprof.reports import units
from maskprof.reports.columns import KNOB_LABELS
from maskprof.reports.knob_tables import leading_fits
from maskprof.reports.tables import Group, full_summaries, group_of, share_of_full
from maskprof.results.schema import ConfigurationSummary, Estimate, Fit, KnobFit, RunResult


def subject(result: RunResult) -> str:
    """The model and where it ran: `tiny · 16 blocks · 12.3 M parameters · float32 · cpu`."""
    model = result.model
    facts = [
        model.name,
        units.count(model.num_blocks, "block"),
        f"{_magnitude(model.num_parameters)} parameters",
        model.dtype,
    ]
    device = result.environment.get("device")
    if isinstance(device, str):
        facts.append(device)
    tokens = _tokens(result)
    if tokens:
        facts.append(tokens)
    return " · ".join(facts)


def headline(result: RunResult) -> str:
    """What a block costs, what skipping about half of them saves, and which knob buys most.

    Of the first variant measured, and of the largest setting of the knobs that was.
    """
    if not result.summary:
        return "No configuration could be measured."
    group = leading_group(result)
    variant, knobs = group
    costs = _cost_sentence([fit for fit in result.fits if (fit.variant, fit.knobs) == group])
    sentence = "; ".join(part for part in (costs, _saving(result, group)) if part)
    buys = _buys_sentence([fit for fit in leading_fits(result) if fit.variant == variant])
    if not sentence:
        return " ".join(part for part in (_range_sentence(result), buys) if part)
    several = len({summary.configuration.variant for summary in result.summary}) > 1
    where = [f"with {variant}"] if several else []
    varying = varying_knobs(summary.configuration.knobs for summary in result.summary)
    if varying:
        where.append(f"at {_listed([f'{KNOB_LABELS[knob]} {knobs.value(knob)}' for knob in varying])}")
    sentence = ", ".join([*where, sentence])
    return " ".join(part for part in (f"{sentence[0].upper()}{sentence[1:]}.", buys) if part)


def leading_group(result: RunResult) -> Group:
    """The first variant at the largest setting of the knobs that was measured of it; there must be a summary."""
    variant = result.summary[0].configuration.variant
    settings = [s.configuration.knobs for s in result.summary if s.configuration.variant == variant]
    return variant, max(settings, key=lambda knobs: [value or 0 for value in knobs.to_dict().values()])


def _buys_sentence(fits: list[KnobFit]) -> str:
    """What halving each knob saves of the total, the largest first; a saving that may be none is left out."""
    totals = [fit for fit in fits if fit.phase == "total"]
    if not totals:
        return ""
    # Each fit has a saving by depth; the one of the most points is known best.
    savings = [("blocks", max(totals, key=lambda fit: fit.num_points).halving_blocks_ms)]
    savings += [(KNOB_LABELS[fit.knob], fit.halving_knob_ms) for fit in totals]
    savings.sort(key=lambda saving: -saving[1].value)
    clear = [f"the {name} {units.duration_ms(found.value)}" for name, found in savings if _is_clear(found)]
    if not clear:
        return "No knob measurably buys anything."
    (name, most), *_ = savings
    if not _is_clear(most):
        return f"Of the total, halving saves: {_listed(clear)}; what the {name} would save is not clear."
    sentence = f"Of the total, halving the {name} buys most: {units.duration_ms(most.value)}"
    return f"{sentence}; halving {_listed(clear[1:])}." if clear[1:] else f"{sentence}."


def _is_clear(saving: Estimate) -> bool:
    return saving.value > 0 and (saving.ci95 is None or saving.ci95[0] > 0)


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _range_sentence(result: RunResult) -> str:
    """Where neither depth nor the full model gives a comparison: the range of what was measured."""
    medians = sorted(summary.prefill.p50 for summary in result.summary)
    lowest, highest = units.duration_ms(medians[0]), units.duration_ms(medians[-1])
    reach = lowest if lowest == highest else f"{lowest} to {highest}"
    return f"Prefill takes {reach} ({units.count(len(medians), 'configuration')} measured)."


def _cost_sentence(fits: list[Fit]) -> str:
    by_phase = {fit.phase: fit for fit in fits}
    labels = (("prefill", "prefill"), ("decode_per_token", "decoded token"))
    found = [(label, by_phase[phase]) for phase, label in labels if phase in by_phase]
    clear = [(label, fit) for label, fit in found if grows(fit)]
    if not found:
        return ""
    if not clear:
        return "latency does not measurably grow with the number of active blocks"
    words = {"prefill": "of prefill", "decoded token": "per decoded token"}
    parts = [f"{units.duration_ms(fit.slope_ms_per_block)} {words[label]}" for label, fit in clear]
    return f"each active block costs {' and '.join(parts)}"


def grows(fit: Fit) -> bool:
    """Whether latency measurably grows with depth."""
    return fit.slope_ms_per_block > 0 and (fit.slope_ci95 is None or fit.slope_ci95[0] > 0)


def _saving(result: RunResult, group: Group) -> str:
    full = full_summaries(result)
    masked = [
        summary
        for summary in result.summary
        if group_of(summary) == group and summary.configuration.num_skipped_blocks
    ]
    if group not in full or not masked:
        return ""
    half = min(masked, key=_distance_from_half)
    configuration = half.configuration
    share = share_of_full(half, full, "prefill")
    if share is None:
        return ""
    ideal = configuration.num_active_blocks / configuration.num_total_blocks
    verb = "runs" if configuration.num_active_blocks == 1 else "run"
    return (
        f"{configuration.num_active_blocks} of {configuration.num_total_blocks} blocks {verb} at "
        f"{units.percent(share)} of full prefill (ideal {units.percent(ideal)})"
    )


def _distance_from_half(summary: ConfigurationSummary) -> float:
    configuration = summary.configuration
    return abs(configuration.num_active_blocks - configuration.num_total_blocks / 2)


def _tokens(result: RunResult) -> str:
    """`10 text + 144 image tokens in, 10 out`; a range where the samples differ."""
    if not result.samples:
        return ""
    text = _range([s.num_input_text_tokens for s in result.samples])
    vision = _range([s.num_vision_tokens for s in result.samples])
    output = _range([s.num_output_tokens for s in result.samples])
    images = "" if vision == "0" else f" + {vision} image"
    return f"{text} text{images} tokens in, {output} out"


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"


def _magnitude(value: int) -> str:
    for factor, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        # 999 950 would be shown as 1000 k.
        if value >= 0.9995 * factor:
            return f"{units.significant(value / factor)}{letter}"
    return str(value)
