"""The first lines of a report: what was measured, and what came out, in plain language."""

from maskprof.reports import units
from maskprof.reports.tables import full_summaries, share_of_full
from maskprof.results.schema import ConfigurationSummary, Fit, RunResult


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
    """What a block costs and what skipping about half of them saves, of the first variant measured."""
    if not result.summary:
        return "No configuration could be measured."
    variant = result.summary[0].configuration.variant
    costs = _cost_sentence([fit for fit in result.fits if fit.variant == variant])
    sentence = "; ".join(part for part in (costs, _saving(result, variant)) if part)
    if not sentence:
        return _range_sentence(result)
    several = len({summary.configuration.variant for summary in result.summary}) > 1
    if several:
        sentence = f"with {variant}, {sentence}"
    return f"{sentence[0].upper()}{sentence[1:]}."


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
    clear = [(label, fit) for label, fit in found if _grows(fit)]
    if not found:
        return ""
    if not clear:
        return "latency does not measurably grow with the number of active blocks"
    words = {"prefill": "of prefill", "decoded token": "per decoded token"}
    parts = [f"{units.duration_ms(fit.slope_ms_per_block)} {words[label]}" for label, fit in clear]
    return f"each active block costs {' and '.join(parts)}"


def _grows(fit: Fit) -> bool:
    return fit.slope_ms_per_block > 0 and (fit.slope_ci95 is None or fit.slope_ci95[0] > 0)


def _saving(result: RunResult, variant: str) -> str:
    full = full_summaries(result)
    masked = [
        summary
        for summary in result.summary
        if summary.configuration.variant == variant and summary.configuration.num_skipped_blocks
    ]
    if variant not in full or not masked:
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
    """`in: 10 text + 144 vision tokens, out: 10`, where all samples agree."""
    kinds = {(s.num_input_text_tokens, s.num_vision_tokens, s.num_output_tokens) for s in result.samples}
    if len(kinds) != 1:
        return ""
    text, vision, output = kinds.pop()
    images = f" + {vision} image" if vision else ""
    return f"{text} text{images} tokens in, {output} out"


def _magnitude(value: int) -> str:
    for factor, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        # 999 950 would be shown as 1000 k.
        if value >= 0.9995 * factor:
            return f"{units.significant(value / factor)}{letter}"
    return str(value)
