"""A result as tables of text, shared by every report: latency, overhead, closure, fits, failures."""

from maskprof.config.knobs import Knobs, varying_knobs
from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.columns import (
    KNOB_LABELS,
    NAME_WIDTH,
    PHASE_LABELS,
    identity_columns,
    knob_columns,
    time_columns,
)
from maskprof.reports.cost_tables import closure_table, overhead_table
from maskprof.reports.knob_tables import knob_table
from maskprof.reports.layout import Column, Table
from maskprof.results.schema import ConfigurationSummary, Fit, RunResult
from maskprof.terminal_cells import cut_middle

_SHOWN_DEPARTURES = 3
# Lines for more settings of the knobs than these say less than the fit over the knobs does.
_MOST_LINES = 4

Group = tuple[str, Knobs]
"""A way of skipping and a setting of the knobs: what masks are compared within."""


def all_tables(result: RunResult) -> tuple[Table, ...]:
    """Every table that has a row, in the order of reading."""
    makers = (latency_table, overhead_table, closure_table, fit_table, knob_table, failure_table)
    return tuple(table for make in makers if (table := make(result)) is not None)


def group_of(summary: ConfigurationSummary) -> Group:
    """What the configuration shares with those that it is compared with."""
    return summary.configuration.variant, summary.configuration.knobs


def full_summaries(result: RunResult) -> dict[Group, ConfigurationSummary]:
    """Per group the configuration in which every block runs; a group without one is absent."""
    full: dict[Group, ConfigurationSummary] = {}
    for summary in result.summary:
        if not summary.configuration.num_skipped_blocks:
            full.setdefault(group_of(summary), summary)
    return full


def share_of_full(
    summary: ConfigurationSummary, full: dict[Group, ConfigurationSummary], phase: str
) -> float | None:
    """P50 of a phase over that of the full model in the same group; None where one of them is absent."""
    reference = full.get(group_of(summary))
    own, whole = getattr(summary, phase), getattr(reference, phase, None)
    return own.p50 / whole.p50 if own is not None and whole is not None and whole.p50 > 0 else None


def latency_table(result: RunResult) -> Table | None:
    """Per configuration: vision, prefill and decode per token, beside the share of the full model's."""
    summaries = result.summary
    if not summaries:
        return None
    full = full_summaries(result)
    columns = identity_columns([summary.configuration for summary in summaries], result)
    columns += time_columns("vision", "vision", [s.vision for s in summaries], rank=14, plain_rank=10)
    for phase, label in (("prefill", "prefill"), ("decode_per_token", "per token")):
        columns += time_columns(phase, label, [getattr(s, phase) for s in summaries], plain_rank=0, rank=2)
        if full and any(getattr(s, phase) is not None for s in summaries):
            shares = tuple(units.percent(share_of_full(s, full, phase)) for s in summaries)
            columns.append(Column(key=f"{phase}_share", title="of\nfull", cells=shares, rank=1, role="side"))
    if full:
        ideal = [s.configuration.num_active_blocks / s.configuration.num_total_blocks for s in summaries]
        cells = tuple(units.percent(share) for share in ideal)
        columns.append(Column(key="ideal", title="\nideal", cells=cells, rank=1, role="side"))
    columns += time_columns("total", "total", [s.total for s in summaries], rank=16)
    counts = sorted({summary.num_samples for summary in summaries})
    samples = count(counts[0], "sample") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} samples"
    notes = ["Medians; ± reaches to the farther end of the median's 95 % interval."]
    varying = varying_knobs(summary.configuration.knobs for summary in summaries)
    if full:
        alike = f" at the same {_listed(varying)}" if varying else ""
        notes.append(
            f"Of full: share of the model with every block active{alike}; ideal: share of active blocks."
        )
    else:
        notes.append("No share of the full model: no configuration with every block active was measured.")
    if result.config.get("isolate"):
        notes.append(
            "One configuration after the other, each in a process of its own: what drifts on the machine "
            "falls on some of them and not on others."
        )
    return Table(
        title=f"Latency ({samples} per configuration)",
        columns=tuple(columns),
        notes=tuple(notes),
        strong_rows=frozenset(
            row for row, s in enumerate(summaries) if not s.configuration.num_skipped_blocks
        ),
    )


