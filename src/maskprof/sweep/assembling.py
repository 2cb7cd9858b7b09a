"""A run's result, from what came in: statistics of the samples, and what the traces attribute to each block."""

from collections.abc import Sequence
from pathlib import Path

from maskprof.analysis.attribution import TraceAttribution, attribute
from maskprof.analysis.circumstances import findings
from maskprof.analysis.knob_fits import fit_knobs
from maskprof.analysis.summary import closures, fit_lines, summarize
from maskprof.results.schema import Attribution, Configuration, Failure, PhaseCost, RunResult, Sample
from maskprof.sweep.collecting import Collected, failure_of
from maskprof.sweep.setup import Subject
from maskprof.traces.reader import read_trace


def read_traces(collected: Collected) -> None:
    """Read the traces that were not read yet, and attribute what they hold."""
    for name, path in collected.traces.items():
        if name in collected.found:
            continue
        try:
            collected.found[name] = attribute(read_trace(path))
        except Exception as error:  # noqa: BLE001 - no trace, however odd, may cost the clean figures
            collected.found[name] = failure_of(name, "reading the trace", error)


def assemble(subject: Subject, collected: Collected) -> RunResult:
    """The result of all samples that were collected; a trace that cannot be read is a failure in it."""
    of_configuration = {
        c: [sample for sample in collected.samples if sample.configuration == c.name]
        for c in subject.configurations
    }
    summaries = tuple(
        summarize(configuration, samples)
        for configuration, samples in of_configuration.items()
        if any(not sample.reference for sample in samples)
    )
    read_traces(collected)
    unreadable = [found for found in collected.found.values() if isinstance(found, Failure)]
    attribution = tuple(
        _attribution(c, samples, collected.traces.get(c.name), collected.found.get(c.name))
        for c, samples in of_configuration.items()
    )
    return RunResult(
        config=subject.config.to_dict(),
        environment=subject.environment,
        model=subject.facts,
        configurations=subject.configurations,
        summary=summaries,
        samples=tuple(collected.samples),
        fits=fit_lines(summaries, collected.samples),
        knob_fits=fit_knobs(summaries, collected.samples),
        attribution=tuple(item for item in attribution if item.trace or item.closure),
        failures=(*collected.failures, *unreadable),
        sittings=tuple(collected.sittings),
        findings=findings(subject.environment, collected.sittings, collected.samples, summaries),
    )


def _attribution(
    configuration: Configuration,
    samples: Sequence[Sample],
    path: Path | None,
    found: TraceAttribution | Failure | None,
) -> Attribution:
    phases: tuple[PhaseCost, ...] = ()
    instrument, account = None, dict[str, int]()
    if found is not None and not isinstance(found, Failure):
        phases, instrument, account = found.phases, found.instrument, found.account
    return Attribution(
        configuration=configuration.name,
        trace=None if path is None else str(path),
        phases=phases,
        instrument=instrument,
        closure=closures(configuration, samples, phases),
        account=account,
    )
