"""What the reader should know about how a run went: the machine, the warm-up, drift, samples that tell little."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from maskprof import serial
from maskprof.machine import checks
from maskprof.machine.nvml import GpuFacts
from maskprof.machine.processor import Processor
from maskprof.results.circumstances import Finding, Sitting
from maskprof.results.schema import ConfigurationSummary, Sample

_DRIFT = 0.05
_STILL_WARM = 0.05
# Rounds that differ by less, as share of the time, count as alike.
_TOLERANCE = 0.02
_ROUNDS_FOR_DRIFT = 12
_TELLING_SHARE = 0.25


def findings(
    environment: Mapping[str, Any],
    sittings: Sequence[Sitting],
    samples: Sequence[Sample],
    summaries: Sequence[ConfigurationSummary],
) -> tuple[Finding, ...]:
    """What can have spoilt the figures of a run, all of it warnings; nothing where all went well."""
    processors = environment.get("cpu_count") or 1
    effects = round_effects(samples)
    found = [
        *_of_settings(environment),
        *(finding for sitting in sittings for finding in checks.of_states(sitting.states, processors)),
        *_of_warmup(sittings, effects),
        *_of_drift(effects),
        *_of_samples(summaries),
    ]
    # Of several sittings the same may be said twice.
    return tuple(dict.fromkeys(found))


def _of_settings(environment: Mapping[str, Any]) -> list[Finding]:
    """Of how the machine is set, what can spoil figures; what only explains them is the doctor's to say."""
    processor, gpu = environment.get("processor"), environment.get("gpu")
    found = [
        *(
            checks.of_processor(Processor(**processor), environment.get("threads"))
            if isinstance(processor, Mapping)
            else ()
        ),
        *(
            checks.of_gpu(GpuFacts(**gpu), environment.get("process_ids", ()))
            if isinstance(gpu, Mapping)
            else ()
        ),
    ]
    return [finding for finding in found if finding.is_warning]


def round_effects(samples: Sequence[Sample]) -> list[float]:
    """Per round, in order, how long it took compared with what is usual: the median over its configurations."""
    totals: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if not sample.reference:
            totals[sample.configuration].append(sample)
    ratios: defaultdict[int, list[float]] = defaultdict(list)
    for own in totals.values():
        usual = median(sample.total_ms for sample in own)
        for sample in own:
            ratios[sample.round].append(sample.total_ms / usual if usual > 0 else 1.0)
    return [median(ratios[number]) for number in sorted(ratios)]


def _of_warmup(sittings: Sequence[Sitting], effects: Sequence[float]) -> list[Finding]:
    found = []
    for sitting in sittings:
        warmup = sitting.warmup
        if warmup.ended == "cap":
            text = f"times still changed after {warmup.rounds} rounds, and measuring began before they had settled"
            found.append(_warning("warm-up", text, "a larger --num_warmup, on a quieter machine"))
    if len(effects) < _ROUNDS_FOR_DRIFT:
        return found
    start = serial.change_point(effects, _TOLERANCE)
    if not start or 2 * start >= len(effects):
        return found
    before, after = median(effects[:start]), median(effects[start:])
    if before > after * (1 + _STILL_WARM):
        text = f"the first {start} measured rounds were {before / after - 1:.0%} slower than the others"
        found.append(_warning("warm-up", text, f"--num_warmup {start + 3} or more"))
    return found


def _of_drift(effects: Sequence[float]) -> list[Finding]:
    if len(effects) < _ROUNDS_FOR_DRIFT:
        return []
    third = len(effects) // 3
    first, last = effects[:third], effects[-third:]
    change = median(last) / median(first) - 1
    apart = _interval(first)[1] < _interval(last)[0] or _interval(last)[1] < _interval(first)[0]
    if abs(change) < _DRIFT or not apart:
        return []
    direction = "slower" if change > 0 else "faster"
    text = f"the machine became {abs(change):.0%} {direction} in the course of the run"
    return [_warning("drift", text, "compare within this run, not with others")]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    # Of these very rounds: a few stalls in a row, which might be more another time, do not hide that most have changed.
    return serial.median_interval(values, independent=True) or (min(values), max(values))


def _of_samples(summaries: Sequence[ConfigurationSummary]) -> list[Finding]:
    told = [
        (found.effective_samples / summary.num_samples, summary, found.effective_samples)
        for summary in summaries
        if (found := summary.total).effective_samples is not None
    ]
    few = [entry for entry in told if entry[0] < _TELLING_SHARE]
    if len(few) * 2 <= len(told):
        return []
    _, summary, effective = sorted(few, key=lambda entry: entry[0])[len(few) // 2]
    text = (
        f"neighbouring samples are alike: {summary.num_samples} of them tell about as much as {effective:.0f} "
        f"independent ones ({summary.configuration.name})"
    )
    return [_warning("samples", text, "more --num_samples; the intervals are wider for it already")]


def _warning(topic: str, text: str, advice: str) -> Finding:
    return Finding(topic=topic, is_warning=True, text=text, advice=advice)
