"""The first lines of a report: what was measured, and what came out, in plain language."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from maskprof.config.knobs import varying_knobs
from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.columns import KNOB_LABELS
from maskprof.reports.knob_tables import leading_fits
from maskprof.reports.tables import Group, full_summaries, group_of, share_of_full
from maskprof.results.schema import ConfigurationSummary, Estimate, Fit, KnobFit, RunResult, Statistics

_Doubt = Literal["wide", "few"]
"""Why something cannot be told: its interval holds zero, or there are too few samples for an interval."""


@dataclass(frozen=True, slots=True)
class _Said:
    """A part of the headline, and what leaves it open."""

    text: str = ""
    doubts: frozenset[_Doubt] = frozenset()


def subject(result: RunResult) -> str:
    """The model and where it ran: `tiny · 16 blocks · 12.3 M parameters · float32 · cpu`."""
    model = result.model
    facts = [
        model.name,
        count(model.num_blocks, "block"),
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

    Of the first variant measured, and of the largest setting of the knobs that was. What the intervals leave open is
    said to be open, and what would tell.
    """
    if not result.summary:
        return "No configuration could be measured."
    group = leading_group(result)
    variant, knobs = group
    costs = _cost_sentence([fit for fit in result.fits if (fit.variant, fit.knobs) == group])
    saving = _saving(result, group)
    buys = _buys_sentence([fit for fit in leading_fits(result) if fit.variant == variant])
    doubts = costs.doubts | saving.doubts | buys.doubts
    sentence = "; ".join(part for part in (costs.text, saving.text) if part)
    if not sentence:
        parts = (_range_sentence(result), buys.text, _what_would_tell(result, doubts))
        return " ".join(part for part in parts if part)
    several = len({summary.configuration.variant for summary in result.summary}) > 1
    where = [f"with {variant}"] if several else []
    varying = varying_knobs(summary.configuration.knobs for summary in result.summary)
    if varying:
        where.append(f"at {_listed([f'{KNOB_LABELS[knob]} {knobs.value(knob)}' for knob in varying])}")
    sentence = ", ".join([*where, sentence])
    sentence = f"{sentence[0].upper()}{sentence[1:]}."
    return " ".join(part for part in (sentence, buys.text, _what_would_tell(result, doubts)) if part)


def leading_group(result: RunResult) -> Group:
    """The first variant at the largest setting of the knobs that was measured of it; there must be a summary."""
    variant = result.summary[0].configuration.variant
    settings = [s.configuration.knobs for s in result.summary if s.configuration.variant == variant]
    return variant, max(settings, key=lambda knobs: [value or 0 for value in knobs.to_dict().values()])


def _buys_sentence(fits: list[KnobFit]) -> _Said:
    """What halving each knob saves of the total, the largest first; what cannot be told is named."""
    totals = [fit for fit in fits if fit.phase == "total"]
    if not totals:
        return _Said()
    # Each fit has a saving by depth; the one of the most points is known best.
    savings = [("blocks", max(totals, key=lambda fit: fit.num_points).halving_blocks_ms)]
    savings += [(KNOB_LABELS[fit.knob], fit.halving_knob_ms) for fit in totals]
    savings.sort(key=lambda saving: -saving[1].value)
    clear = [f"the {name} {units.duration_ms(found.value)}" for name, found in savings if _is_clear(found)]
    untold = {f"the {name}": doubt for name, found in savings if (doubt := _doubt(found.ci95))}
    doubts = frozenset(untold.values())
    unclear = f"what halving {_listed(list(untold))} saves cannot be told" if untold else ""
    if not clear:
        return _Said(
            f"{unclear[0].upper()}{unclear[1:]}." if unclear else "No knob measurably buys anything.", doubts
        )
    (name, most), *_ = savings
    if not _is_clear(most):
        return _Said(f"Of the total, halving saves: {_listed(clear)}; {unclear}.", doubts)
    sentence = f"Of the total, halving the {name} buys most: {units.duration_ms(most.value)}"
    rest = (f"halving {_listed(clear[1:])}" if clear[1:] else "", unclear)
    return _Said("; ".join(part for part in (sentence, *rest) if part) + ".", doubts)


def _is_clear(saving: Estimate) -> bool:
    return saving.value > 0 and _doubt(saving.ci95) is None


def _doubt(interval: tuple[float, float] | None) -> _Doubt | None:
    """Why it cannot be told on which side of zero a figure is; None where it can."""
    if interval is None:
        return "few"
    return None if interval[0] > 0 or interval[1] < 0 else "wide"


