"""What comes in while a run measures: samples, failures and traces, written to the journal and shown."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from maskprof.analysis.attribution import TraceAttribution
from maskprof.interruption import held
from maskprof.results.circumstances import MachineState, Sitting, Warmup
from maskprof.results.journal import Journal
from maskprof.results.schema import HUNG_STAGE, Configuration, Failure, Sample
from maskprof.results.store import within

_log = logging.getLogger(__name__)


class Display(Protocol):
    """Who shows how far a run is."""

    def stage(self, text: str) -> None: ...

    def start(self, total_samples: int, configurations: int) -> None: ...

    def advance(self, configuration_name: str, stage: str) -> None: ...


class Collector(Protocol):
    """Who takes what the measuring and the tracing give out, and knows what was there before."""

    samples: list[Sample]
    traces: dict[str, Path]

    @property
    def display(self) -> Display: ...

    def on_warmup(self, configuration: Configuration) -> None: ...

    def on_sample(self, sample: Sample) -> None: ...

    def on_failure(self, failure: Failure) -> None: ...

    def on_trace(self, configuration: Configuration, trace: Path) -> None: ...

    def on_sitting(self, configuration: str | None, environment: dict[str, Any]) -> None: ...

    def on_settled(self, warmup: Warmup) -> None: ...

    def on_state(self, state: MachineState) -> None: ...


@dataclass(slots=True)
class Collected:
    """All of a run, what its journal held before included.

    Attributes:
        journal, display: where everything is written down and shown.
        trace_dir: where the traces lie, each in the folder of its configuration.
        samples, failures: in the order of happening.
        traces: by the name of the configuration.
        found: what the traces that were read already tell, or why they could not be read.
        sittings: those of before and, once it measures, the one of this command, whose number `sitting` is.
    """

    journal: Journal
    display: Display
    trace_dir: Path
    samples: list[Sample] = field(init=False)
    failures: list[Failure] = field(init=False)
    traces: dict[str, Path] = field(init=False)
    found: dict[str, TraceAttribution | Failure] = field(init=False, default_factory=dict)
    sittings: list[Sitting] = field(init=False)
    sitting: int = field(init=False)

    def __post_init__(self) -> None:
        contents = self.journal.contents
        self.samples = list(contents.samples)
        self.sittings = list(contents.sittings)
        # Samples of before sittings were told apart are of the first.
        before = [sample.sitting for sample in self.samples] + [sitting.number for sitting in self.sittings]
        self.sitting = 1 + max(before, default=0)
        # What failed before is tried again, but not what would hang the process again.
        self.failures = [failure for failure in contents.failures if failure.stage == HUNG_STAGE]
        there = {name: within(self.trace_dir, name, file) for name, file in contents.traces.items()}
        self.traces = {name: path for name, path in there.items() if path.is_file()}

    @property
    def left_out(self) -> frozenset[str]:
        """Names of the configurations that are not tried."""
        return frozenset(failure.configuration for failure in self.failures if failure.stage == HUNG_STAGE)

    def on_warmup(self, _configuration: Configuration) -> None:
        # How many there will be is not known before, so the bar, which counts samples, stays where it is.
        self.display.stage("warm-up")

    def on_sample(self, sample: Sample) -> None:
        sample = replace(sample, sitting=self.sitting)
        # Held, so that what an interruption finds in the journal is what it finds here.
        with held():
            self.journal.add_sample(sample)
            self.samples.append(sample)
        _log.debug(
            "%s%s sample %d: prefill %.3f ms, decode steps %s ms",
            *(sample.configuration, " with its blocks removed" if sample.reference else ""),
            *(sample.sample_id, sample.prefill_ms),
            ", ".join(f"{step:.3f}" for step in sample.decode_step_ms),
        )
        self.display.advance(sample.configuration, "measuring")

    def on_failure(self, failure: Failure) -> None:
        with held():
            self.journal.add_failure(failure)
            self.failures.append(failure)

    def on_trace(self, configuration: Configuration, trace: Path) -> None:
        with held():
            self.journal.add_trace(configuration.name, trace.name)
            self.traces[configuration.name] = trace

    def on_sitting(self, configuration: str | None, environment: dict[str, Any]) -> None:
        sitting = Sitting(
            number=self.sitting, configuration=configuration, environment=environment, warmup=None, states=()
        )
        with held():
            self.journal.add_sitting(sitting)
            self.sittings.append(sitting)

    def on_settled(self, warmup: Warmup) -> None:
        with held():
            self.journal.add_warmup(warmup)
            self.sittings[-1] = replace(self.sittings[-1], warmup=warmup)

    def on_state(self, state: MachineState) -> None:
        with held():
            self.journal.add_state(state)
            self.sittings[-1] = replace(self.sittings[-1], states=(*self.sittings[-1].states, state))


def failure_of(configuration: str, stage: str, error: BaseException) -> Failure:
    """An error as what is stored of it."""
    return Failure(configuration=configuration, stage=stage, error=f"{type(error).__name__}: {error}")


def counts(samples: Iterable[Sample]) -> dict[str, int]:
    """How many samples there are of each configuration, by its name."""
    found: dict[str, int] = {}
    for sample in samples:
        found[sample.configuration] = found.get(sample.configuration, 0) + 1
    return found
