"""A result as the parts of a page, before they are written: headings, plots, tables, notes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskprof.reports import how_to_read, units
from maskprof.reports.cost_tables import block_table, closure_table, overhead_table
from maskprof.reports.knob_tables import knob_table
from maskprof.reports.layout import Table
from maskprof.reports.plots.blocks import HOST_LEGEND, block_plots, overview_plots
from maskprof.reports.plots.comparison import (
    comparison_table,
    overlay_plots,
    run_table,
    slope_plots,
)
from maskprof.reports.plots.drift import PHASES as COURSE_PHASES
from maskprof.reports.plots.drift import Course, course_table, courses, drift_plots
from maskprof.reports.plots.gpu import (
    category_plot,
    device_plot,
    roofline_plot,
)
from maskprof.reports.plots.knobs import knob_plots
from maskprof.reports.plots.labels import short_names
from maskprof.reports.plots.latency import PHASES, latency_plots
from maskprof.reports.plots.plot import Key, Plot
from maskprof.reports.plots.run_panels import Named
from maskprof.reports.plots.skip_path import closure_plots, turn_plots
from maskprof.reports.tables import failure_table, fit_table, full_summaries, latency_table
from maskprof.reports.trace_roofline import roofline_table
from maskprof.reports.trace_tables import kernel_table
from maskprof.results.schema import Attribution, RunResult
from maskprof.results.trace_summary import TraceSummary

_SHOWN_KERNELS = 15
# A page shows this many blocks one by one; of more configurations than that makes, some are chosen.
_MOST_BLOCKS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """A table and what its rows are of: `keys` are configuration names, for linking with plots."""

    table: Table
    keys: tuple[str, ...] = ()
    sparks: tuple[Course, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What is folded away under one line until it is asked for."""

    summary: str
    key: str = ""
    opened: bool = False
    active: tuple[bool, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[TableView, ...] = ()
    legend: tuple[Key, ...] = ()
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a page; `how` says how to read it."""

    name: str
    title: str
    how: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[TableView, ...] = ()
    folds: tuple[Fold, ...] = ()


def run_sections(result: RunResult, traces: Mapping[str, TraceSummary]) -> tuple[Section, ...]:
    """Every section that has something to show, in the order of reading; `traces` by configuration."""
    found = (
        *(_latency(result), _knobs(result), _blocks(result), _gpu(result, traces), _skipping(result)),
        *(_samples(result), _failures(result)),
    )
    return tuple(
        section
        for section in found
        if section is not None and (section.plots or section.tables or section.folds)
    )


def comparison_sections(runs: Sequence[Named]) -> tuple[Section, ...]:
    """Several runs laid over each other."""
    tables = [comparison_table(runs, phase, label) for phase, label in PHASES]
    section = Section(
        name="comparison",
        title="Laid over each other",
        how=how_to_read.COMPARISON,
        plots=(*overlay_plots(runs), *slope_plots(runs)),
        tables=(
            TableView(table=run_table(runs)),
            *(TableView(table=table) for table in tables if table is not None),
        ),
    )
    return (section,)


def _latency(result: RunResult) -> Section | None:
    if not result.summary:
        return None
    return Section(
        name="latency",
        title="Latency against depth",
        how=how_to_read.LATENCY + (how_to_read.IDEAL if full_summaries(result) else ()),
        plots=latency_plots(result),
        tables=_present(
            (latency_table(result), [s.configuration.name for s in result.summary]), (fit_table(result), ())
        ),
    )


def _knobs(result: RunResult) -> Section | None:
    return Section(
        name="knobs",
        title="What each knob buys",
        how=how_to_read.KNOBS,
        plots=knob_plots(result),
        tables=_present((knob_table(result), ())),
    )


def _blocks(result: RunResult) -> Section | None:
    names = short_names(result)
    by_name = {configuration.name: configuration for configuration in result.configurations}
    with_blocks = [item for item in result.attribution if item.phases]
    chosen = _evenly(with_blocks, most=_MOST_BLOCKS // result.model.num_blocks)
    how: tuple[str, ...] = how_to_read.BLOCKS
    if len(chosen) < len(with_blocks):
        how += (how_to_read.SOME_BLOCKS.format(shown=len(chosen), all=len(with_blocks)),)
    folds = []
    for item in chosen:
        table = block_table(item)
        if table is None:
            continue
        configuration = by_name.get(item.configuration)
        folds.append(
            Fold(
                summary=names.get(item.configuration, item.configuration),
                key=item.configuration,
                active=configuration.active if configuration else (),
                plots=block_plots(item),
                tables=(TableView(table=table),),
                legend=HOST_LEGEND,
            )
        )
    folds = _with_one_open(folds, result)
    return Section(
        name="blocks",
        title="Where each block's time goes",
        how=how,
        plots=overview_plots(result),
        folds=tuple(folds),
    )


def _evenly(items: Sequence[Attribution], *, most: int) -> list[Attribution]:
    """At most so many (and at least two) of the items, evenly among them, the first and the last included."""
    most = max(2, most)
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]


def _with_one_open(folds: list[Fold], result: RunResult) -> list[Fold]:
    """The configuration nearest to half the blocks lies open, so that a reader sees what the others hold."""
    by_name = {configuration.name: configuration for configuration in result.configurations}

    def distance(fold: Fold) -> float:
        configuration = by_name.get(fold.key)
        if configuration is None or not configuration.num_skipped_blocks:
            return float("inf")
        return abs(configuration.num_active_blocks - configuration.num_total_blocks / 2)

    if not folds:
        return folds
    chosen = min(range(len(folds)), key=lambda place: distance(folds[place]))
    return [
        Fold(
            **{name: getattr(fold, name) for name in Fold.__dataclass_fields__} | {"opened": place == chosen}
        )
        for place, fold in enumerate(folds)
    ]


def _gpu(result: RunResult, traces: Mapping[str, TraceSummary]) -> Section | None:
    names = short_names(result)
    with_device = {name: summary for name, summary in traces.items() if summary.whole.device is not None}
    folds: list[Fold] = []
    for name, summary in with_device.items():
        roofline = roofline_plot(name, summary.roofline) if summary.roofline is not None else None
        tables = (
            kernel_table(summary.whole, top=_SHOWN_KERNELS),
            roofline_table(summary.roofline, top=_SHOWN_KERNELS),
        )
        folds.append(
            Fold(
                summary=names.get(name, name),
                key=name,
                opened=not folds,
                plots=(roofline,) if roofline is not None else (),
                tables=tuple(TableView(table=table) for table in tables if table is not None),
                sentences=summary.headline,
            )
        )
    plots = (category_plot(with_device, names), device_plot(with_device, names))
    rooflines = any(fold.plots for fold in folds)
    return Section(
        name="gpu",
        title="On the GPU",
        how=how_to_read.GPU + (how_to_read.ROOFLINE if rooflines else how_to_read.NO_ROOFLINE),
        plots=tuple(plot for plot in plots if plot is not None),
        folds=tuple(folds),
    )


def _skipping(result: RunResult) -> Section | None:
    closure, overhead = closure_table(result), overhead_table(result)
    with_closure = [item.configuration for item in result.attribution if item.closure]
    return Section(
        name="skipping",
        title="What skipping itself costs",
        how=how_to_read.SKIPPING,
        plots=(*closure_plots(result), *turn_plots(result)),
        tables=_present((closure, with_closure), (overhead, ())),
    )


def _samples(result: RunResult) -> Section | None:
    plots = drift_plots(result)
    views = []
    for phase, label, _ in COURSE_PHASES:
        found = courses(result, phase)
        if found:
            keys = tuple(course.name for course in found)
            views.append(TableView(table=course_table(label, found), keys=keys, sparks=found))
    return Section(
        name="samples",
        title="Samples in the order of time",
        how=how_to_read.SAMPLES,
        plots=plots,
        tables=tuple(views),
    )


def _failures(result: RunResult) -> Section | None:
    table = failure_table(result)
    if table is None:
        return None
    return Section(
        name="failures",
        title="Failures",
        how=how_to_read.FAILURES,
        tables=_present((table, [failure.configuration for failure in result.failures])),
    )


def _present(*tables: tuple[Table | None, Sequence[str]]) -> tuple[TableView, ...]:
    return tuple(TableView(table=table, keys=tuple(keys)) for table, keys in tables if table is not None)


def environment_rows(result: RunResult) -> list[tuple[str, str]]:
    """The machine and the model, by name."""
    model = result.model
    rows = [
        ("model", model.name),
        ("source", model.source),
        ("architecture", model.architecture),
        ("parameters", f"{model.num_parameters:,}".replace(",", " ")),
        ("data type", model.dtype),
    ]
    return rows + [(name.replace("_", " "), _plain(value)) for name, value in result.environment.items()]


def setting_rows(result: RunResult) -> list[tuple[str, str]]:
    """The settings of the run, as its result file has them; those that are not set are left out."""
    return [(name, _plain(value)) for name, value in result.config.items() if value not in (None, (), [], "")]


def _plain(value: object) -> str:
    if value is None:
        return units.MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(_plain(inner) for inner in value)
    return str(value)
