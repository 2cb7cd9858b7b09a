"""Several runs or machines laid over each other: latency over depth, and what an active block costs on each."""

from collections.abc import Sequence

from maskprof.reports import units
from maskprof.reports.charts.palette import series_colour
from maskprof.reports.charts.rows import Row, RowsPlot, Value, draw_rows
from maskprof.reports.columns import PHASE_LABELS
from maskprof.reports.headline import leading_group
from maskprof.reports.layout import Column, Table
from maskprof.reports.plots.latency import PHASES, lines_plot
from maskprof.reports.plots.plot import Plot, figures, slug
from maskprof.reports.plots.run_panels import Named, run_panels
from maskprof.results.schema import Configuration, ConfigurationSummary, Fit, RunResult, Statistics


def overlay_plots(runs: Sequence[Named]) -> tuple[Plot, ...]:
    """Latency over depth with a line per run; a plot per phase, or several where a run varies more than depth."""
    panels = run_panels(runs)
    plots = []
    for phase, label in PHASES:
        for number, panel in enumerate(panels):
            heading = f"{label}: {panel.label}" if panel.label else label
            name = f"compare-{slug(phase)}{f'-{number + 1}' if len(panels) > 1 else ''}"
            plot = lines_plot(name, heading, phase, panel.lines)
            if plot is not None:
                plots.append(plot)
    return tuple(plots)


def slope_plots(runs: Sequence[Named]) -> tuple[Plot, ...]:
    """What each active block adds on every run, with its interval, per phase."""
    plots = []
    for phase in ("prefill", "decode_per_token"):
        found = [(name, fit) for name, result in runs if (fit := _leading_fit(result, phase)) is not None]
        if not found:
            continue
        unit = units.time_unit(fit.slope_ms_per_block * 1e3 for _, fit in found)
        scale = 1e3 / units.time_factor(unit)
        heading = f"What an active block adds to {PHASE_LABELS[phase]}"
        # A run has the colour and the mark that it has in the plots above.
        places = {name: place for place, (name, _) in enumerate(runs)}
        drawing = draw_rows(
            RowsPlot(
                title=f"{heading}, {unit}",
                axis=f"{unit} per active block",
                rows=tuple(Row(name=name, values=(_slope(fit, scale, places[name]),)) for name, fit in found),
                colours=tuple(series_colour(place) for place in range(len(runs))),
                apart=0.0,
            )
        )
        plots.append(
            Plot(
                name=f"compare-slope-{slug(phase)}",
                heading=heading,
                drawing=drawing,
                table=_slope_table(heading, found),
            )
        )
    return tuple(plots)


def comparison_table(runs: Sequence[Named], phase: str, label: str) -> Table | None:
    """Configurations that at least two runs have: medians side by side, and against the first run that has it.

    A ratio is said to differ where the two medians' intervals do not overlap.
    """
    found: dict[tuple[object, ...], dict[int, tuple[Configuration, Statistics]]] = {}
    for place, (_, result) in enumerate(runs):
        for summary in result.summary:
            statistics = getattr(summary, phase)
            if statistics is not None:
                found.setdefault(_what(summary), {})[place] = summary.configuration, statistics
    shared = {what: by_run for what, by_run in found.items() if len(by_run) > 1}
    if not shared:
        return None
    names = [next(iter(by_run.values()))[0].name for by_run in shared.values()]
    columns = [Column(key="name", title="configuration", cells=tuple(names), justify="left", role="name")]
    for place, (run, _) in enumerate(runs):
        cells = [_median(by_run.get(place)) for by_run in shared.values()]
        columns.append(Column(key=f"run{place}", title=f"{run}, ms", cells=tuple(cells)))
    for place, (run, _) in enumerate(runs[1:], start=1):
        pairs = [(by_run.get(0), by_run.get(place)) for by_run in shared.values()]
        title = f"{run} against {runs[0][0]}"
        columns.append(Column(key=f"ratio{place}", title=title, cells=tuple(_ratio(*pair) for pair in pairs)))
    return Table(
        title=f"{label} of the configurations that the runs share",
        columns=tuple(columns),
        notes=("Medians; ~ marks ratios whose intervals overlap, so that the two may be equal.",),
    )


def run_table(runs: Sequence[Named]) -> Table:
    """The machines and models side by side: what differs between the runs, and what every reader asks for."""
    asked = ("device", "cpu", "driver", "torch", "transformers", "threads", "time")
    rows = {
        "model": [result.model.name for _, result in runs],
        "blocks": [str(result.model.num_blocks) for _, result in runs],
        "data type": [result.model.dtype for _, result in runs],
        **{name: [_text(result.environment.get(name)) for _, result in runs] for name in asked},
        "samples": [str(len([s for s in result.samples if not s.reference])) for _, result in runs],
    }
    for name in sorted({name for _, result in runs for name in result.config}):
        values = [_text(result.config.get(name)) for _, result in runs]
        if len(set(values)) > 1 and name not in ("output_dir", "trace_dir"):
            rows[name] = values
    columns = [("what", list(rows))]
    columns += [(run, [values[place] for values in rows.values()]) for place, (run, _) in enumerate(runs)]
    return figures("The runs", columns, names=len(columns))


def _leading_fit(result: RunResult, phase: str) -> Fit | None:
    if not result.summary:
        return None
    group = leading_group(result)
    return next((f for f in result.fits if f.phase == phase and (f.variant, f.knobs) == group), None)


def _slope(fit: Fit, scale: float, place: int) -> Value:
    low, high = fit.slope_ci95 or (None, None)
    return Value(
        at=fit.slope_ms_per_block * scale,
        low=None if low is None else low * scale,
        high=None if high is None else high * scale,
        text=f"each active block adds {units.duration_with_interval(fit.slope_ms_per_block, fit.slope_ci95)}",
        place=place,
    )


def _slope_table(heading: str, found: Sequence[tuple[str, Fit]]) -> Table:
    return figures(
        heading,
        [
            ("run", [name for name, _ in found]),
            (
                "each block adds",
                [units.duration_with_interval(f.slope_ms_per_block, f.slope_ci95) for _, f in found],
            ),
            (
                "fixed part",
                [units.duration_with_interval(f.intercept_ms, f.intercept_ci95) for _, f in found],
            ),
            ("points", [str(f.num_points) for _, f in found]),
        ],
    )


def _what(summary: ConfigurationSummary) -> tuple[object, ...]:
    """What makes configurations of two runs the same: mask, way of skipping and knobs."""
    configuration = summary.configuration
    return configuration.active, configuration.variant, configuration.knobs


def _median(entry: tuple[Configuration, Statistics] | None) -> str:
    if entry is None:
        return units.MISSING
    statistics = entry[1]
    return units.with_interval(statistics.p50, statistics.median_ci95, units.decimals_for([statistics.p50]))


def _ratio(
    first: tuple[Configuration, Statistics] | None, second: tuple[Configuration, Statistics] | None
) -> str:
    if first is None or second is None or first[1].p50 <= 0:
        return units.MISSING
    a, b = first[1], second[1]
    ratio = units.percent(b.p50 / a.p50)
    clear = (
        a.median_ci95 is not None
        and b.median_ci95 is not None
        and (a.median_ci95[1] < b.median_ci95[0] or b.median_ci95[1] < a.median_ci95[0])
    )
    return ratio if clear else f"~{ratio}"


def _text(value: object) -> str:
    return (
        units.MISSING
        if value is None
        else " ".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
    )
