"""What half of the blocks, half of a knob and half of both save."""

from maskprof.reports import units
from maskprof.reports.charts.rows import Row, RowsPlot, Value, draw_rows
from maskprof.reports.charts.shapes import MARKS
from maskprof.reports.columns import KNOB_LABELS, PHASE_LABELS
from maskprof.reports.knob_tables import knob_table, leading_fits
from maskprof.reports.plots.plot import Key, Plot
from maskprof.results.schema import Estimate, KnobFit, RunResult

_SERIES = ("half the blocks", "half the knob", "half of both")


def knob_plots(result: RunResult) -> tuple[Plot, ...]:
    """Per phase: what each knob buys beside depth, from the fits over both; none where no knob varies."""
    table = knob_table(result)
    if table is None:
        return ()
    fits = leading_fits(result)
    several = len({fit.variant for fit in fits}) > 1
    plots = []
    for phase in dict.fromkeys(fit.phase for fit in fits):
        found = [fit for fit in fits if fit.phase == phase]
        most_ms = max(abs(saving.value) for fit in found for saving in _savings(fit))
        unit = units.time_unit([most_ms * 1e3])
        scale = 1e3 / units.time_factor(unit)
        heading = f"Saved of {PHASE_LABELS.get(phase, phase)}"
        rows = []
        for fit in found:
            knob = KNOB_LABELS[fit.knob]
            name = f"{knob} · {fit.variant}" if several else knob
            rows.append(Row(name=name, values=_values(fit, knob, scale)))
        drawing = draw_rows(
            RowsPlot(
                title=f"{heading} by half the blocks, half of a knob, and half of both, {unit}",
                axis=f"{unit} saved",
                rows=tuple(rows),
                colours=("s0", "s1", "s2"),
            )
        )
        legend = tuple(
            Key(colour=f"s{place}", label=label, place=place, mark=MARKS[place])
            for place, label in enumerate(_SERIES)
        )
        plots.append(
            Plot(
                name=f"knobs-{phase.replace('_', '-')}",
                heading=heading,
                drawing=drawing,
                table=table,
                legend=legend,
            )
        )
    return tuple(plots)


def _savings(fit: KnobFit) -> tuple[Estimate, Estimate, Estimate]:
    return fit.halving_blocks_ms, fit.halving_knob_ms, fit.halving_both_ms


def _values(fit: KnobFit, knob: str, scale: float) -> tuple[Value, ...]:
    labels = (_SERIES[0], f"half the {knob}", f"half the blocks and half the {knob}")
    values = []
    for place, (label, saving) in enumerate(zip(labels, _savings(fit), strict=True)):
        low, high = saving.ci95 or (None, None)
        values.append(
            Value(
                at=saving.value * scale,
                low=None if low is None else low * scale,
                high=None if high is None else high * scale,
                text=f"{label} saves {units.duration_with_interval(saving.value, saving.ci95)}\n"
                f"from {fit.full_blocks} blocks and {knob} {fit.full_value}",
                place=place,
            )
        )
    return tuple(values)
