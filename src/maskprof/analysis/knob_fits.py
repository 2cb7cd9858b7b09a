"""What each knob buys together with depth: a two-way fit through the medians."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from maskprof import stats
from maskprof.analysis.summary import FITTED_PHASES, PhaseErrors, errors_of
from maskprof.config.knobs import Knobs, varying_knobs
from maskprof.results.schema import ConfigurationSummary, Estimate, KnobFit, Sample


def fit_knobs(
    summaries: Sequence[ConfigurationSummary], samples: Sequence[Sample] = ()
) -> tuple[KnobFit, ...]:
    """For each knob that varies: latency = a + b * blocks + c * knob + d * blocks * knob, in each phase.

    One fit per variant and setting of the other knobs, so that nothing else differs between the points of a
    fit. A group without two depths and two values of the knob, each with each, has none. The intervals come
    from `samples`, those that the medians are of; without them, from the medians' distances to the fit.
    """
    found: list[KnobFit] = []
    errors = errors_of(samples)
    for knob in varying_knobs(summary.configuration.knobs for summary in summaries):
        groups: defaultdict[tuple[str, Knobs], list[ConfigurationSummary]] = defaultdict(list)
        for summary in summaries:
            configuration = summary.configuration
            groups[configuration.variant, replace(configuration.knobs, **{knob: None})].append(summary)
        for (variant, held), members in groups.items():
            fits = (_fit(phase, variant, knob, held, members, errors=errors) for phase in FITTED_PHASES)
            found += [fit for fit in fits if fit is not None]
    return tuple(found)


def _fit(
    phase: str,
    variant: str,
    knob: str,
    held: Knobs,
    summaries: Sequence[ConfigurationSummary],
    *,
    errors: PhaseErrors,
) -> KnobFit | None:
    points = [
        (s.configuration, value, statistics)
        for s in summaries
        if (statistics := getattr(s, phase)) is not None
        and (value := s.configuration.knobs.value(knob)) is not None
    ]
    try:
        fit = stats.least_squares(
            [(1.0, c.num_active_blocks, value, c.num_active_blocks * value) for c, value, _ in points],
            [statistics.p50 for *_, statistics in points],
            errors(phase, [configuration for configuration, *_ in points]),
        )
    except ValueError:
        # One depth, one value, or configurations that failed: what is there does not tell the four apart.
        return None
    blocks, value = max(c.num_active_blocks for c, *_ in points), max(value for _, value, _ in points)

    def estimate(*weights: float) -> Estimate:
        found, ci95 = fit.combination(weights)
        return Estimate(value=found, ci95=ci95)

    return KnobFit(
        phase=phase,
        variant=variant,
        knob=knob,
        held=held,
        num_points=len(points),
        intercept_ms=estimate(1, 0, 0, 0),
        ms_per_block=estimate(0, 1, 0, 0),
        ms_per_unit=estimate(0, 0, 1, 0),
        ms_per_block_and_unit=estimate(0, 0, 0, 1),
        r2=fit.r2,
        full_blocks=blocks,
        full_value=value,
        halving_blocks_ms=estimate(0, blocks / 2, 0, blocks * value / 2),
        halving_knob_ms=estimate(0, 0, value / 2, blocks * value / 2),
        halving_both_ms=estimate(0, blocks / 2, value / 2, blocks * value * 3 / 4),
    )