def fit_table(result: RunResult) -> Table | None:
    """Latency as a straight line over the number of active blocks, for few settings of the knobs."""
    fits = result.fits
    settings = {fit.knobs: None for fit in fits}
    if not fits or (len(settings) > _MOST_LINES and result.knob_fits):
        return None
    varying = varying_knobs(settings)
    columns = [
        Column(
            key="phase",
            title="\nphase",
            cells=tuple(PHASE_LABELS.get(fit.phase, fit.phase) for fit in fits),
            justify="left",
            role="name",
        )
    ]
    if len({fit.variant for fit in fits}) > 1:
        cells = tuple(fit.variant for fit in fits)
        columns.append(Column(key="variant", title="\nvariant", cells=cells, justify="left", role="name"))
    columns += knob_columns([fit.knobs for fit in fits], varying)
    total = result.model.num_blocks
    ends = [fit.intercept_ms + fit.slope_ms_per_block * total for fit in fits]
    columns += [
        Column(
            key="slope",
            title="each block\nadds",
            cells=tuple(units.duration_with_interval(fit.slope_ms_per_block, fit.slope_ci95) for fit in fits),
        ),
        Column(
            key="intercept",
            title="fixed\npart",
            cells=tuple(units.duration_with_interval(fit.intercept_ms, fit.intercept_ci95) for fit in fits),
        ),
        Column(
            key="fixed_share",
            title="fixed part\nof full",
            cells=tuple(
                # Less than nothing or more than all is what noise makes of it.
                units.percent(fit.intercept_ms / end if 0 <= fit.intercept_ms <= end and end > 0 else None)
                for fit, end in zip(fits, ends, strict=True)
            ),
            rank=3,
            role="side",
        ),
        Column(
            key="r2",
            title="\nR²",
            cells=tuple(units.fixed(fit.r2, 4) for fit in fits),
            rank=1,
        ),
        Column(
            key="points",
            title="\npoints",
            cells=tuple(str(fit.num_points) for fit in fits),
            rank=4,
            role="side",
        ),
        Column(
            key="departures",
            title="off the\nline",
            cells=tuple(str(len(fit.departures)) for fit in fits),
            rank=2,
            role="side",
        ),
    ]
    several = len({fit.variant for fit in fits}) > 1
    return Table(
        title="Latency over active blocks: a straight line through the medians",
        columns=tuple(columns),
        notes=tuple(_departures_note(fit, named=several) for fit in fits if fit.departures),
    )


def failure_table(result: RunResult) -> Table | None:
    """What could not be measured or traced, and why."""
    if not result.failures:
        return None
    failures = result.failures
    names = tuple(cut_middle(failure.configuration, NAME_WIDTH) for failure in failures)
    errors = tuple(" ".join(failure.error.split()) for failure in failures)
    return Table(
        title=f"Failed: {count(len(failures), 'configuration')}",
        columns=(
            Column(key="name", title="configuration", cells=names, justify="left", role="name"),
            Column(key="stage", title="stage", cells=tuple(f.stage for f in failures), justify="left"),
            Column(key="error", title="error", cells=errors, justify="left", wraps=True),
        ),
    )


def _listed(knobs: tuple[str, ...]) -> str:
    labels = [KNOB_LABELS[knob] for knob in knobs]
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"


def _departures_note(fit: Fit, *, named: bool) -> str:
    largest = sorted(fit.departures, key=lambda departure: -abs(departure[1]))
    shown = [f"{name} by {ms:+.3g} ms" for name, ms in largest[:_SHOWN_DEPARTURES]]
    more = len(largest) - len(shown)
    rest = f", and {more} more" if more else ""
    which = f"{PHASE_LABELS.get(fit.phase, fit.phase)}{f' ({fit.variant})' if named else ''}"
    return f"Off the line in {which}: {', '.join(shown)}{rest}."
