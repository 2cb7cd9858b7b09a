"""Latency against depth: medians with their intervals, and the ideal line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maskprof.config.knobs import varying_knobs
from maskprof.reports import units
from maskprof.reports.charts.palette import series_colour
from maskprof.reports.charts.shapes import MARKS
from maskprof.reports.charts.xy import Axis, Guide, Mark, Series, XYPlot, draw_xy
from maskprof.reports.layout import Table
from maskprof.reports.plots.labels import described, group_names, short_names
from maskprof.reports.plots.plot import Key, Plot, figures, slug
from maskprof.reports.tables import Group, full_summaries, group_of
from maskprof.results.schema import ConfigurationSummary, RunResult, Statistics

PHASES = (
    ("prefill", "Prefill"),
    ("decode_per_token", "Decode per token"),
    ("total", "Total"),
    ("vision", "Vision"),
)
_FIGURES: tuple[tuple[str, Callable[[Statistics], float | None]], ...] = (
    ("median", lambda found: found.p50),
    ("from", lambda found: found.median_ci95[0] if found.median_ci95 else None),
    ("to (95 %)", lambda found: found.median_ci95[1] if found.median_ci95 else None),
    ("P95", lambda found: found.p95),
    ("least", lambda found: found.min),
    ("most", lambda found: found.max),
)
# More lines than this in one plot are a thicket.
_MOST_LINES = 6
_APART = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Configurations that differ in depth only, under the name that stands at their line.

    `full` is the one in which all blocks run, where it was measured. `place` says which colour and mark the line has
    on the whole page; None: those of its place in the plot.
    """

    label: str
    summaries: tuple[ConfigurationSummary, ...]
    full: ConfigurationSummary | None
    names: dict[str, str]
    place: int | None = None


def latency_plots(result: RunResult) -> tuple[Plot, ...]:
    """One plot per phase, or several where ways of skipping and knobs give more lines than one plot can hold."""
    facets = _facets(result)
    plots = []
    for phase, label in PHASES:
        for number, (facet, lines) in enumerate(facets):
            heading = f"{label}: {facet}" if facet else label
            name = f"latency-{slug(phase)}{f'-{number + 1}' if len(facets) > 1 else ''}"
            plot = lines_plot(name, heading, phase, lines)
            if plot is not None:
                plots.append(plot)
    return tuple(plots)


def lines_plot(name: str, heading: str, phase: str, lines: Sequence[Line]) -> Plot | None:
    """Lines over the number of active blocks in one phase; None where the phase does not occur."""
    present = [
        (line, points)
        for line in lines
        if (points := [s for s in line.summaries if _of(s, phase) is not None])
    ]
    if not present:
        return None
    medians_us = [_must(s, phase).p50 * 1e3 for _, points in present for s in points]
    unit = units.time_unit(medians_us)
    scale = 1e3 / units.time_factor(unit)
    # A line of one run needs its name also where the others have none.
    several = len(present) > 1 or any(line.place is not None for line, _ in present)
    series, guides = [], []
    places = [place if line.place is None else line.place for place, (line, _) in enumerate(present)]
    for place, (line, points) in zip(places, present, strict=True):
        depths = [s.configuration.num_active_blocks for s in points]
        series.append(
            Series(
                label=line.label,
                marks=tuple(_mark(s, phase, scale, line) for s in points),
                colour=series_colour(place),
                # Several masks of one depth have no order along a line.
                joined=len(set(depths)) == len(depths),
                place=place if several else None,
            )
        )
        full = _of(line.full, phase) if line.full else None
        if line.full is not None and full is not None and phase != "vision":
            end = (float(line.full.configuration.num_active_blocks), full.p50 * scale)
            guides.append(
                Guide(
                    label="" if several else "ideal",
                    points=((0.0, 0.0), end),
                    colour=series_colour(place) if several else "ideal",
                    place=place if several else None,
                )
            )
    title = f"{heading} latency in {unit} over active blocks"
    drawing = draw_xy(
        XYPlot(
            title=title,
            x=Axis(title="active blocks", kind="counts"),
            y=Axis(title=f"{heading.partition(':')[0].lower()}, {unit}", kind="zero"),
            series=tuple(series),
            guides=tuple(guides),
            apart=_APART,
        )
    )
    legend = tuple(
        Key(colour=series_colour(place), label=line.label, place=place, mark=MARKS[place % len(MARKS)])
        for place, (line, _) in zip(places, present, strict=True)
    )
    return Plot(
        name=name,
        heading=heading,
        drawing=drawing,
        table=_table(title, phase, scale, unit, present),
        legend=legend if several else (),
    )


