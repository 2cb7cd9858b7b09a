"""A run in this process: one loaded model for all configurations, measured interleaved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from maskprof.config.schema import RunConfig
from maskprof.interruption import held
from maskprof.results.schema import Configuration
from maskprof.sweep.clean import measure
from maskprof.sweep.collecting import Collected, Display
from maskprof.sweep.limits import Limits
from maskprof.sweep.setup import Setup, Subject, set_up
from maskprof.sweep.tracing import trace


class Work(Protocol):
    """Where configurations run: in this process, or each in its own."""

    @property
    def subject(self) -> Subject: ...

    def measure(self, configurations: Sequence[Configuration], collected: Collected, limits: Limits) -> None:
        """Take the clean samples that are missing."""

    def trace(self, configurations: Sequence[Configuration], collected: Collected, limits: Limits) -> None:
        """Record the traces that are missing."""


class InProcess:
    """Everything with one model in this process."""

    def __init__(self, setup: Setup) -> None:
        """Keep the model; nothing runs yet."""
        self._setup = setup

    @property
    def subject(self) -> Subject:
        return self._setup.subject

    def measure(self, configurations: Sequence[Configuration], collected: Collected, limits: Limits) -> None:
        """Take the clean samples that are missing; an interruption breaks in between passes or inside one."""
        with held():
            measure(self._setup, configurations, collected, limits)

    def trace(self, configurations: Sequence[Configuration], collected: Collected, limits: Limits) -> None:
        """Record the traces that are missing; a trace that is being written is finished first."""
        with held():
            trace(self._setup, configurations, collected, limits)


@contextmanager
def in_process(config: RunConfig, display: Display) -> Iterator[InProcess]:
    """Load the model here.

    Raises:
        MaskprofError: a setting does not fit the model.
    """
    yield InProcess(set_up(config, display))