def _what_would_tell(result: RunResult, doubts: frozenset[_Doubt]) -> str:
    # Here and not above: it brings numpy, which `maskprof report --help` has no use for.
    from maskprof.serial import MIN_SAMPLES_FOR_INTERVAL  # noqa: PLC0415

    counts = sorted({summary.num_samples for summary in result.summary})
    least, most = counts[0], counts[-1]
    samples = count(most, "sample") if least == most else f"{least} to {most} samples"
    if "few" in doubts and least < MIN_SAMPLES_FOR_INTERVAL:
        return (
            f"{samples[0].upper()}{samples[1:]} per configuration cannot tell it from chance: there are intervals from "
            f"{MIN_SAMPLES_FOR_INTERVAL} on (--num_samples)."
        )
    if doubts:
        return f"More than {samples} per configuration (--num_samples) or a quieter machine would tell."
    return ""


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _range_sentence(result: RunResult) -> str:
    """Where neither depth nor the full model gives a comparison: the range of what was measured."""
    medians = sorted(summary.prefill.p50 for summary in result.summary)
    lowest, highest = units.duration_ms(medians[0]), units.duration_ms(medians[-1])
    reach = lowest if lowest == highest else f"{lowest} to {highest}"
    return f"Prefill takes {reach} ({count(len(medians), 'configuration')} measured)."


def _cost_sentence(fits: list[Fit]) -> _Said:
    by_phase = {fit.phase: fit for fit in fits}
    words = (("prefill", "of prefill"), ("decode_per_token", "per decoded token"))
    found = [(label, by_phase[phase]) for phase, label in words if phase in by_phase]
    if not found:
        return _Said()
    doubts = {label: doubt for label, fit in found if (doubt := _doubt(fit.slope_ci95))}
    told = [
        f"{'about ' if label in doubts else ''}{units.duration_ms(fit.slope_ms_per_block)} {label}"
        for label, fit in found
        if fit.slope_ms_per_block > 0 and doubts.get(label) != "wide"
    ]
    wide = [label for label, doubt in doubts.items() if doubt == "wide"]
    parts = [f"each active block costs {' and '.join(told)}"] if told else []
    if wide:
        parts.append(
            f"what {'it' if told else 'an active block'} costs{f' {wide[0]}' if told else ''} cannot be told"
        )
    text = ", ".join(parts) or "latency does not grow with the number of active blocks"
    return _Said(text, frozenset(doubts.values()))


def grows(fit: Fit) -> bool:
    """Whether latency measurably grows with depth."""
    return fit.slope_ms_per_block > 0 and _doubt(fit.slope_ci95) is None


def _saving(result: RunResult, group: Group) -> _Said:
    full = full_summaries(result)
    masked = [
        summary
        for summary in result.summary
        if group_of(summary) == group and summary.configuration.num_skipped_blocks
    ]
    if group not in full or not masked:
        return _Said()
    half = min(masked, key=_distance_from_half)
    configuration = half.configuration
    share = share_of_full(half, full, "prefill")
    if share is None:
        return _Said()
    ideal = configuration.num_active_blocks / configuration.num_total_blocks
    one = configuration.num_active_blocks == 1
    which = f"{configuration.num_active_blocks} of {configuration.num_total_blocks} blocks"
    apart = _apart(half.prefill, full[group].prefill)
    if apart == "wide":
        return _Said(
            f"whether {which} {'is' if one else 'are'} faster than all cannot be told", frozenset({apart})
        )
    about = "" if apart is None else "about "
    return _Said(
        f"{which} {'runs' if one else 'run'} at {about}{units.percent(share)} of full prefill "
        f"(ideal {units.percent(ideal)})",
        frozenset() if apart is None else frozenset({apart}),
    )


def _apart(one: Statistics, other: Statistics) -> _Doubt | None:
    """Why two medians cannot be told apart; None where their intervals do not touch."""
    if one.median_ci95 is None or other.median_ci95 is None:
        return "few"
    below, above = sorted((one.median_ci95, other.median_ci95))
    return "wide" if above[0] <= below[1] else None


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
    tokens = "token" if (text, vision) == ("1", "0") else "tokens"
    return f"{text} text{images} {tokens} in, {output} out"


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"


def _magnitude(value: int) -> str:
    for factor, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        # 999 950 would be shown as 1000 k.
        if value >= 0.9995 * factor:
            return f"{units.significant(value / factor)}{letter}"
    return str(value)
