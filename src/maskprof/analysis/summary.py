"""Clean samples to statistics, lines over depth, and the skip path's cost measured without a profiler."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from maskprof import serial, stats
from maskprof.config.knobs import Knobs
from maskprof.errors import ResultError
from maskprof.results.schema import (
    Closure,
    Configuration,
    ConfigurationSummary,
    Fit,
    PhaseCost,
    Sample,
    Statistics,
)

FITTED_PHASES = ("prefill", "decode_per_token", "total")
# A departure from the line smaller than this share of it is not worth a line of a report.
_DEPARTURE_SHARE = 0.02
_US_PER_MS = 1000.0


PhaseErrors = Callable[[str, Sequence[Configuration]], serial.MedianErrors | None]
"""How the medians of configurations are off together in a phase; None where they have too few samples."""


def summarize(configuration: Configuration, samples: Sequence[Sample]) -> ConfigurationSummary:
    """The statistics of one configuration, in ms.

    Of `samples` only those of this configuration count, and no removed-blocks reference runs.

    Raises:
        ResultError: none of the samples is of this configuration, or a time of one is not a finite number.
    """
    own = _in_time(s for s in samples if s.configuration == configuration.name and not s.reference)
    if not own:
        raise ResultError(f"configuration {configuration.name} has no samples, so it has no statistics")
    for sample in own:
        if not all(
            map(math.isfinite, (sample.vision_ms, sample.prefill_ms, sample.decode_ms, sample.total_ms))
        ):
            raise ResultError(
                f"sample {sample.sample_id} of configuration {configuration.name} has a time that is not a finite "
                "number, so there are no statistics"
            )
    has_vision = any(s.num_vision_tokens or s.vision_ms for s in own)
    per_token = [s.decode_per_token_ms for s in own if s.decode_per_token_ms is not None]
    return ConfigurationSummary(
        configuration=configuration,
        num_samples=len(own),
        vision=_statistics([s.vision_ms for s in own]) if has_vision else None,
        prefill=_statistics([s.prefill_ms for s in own]),
        decode=_statistics([s.decode_ms for s in own]),
        decode_per_token=_statistics(per_token) if per_token else None,
        total=_statistics([s.total_ms for s in own]),
    )


def errors_of(samples: Sequence[Sample]) -> PhaseErrors:
    """How medians are off together, from the clean samples, in which rounds tell what belongs together."""
    series: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in _in_time(s for s in samples if not s.reference):
        series[sample.configuration].append(sample)

    def errors(phase: str, configurations: Sequence[Configuration]) -> serial.MedianErrors | None:
        timed = [
            [(s.round, ms) for s in series[c.name] if (ms := _phase_ms(s, phase)) is not None]
            for c in configurations
        ]
        return serial.median_errors(
            [[number for number, _ in values] for values in timed],
            [[ms for _, ms in values] for values in timed],
        )

    return errors


def fit_lines(summaries: Sequence[ConfigurationSummary], samples: Sequence[Sample] = ()) -> tuple[Fit, ...]:
    """A line through the medians over the number of active blocks, per variant, setting of the knobs and phase.

    A group with fewer than two different depths has no line. The intervals come from `samples`, those that the
    medians are of; without them, from the medians' distances to the line.
    """
    errors = errors_of(samples)
    groups: defaultdict[tuple[str, Knobs], list[ConfigurationSummary]] = defaultdict(list)
    for summary in summaries:
        groups[summary.configuration.variant, summary.configuration.knobs].append(summary)
    fits = (
        _fit(phase, variant, knobs, members, errors)
        for (variant, knobs), members in groups.items()
        for phase in FITTED_PHASES
    )
    return tuple(fit for fit in fits if fit is not None)


def closures(
    configuration: Configuration, samples: Sequence[Sample], attribution_phases: Sequence[PhaseCost]
) -> tuple[Closure, ...]:
    """What skipping costs a whole phase, clean beside attributed, for `prefill` and `decode` (per step).

    Clean is masked minus removed blocks, paired by round, so that the machine's drift falls out of the
    difference. Attributed is the sum of the skipped blocks' turns on the host, on a GPU too: the skip path
    does its work there. No skipped block, or none that is in place, no closure.
    """
    if not configuration.num_skipped_blocks or configuration.skip_mode != "mask":
        return ()
    own = [s for s in samples if s.configuration == configuration.name]
    pairs = _pairs_by_round(own)
    attributed = {
        phase.phase: sum(block.host_us for block in phase.blocks if not block.active)
        for phase in attribution_phases
    }
    found = []
    for phase, measured in (("prefill", "prefill"), ("decode", "decode_per_token")):
        timed = [
            (masked_ms, removed_ms)
            for masked, removed in pairs
            if (masked_ms := _phase_ms(masked, measured)) is not None
            and (removed_ms := _phase_ms(removed, measured)) is not None
        ]
        if not timed and phase not in attributed:
            continue
        difference = (
            stats.paired_difference([masked for masked, _ in timed], [removed for _, removed in timed])
            if timed
            else None
        )
        interval = difference.ci95 if difference else None
        found.append(
            Closure(
                phase=phase,
                skipped_blocks=configuration.num_skipped_blocks,
                clean_us=difference.median * _US_PER_MS if difference else None,
                clean_ci95_us=(interval[0] * _US_PER_MS, interval[1] * _US_PER_MS) if interval else None,
                pairs=len(timed),
                attributed_us=attributed.get(phase),
                note=_note(has_pairs=bool(timed), has_trace=phase in attributed),
            )
        )
    return tuple(found)


def _note(*, has_pairs: bool, has_trace: bool) -> str | None:
    if not has_pairs:
        return "the model with the blocks removed was not measured"
    return None if has_trace else "no trace of this phase was recorded"


def _pairs_by_round(samples: Iterable[Sample]) -> list[tuple[Sample, Sample]]:
    """(masked, removed) of the same round; a sample without a partner takes no part."""
    rounds: defaultdict[int, tuple[list[Sample], list[Sample]]] = defaultdict(lambda: ([], []))
    for sample in sorted(samples, key=lambda s: s.sample_id):
        rounds[sample.round][sample.reference].append(sample)
    return [pair for _, sides in sorted(rounds.items()) for pair in zip(*sides, strict=False)]


def _in_time(samples: Iterable[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: (s.round, s.sample_id))


def _phase_ms(sample: Sample, phase: str) -> float | None:
    if phase == "decode_per_token":
        return sample.decode_per_token_ms
    return sample.prefill_ms if phase == "prefill" else sample.total_ms


def _fit(
    phase: str,
    variant: str,
    knobs: Knobs,
    summaries: Sequence[ConfigurationSummary],
    errors: PhaseErrors,
) -> Fit | None:
    points: list[tuple[Configuration, Statistics]] = [
        (summary.configuration, statistics)
        for summary in summaries
        if (statistics := getattr(summary, phase)) is not None
    ]
    depths = [configuration.num_active_blocks for configuration, _ in points]
    if len(set(depths)) < 2:  # noqa: PLR2004 - two points make a line
        return None
    medians = [statistics.p50 for _, statistics in points]
    off_together = errors(phase, [configuration for configuration, _ in points])
    line = stats.fit_line(depths, medians, off_together)
    on_line = stats.least_squares([(1.0, depth) for depth in depths], medians, off_together)
    return Fit(
        phase=phase,
        variant=variant,
        knobs=knobs,
        num_points=len(points),
        slope_ms_per_block=line.slope,
        intercept_ms=line.intercept,
        slope_ci95=line.slope_ci95,
        intercept_ci95=line.intercept_ci95,
        r2=line.r2,
        departures=tuple(
            (configuration.name, statistics.p50 - expected)
            for configuration, statistics in points
            for expected, interval in [on_line.combination((1.0, configuration.num_active_blocks))]
            # Without errors the interval comes from the departures themselves.
            if departs(statistics, expected, interval if off_together else None)
        ),
    )


def departs(statistics: Statistics, expected: float, line_ci95: tuple[float, float] | None = None) -> bool:
    """Whether line and median pass each other by more than their intervals and a small share.

    Without an interval of the median it cannot be told.
    """
    own = statistics.median_ci95
    if own is None:
        return False
    lower, upper = line_ci95 or (expected, expected)
    apart = lower > own[1] or upper < own[0]
    return apart and abs(statistics.p50 - expected) > _DEPARTURE_SHARE * abs(expected)


def _statistics(values: Sequence[float]) -> Statistics:
    described = stats.describe(values)
    return Statistics(
        p50=described.p50,
        p95=described.p95,
        p99=described.p99,
        mean=described.mean,
        std=described.std,
        min=described.min,
        max=described.max,
        median_ci95=described.p50_ci95,
        effective_samples=described.effective_samples,
    )
