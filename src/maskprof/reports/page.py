"""Results as a page: of one run, or of several laid over each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from maskprof.reports.findings import Figure, findings, key_figures, warnings
from maskprof.reports.headline import headline, subject
from maskprof.reports.plots.plot import Plot
from maskprof.reports.sections import (
    Section,
    comparison_sections,
    environment_rows,
    run_sections,
    setting_rows,
)
from maskprof.results.schema import RunResult
from maskprof.results.trace_summary import TraceSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A file to open: what it is, its address relative to the page (None where it is not there), what to know.

    `key` is the configuration that it is the trace of.
    """

    label: str
    href: str | None
    note: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run to show: its result, what it is called beside others, what its traces hold, and its files.

    `traces` are by configuration, and empty where they were not analysed.
    """

    name: str
    result: RunResult
    traces: Mapping[str, TraceSummary] = field(default_factory=dict)
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One run on the page: the answer, its sections, the machine, its files.

    `name` tells runs apart and is empty where there is one.
    """

    name: str
    subject: str
    headline: str
    findings: tuple[str, ...]
    warnings: tuple[str, ...]
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    environment: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole report: sections over all runs, then each run."""

    title: str
    comparison: tuple[Section, ...]
    parts: tuple[Part, ...]


def page_of(runs: Sequence[Run]) -> Page:
    """The page of one run, or of several.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("a page needs at least one run")
    only = runs[0] if len(runs) == 1 else None
    title = only.result.model.name if only else f"{len(runs)} runs compared"
    comparison = () if only else comparison_sections([(run.name, run.result) for run in runs])
    return Page(
        title=title, comparison=comparison, parts=tuple(_part(run, titled=only is not None) for run in runs)
    )


def plots_of(runs: Sequence[Run]) -> tuple[Plot, ...]:
    """The main plots, all that are not of a single configuration: of the run, or of the runs laid over each other."""
    if len(runs) == 1:
        sections = run_sections(runs[0].result, runs[0].traces)
    else:
        sections = comparison_sections([(run.name, run.result) for run in runs])
    return tuple(plot for section in sections for plot in section.plots)


def _part(run: Run, *, titled: bool) -> Part:
    result = run.result
    words = subject(result)
    return Part(
        name=run.name,
        # The model's name is the title of a page of one run already.
        subject=words.removeprefix(f"{result.model.name} · ") if titled else words,
        headline=headline(result),
        findings=findings(result),
        warnings=warnings(result),
        figures=key_figures(result),
        sections=run_sections(result, run.traces),
        environment=tuple(environment_rows(result)),
        settings=tuple(setting_rows(result)),
        links=run.links,
    )
