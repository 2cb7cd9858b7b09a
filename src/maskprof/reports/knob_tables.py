"""What each knob buys beside depth: columns and a table for runs in which more than the masks differ."""

from collections.abc import Sequence

from maskprof.config.knobs import Knobs, varying_knobs
from maskprof.reports import units
from maskprof.reports.columns import KNOB_LABELS, PHASE_LABELS
from maskprof.reports.layout import Column, Table
from maskprof.results.schema import Estimate, KnobFit, RunResult


def largest_setting(result: RunResult) -> Knobs:
    """Every knob at the largest value that the run has; what a run without savings would be."""
    settings = [configuration.knobs for configuration in result.configurations]
    largest = {
        knob: max((value for s in settings if (value := s.value(knob)) is not None), default=None)
        for knob in Knobs().to_dict()
    }
    return Knobs(**largest)


def leading_fits(result: RunResult) -> tuple[KnobFit, ...]:
    """The fits in which the other knobs stand at their largest: one per knob, variant and phase."""
    largest = largest_setting(result).to_dict()
    return tuple(fit for fit in result.knob_fits if fit.held.to_dict() == largest | {fit.knob: None})


def knob_table(result: RunResult) -> Table | None:
    """What halving the blocks, halving a knob and halving both saves, by the fit over the two."""
    fits = leading_fits(result)
    if not fits:
        return None
    knobs = tuple(KNOB_LABELS[fit.knob] for fit in fits)
    columns = [
        Column(key="knob", title="\nknob", cells=knobs, justify="left", role="name"),
        Column(
            key="phase",
            title="\nphase",
            cells=tuple(PHASE_LABELS.get(fit.phase, fit.phase) for fit in fits),
            justify="left",
            role="name",
        ),
    ]
    if len({fit.variant for fit in fits}) > 1:
        cells = tuple(fit.variant for fit in fits)
        columns.append(Column(key="variant", title="\nvariant", cells=cells, justify="left", role="name"))
    columns += [
        Column(
            key="from",
            title="from blocks\nx knob",
            cells=tuple(f"{fit.full_blocks} x {fit.full_value}" for fit in fits),
            rank=3,
            role="side",
        ),
        *_savings("halving_blocks", "half the\nblocks", fits),
        *_savings("halving_knob", "half the\nknob", fits),
        *_savings("halving_both", "half of\nboth", fits),
        Column(
            key="per_unit",
            title="each unit\nadds",
            cells=tuple(
                units.duration_with_interval(_per_unit_ms(fit), None, beside_ms=fit.halving_both_ms.value)
                for fit in fits
            ),
            rank=4,
        ),
        Column(key="r2", title="\nR²", cells=tuple(units.fixed(fit.r2, 4) for fit in fits), rank=2),
    ]
    notes = [
        "Saved from the largest depth and the largest value, by a fit over both; ± is its 95 % interval."
    ]
    if any(fit.halving_both_ms.ci95 is None for fit in fits):
        notes.append("Without ±: too few samples for an interval, so that it cannot be told from chance.")
    varying = varying_knobs(configuration.knobs for configuration in result.configurations)
    if len(varying) > 1:
        notes.append(
            "The other knobs stand at their largest; the result file has the fits at their other values."
        )
    return Table(
        title="What each knob buys: time saved by half of it", columns=tuple(columns), notes=tuple(notes)
    )


def _savings(key: str, title: str, fits: Sequence[KnobFit]) -> list[Column]:
    """Savings with their intervals, and a narrower stand-in that has words for what the intervals leave open."""
    cells, plain = [], []
    for fit in fits:
        found: Estimate = getattr(fit, f"{key}_ms")
        most_ms = max(fit.halving_blocks_ms.value, fit.halving_knob_ms.value, fit.halving_both_ms.value)
        cells.append(units.duration_with_interval(found.value, found.ci95, beside_ms=most_ms))
        is_open = found.ci95 is not None and found.ci95[0] <= 0 <= found.ci95[1]
        plain.append(
            "unclear" if is_open else units.duration_with_interval(found.value, None, beside_ms=most_ms)
        )
    return [
        Column(key=key, title=title, cells=tuple(cells), rank=1),
        Column(key=f"{key}_plain", title=title, cells=tuple(plain), instead_of=key),
    ]


def _per_unit_ms(fit: KnobFit) -> float:
    """What one more of the knob adds at the full depth."""
    return fit.ms_per_unit.value + fit.full_blocks * fit.ms_per_block_and_unit.value
