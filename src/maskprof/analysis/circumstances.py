"""What the reader should know about how a run went: the machine, the warm-up, drift, samples that tell little."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from maskprof import serial
from maskprof.counted_nouns import count
from maskprof.machine import checks
from maskprof.machine.nvml import GpuFacts
from maskprof.machine.processor import Processor
from maskprof.results.circumstances import Finding, Sitting, Warmup
from maskprof.results.schema import ConfigurationSummary, Sample

_DRIFT = 0.05
_STILL_WARM = 0.05
# Rounds that differ by less, as share of the time, count as alike.
_TOLERANCE = 0.02
_ROUNDS_FOR_DRIFT = 12
_TELLING_SHARE = 0.25
# More sittings than these are not listed one by one.
_SHOWN_SITTINGS = 4


def findings(
    environment: Mapping[str, Any],
    sittings: Sequence[Sitting],
    samples: Sequence[Sample],
    summaries: Sequence[ConfigurationSummary],
) -> tuple[Finding, ...]:
    """What can have spoilt the figures of a run, worst first; nothing where all went well.

    Where the samples are of several sittings, that is said, and of each warning in which of them it was seen.

    Args:
        environment: of the command that saves the result; it stands for sittings whose own was not kept.
        sittings: all of the run; those without a sample explain none.
        samples: all of the run.
        summaries: of these samples.
    """
    effects = round_effects(samples)
    numbers = sorted({s.sitting for s in samples} or {s.number for s in sittings[-1:]} or {1})
    of_number = {number: [s for s in sittings if s.number == number] for number in numbers}
    seen: dict[Finding, list[int]] = {}
    for number, own in of_number.items():
        for finding in _of_sitting(own, environment):
            # Of several configurations in processes of their own the same may be said twice.
            if number not in seen.setdefault(finding, []):
                seen[finding].append(number)
    several = len(numbers) > 1
    found = [_placed(finding, where) if several else finding for finding, where in seen.items()]
    if several:
        found += [_told_apart(of_number, samples), *_between_sittings(samples)]
    found += [*_of_first_rounds(effects), *([] if several else _of_drift(effects)), *_of_samples(summaries)]
    return tuple(sorted(found, key=lambda finding: not finding.is_warning))


def _of_sitting(stretches: Sequence[Sitting], environment: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    for stretch in stretches:
        own = stretch.environment or environment
        found += _of_settings(own)
        found += checks.of_states(stretch.states, own.get("cpu_count") or 1)
        found += _of_warmup(stretch.warmup)
    return found if stretches else _of_settings(environment)


def _placed(finding: Finding, numbers: Sequence[int]) -> Finding:
    """What was seen in some of several sittings, with their numbers."""
    *first, last = map(str, numbers)
    where = f"sittings {', '.join(first)} and {last}" if first else f"sitting {last}"
    return replace(finding, text=f"in {where}, {finding.text}")


def _told_apart(of_number: Mapping[int, Sequence[Sitting]], samples: Sequence[Sample]) -> Finding:
    counts = Counter(sample.sitting for sample in samples)
    begun = {number: next((_minute(s.environment) for s in own), "") for number, own in of_number.items()}
    if len(of_number) <= _SHOWN_SITTINGS:
        each = [
            f"sitting {number}{begun[number] and f', begun {begun[number]},'} with {count(counts[number], 'sample')}"
            for number in of_number
        ]
        details = ": " + "; ".join(each)
    else:
        known = [begun[number] for number in of_number if begun[number]]
        details = f", begun {known[0]} to {known[-1]}" if known else ""
    text = f"measured in {len(of_number)} sittings, by --resume{details}"
    return Finding(topic="sittings", is_warning=False, text=text)


def _minute(environment: Mapping[str, Any]) -> str:
    """`2026-11-24 10:15` of an environment's time; empty where there is none."""
    time = environment.get("time")
    return time[:16].replace("T", " ") if isinstance(time, str) else ""


def _between_sittings(samples: Sequence[Sample]) -> list[Finding]:
    """Sittings whose rounds were clearly slower or faster than the first's; where there is none, drift over all."""
    # Rounds go on counting, so each is of one sitting.
    sitting_of = {sample.round: sample.sitting for sample in samples if not sample.reference}
    effects: defaultdict[int, list[float]] = defaultdict(list)
    for number, effect in zip(sorted(sitting_of), round_effects(samples), strict=True):
        effects[sitting_of[number]].append(effect)
    enough = {number: own for number, own in effects.items() if len(own) >= serial.MIN_SAMPLES_FOR_INTERVAL}
    found = []
    for number, own in list(enough.items())[1:]:
        first = next(iter(enough))
        if change := _clear_change(enough[first], own):
            direction = "slower" if change > 0 else "faster"
            text = f"sitting {number} ran {_percent(change)} {direction} than sitting {first}"
            found.append(_warning("drift", text, "measure in one sitting what is to be compared closely"))
    return found or _of_drift([effect for own in effects.values() for effect in own])


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


def _of_warmup(warmup: Warmup | None) -> list[Finding]:
    if warmup is None or warmup.ended != "cap":
        return []
    text = f"times still changed after {count(warmup.rounds, 'round')}, and measuring began before they had settled"
    return [_warning("warm-up", text, "a larger --num_warmup, on a quieter machine")]


def _of_first_rounds(effects: Sequence[float]) -> list[Finding]:
    """Of the run's first rounds, when they were still warming up."""
    found: list[Finding] = []
    if len(effects) < _ROUNDS_FOR_DRIFT:
        return found
    start = serial.change_point(effects, _TOLERANCE)
    if not start or 2 * start >= len(effects):
        return found
    before, after = median(effects[:start]), median(effects[start:])
    if before > after * (1 + _STILL_WARM):
        rounds = "measured round was" if start == 1 else f"{start} measured rounds were"
        text = f"the first {rounds} {_percent(before / after - 1)} slower than the others"
        found.append(_warning("warm-up", text, f"--num_warmup {start + 3} or more"))
    return found


def _of_drift(effects: Sequence[float]) -> list[Finding]:
    if len(effects) < _ROUNDS_FOR_DRIFT:
        return []
    third = len(effects) // 3
    change = _clear_change(effects[:third], effects[-third:])
    if not change:
        return []
    direction = "slower" if change > 0 else "faster"
    text = f"the machine became {_percent(change)} {direction} in the course of the run"
    return [_warning("drift", text, "compare within this run, not with others")]


def _clear_change(before: Sequence[float], after: Sequence[float]) -> float:
    """By which share the median changed; 0 where that is little, or may be chance."""
    change = median(after) / median(before) - 1
    apart = _interval(before)[1] < _interval(after)[0] or _interval(after)[1] < _interval(before)[0]
    return change if abs(change) >= _DRIFT and apart else 0.0


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


def _percent(change: float) -> str:
    return f"{100 * abs(change):.0f} %"


def _warning(topic: str, text: str, advice: str) -> Finding:
    return Finding(topic=topic, is_warning=True, text=text, advice=advice)