def _facets(result: RunResult) -> list[tuple[str, list[Line]]]:
    groups: dict[Group, list[ConfigurationSummary]] = {}
    for summary in result.summary:
        groups.setdefault(group_of(summary), []).append(summary)
    full, names, labels = full_summaries(result), short_names(result), group_names(list(groups))

    def line(group: Group, label: str) -> Line:
        members = sorted(groups[group], key=lambda s: s.configuration.num_active_blocks)
        return Line(label=label, summaries=tuple(members), full=full.get(group), names=names)

    if len(groups) <= _MOST_LINES:
        return [("", [line(group, labels[group]) for group in groups])]
    # One line per value of the last knob that varies, a plot per setting of all else.
    varying = varying_knobs(knobs for _, knobs in groups)
    facets: dict[Group, list[Group]] = {}
    for group in groups:
        facets.setdefault(_without(group, varying[-1]) if varying else group, []).append(group)
    of_facet = group_names(list(facets))
    found = []
    for facet, members in facets.items():
        within = group_names(members)
        for start in range(0, len(members), _MOST_LINES):
            chosen = members[start : start + _MOST_LINES]
            found.append((of_facet[facet], [line(group, within[group]) for group in chosen]))
    return found


def _without(group: Group, knob: str) -> Group:
    variant, knobs = group
    return variant, type(knobs)(**(knobs.to_dict() | {knob: None}))


def _of(summary: ConfigurationSummary, phase: str) -> Statistics | None:
    found: Statistics | None = getattr(summary, phase)
    return found


def _must(summary: ConfigurationSummary, phase: str) -> Statistics:
    found = _of(summary, phase)
    assert found is not None
    return found


def _mark(summary: ConfigurationSummary, phase: str, scale: float, line: Line) -> Mark:
    found, configuration = _must(summary, phase), summary.configuration
    low, high = found.median_ci95 or (None, None)
    words = [
        described(configuration, line.names),
        f"median {units.duration_with_interval(found.p50, found.median_ci95)}",
        f"{units.duration_ms(found.min)} to {units.duration_ms(found.max)}, P95 {units.duration_ms(found.p95)}",
    ]
    full = _of(line.full, phase) if line.full else None
    if full is not None and full.p50 > 0 and phase != "vision":
        ideal = configuration.num_active_blocks / configuration.num_total_blocks
        words.append(f"{units.percent(found.p50 / full.p50)} of full, ideal {units.percent(ideal)}")
    return Mark(
        x=float(configuration.num_active_blocks),
        y=found.p50 * scale,
        low=None if low is None else low * scale,
        high=None if high is None else high * scale,
        text="\n".join(words),
        key=configuration.name,
    )


def _table(
    title: str,
    phase: str,
    scale: float,
    unit: str,
    present: Sequence[tuple[Line, list[ConfigurationSummary]]],
) -> Table:
    summaries = [summary for _, points in present for summary in points]
    found = [_must(summary, phase) for summary in summaries]
    decimals = units.decimals_for([statistics.p50 * scale for statistics in found])
    lines = [line.label for line, points in present for _ in points]
    columns = [("line", lines)] if len(present) > 1 else []
    columns += [
        ("configuration", [summary.configuration.name for summary in summaries]),
        ("active blocks", [str(summary.configuration.num_active_blocks) for summary in summaries]),
    ]
    for heading, figure in _FIGURES:
        values = [figure(statistics) for statistics in found]
        cells = [units.fixed(None if value is None else value * scale, decimals) for value in values]
        columns.append((f"{heading}, {unit}", cells))
    columns.append(("samples", [str(summary.num_samples) for summary in summaries]))
    return figures(title, columns, names=2 if len(present) > 1 else 1)
