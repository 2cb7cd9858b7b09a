"""What a report says in sentences after its headline: the skip path, the line, how the run went, what is missing."""

from dataclasses import dataclass
from statistics import median

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.headline import grows, leading_group
from maskprof.reports.remarks import sentences
from maskprof.reports.tables import full_summaries
from maskprof.results.schema import Closure, Fit, RunResult

_PHASES = {"prefill": "in prefill", "decode": "per decode step"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number that a reader takes away: `12.3 ms`, what it is, and how sure."""

    value: str
    label: str
    note: str = ""


def key_figures(result: RunResult) -> tuple[Figure, ...]:
    """The slope and the fixed part of prefill and decode, of what the headline speaks of; clear ones only."""
    if not result.summary:
        return ()
    group = leading_group(result)
    fits = {fit.phase: fit for fit in result.fits if (fit.variant, fit.knobs) == group and grows(fit)}
    found = []
    for phase, words in (("prefill", "of prefill"), ("decode_per_token", "per decoded token")):
        if phase in fits:
            found.append(_slope(fits[phase], words))
    full = full_summaries(result).get(group)
    if "prefill" in fits and full is not None and full.prefill.p50 > 0:
        found += _fixed_part(fits["prefill"], full.prefill.p50)
    skipping = _skip_figure(result)
    return (*found, skipping) if skipping else tuple(found)


def _fixed_part(fit: Fit, full_ms: float) -> list[Figure]:
    """What is in no block; nothing where its interval says that it may be nothing."""
    if fit.intercept_ci95 is None or not 0 < fit.intercept_ci95[0] <= fit.intercept_ms <= full_ms:
        return []
    low, high = (units.percent(bound / full_ms) for bound in fit.intercept_ci95)
    return [
        Figure(
            value=units.percent(fit.intercept_ms / full_ms),
            label="of full prefill is in no block",
            note=f"what no mask can save; 95 %: {low} to {high}",
        )
    ]


def findings(result: RunResult) -> tuple[str, ...]:
    """Sentences beside the headline, each with its figures; those without figures are left out."""
    found = [_skip_sentence(result), _line_sentence(result)]
    explained = sentences([finding for finding in result.findings if not finding.is_warning])
    return (*(sentence for sentence in found if sentence), *explained)


def warnings(result: RunResult) -> tuple[str, ...]:
    """What is missing from this result, so that nobody takes it for whole, and what can have spoilt its figures."""
    found = []
    measured = {summary.configuration.name: summary.num_samples for summary in result.summary}
    asked = result.config.get("num_samples")
    absent = [c.name for c in result.configurations if c.name not in measured]
    if absent:
        found.append(
            f"{count(len(absent), 'configuration')} of {len(result.configurations)} "
            f"{'has' if len(absent) == 1 else 'have'} no samples: {_some(absent)}."
        )
    if isinstance(asked, int):
        short = [name for name, number in measured.items() if number < asked]
        if short:
            found.append(
                f"{count(len(short), 'configuration')} {'has' if len(short) == 1 else 'have'} fewer than the "
                f"{count(asked, 'sample')} asked for: the run was interrupted or parts of it failed."
            )
    if result.failures:
        found.append(f"{count(len(result.failures), 'failure')}: see the table of failures below.")
    found += sentences([finding for finding in result.findings if finding.is_warning])
    return tuple(found)


def _slope(fit: Fit, words: str) -> Figure:
    note = f"95 %: {_between(fit.slope_ci95)}" if fit.slope_ci95 else ""
    return Figure(
        value=units.duration_ms(fit.slope_ms_per_block), label=f"{words} for each active block", note=note
    )


def _between(interval_ms: tuple[float, float]) -> str:
    return f"{units.duration_ms(interval_ms[0])} to {units.duration_ms(interval_ms[1])}"


def _closures(result: RunResult, phase: str) -> list[Closure]:
    return [c for item in result.attribution for c in item.closure if c.phase == phase and c.skipped_blocks]


def _skip_figure(result: RunResult) -> Figure | None:
    traced = [
        c.attributed_us / c.skipped_blocks for c in _closures(result, "decode") if c.attributed_us is not None
    ]
    if not traced or median(traced) <= 0:
        return None
    return Figure(
        value=units.duration_us(median(traced)),
        label="on the host for each skipped block and decode step",
        note="from the traces, an upper bound",
    )


def _skip_sentence(result: RunResult) -> str:
    """What the clean comparison of masked with removed blocks can tell, and what it cannot."""
    parts = []
    for phase, words in _PHASES.items():
        clean = [
            (c.clean_us / c.skipped_blocks, c.clean_ci95_us[0] > 0)
            for c in _closures(result, phase)
            if c.clean_us is not None and c.clean_ci95_us is not None
        ]
        if not clean:
            continue
        clear = sum(above for _, above in clean)
        if 2 * clear >= len(clean):
            value = units.duration_us(median(value for value, _ in clean))
            parts.append(
                f"{value} {words} (clearly above zero in {clear} of {count(len(clean), 'configuration')})"
            )
        else:
            of_all = f"{len(clean) - clear} of {count(len(clean), 'configuration')}"
            parts.append(f"nothing {words} that can be told from zero in {of_all}")
    if not parts:
        return ""
    return (
        "Measured clean, against the same model with the blocks removed, a skipped block costs "
        f"{' and '.join(parts)}."
    )


def _line_sentence(result: RunResult) -> str:
    off = {name for fit in result.fits for name, _ in fit.departures}
    lines = [fit for fit in result.fits if fit.r2 is not None]
    if not lines or not off:
        return ""
    return (
        f"Latency is not a straight line everywhere: {count(len(off), 'configuration')} "
        f"{'departs from it by more than its' if len(off) == 1 else 'depart from it by more than their'} interval."
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown  # noqa: PLR2004 - three are enough
