"""The process of one configuration: loads the model, waits for the name, measures and traces, hands everything over.

What goes to the parent are pairs of a word and a value that can be pickled, all of our own types: see `Said`. What
was measured is waited for until it stands in the journal: the parent must not write while the next sample is taken.
"""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from maskprof.config.schema import RunConfig
from maskprof.errors import MaskprofError
from maskprof.results.circumstances import MachineState, Warmup
from maskprof.results.schema import Configuration, Failure, Sample
from maskprof.sweep.clean import measure
from maskprof.sweep.limits import Limits
from maskprof.sweep.setup import set_up
from maskprof.sweep.tracing import trace

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Said(StrEnum):
    """What a child says, and what comes with it."""

    STAGE = "stage"  # a text
    LOG = "log"  # level and text
    READY = "ready"  # a Subject
    REFUSED = "refused"  # a MaskprofError
    WARMUP = "warmup"  # a Configuration
    SAMPLE = "sample"  # a Sample; answered when it is written down, as are the next five
    FAILURE = "failure"  # a Failure
    TRACE = "trace"  # a Configuration and a Path
    SITTING = "sitting"  # the name of the configuration and its environment
    SETTLED = "settled"  # a Warmup
    STATE = "state"  # a MachineState
    DONE = "done"  # nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the parent asks for: one configuration, beside everything that is there already."""

    configuration: str
    samples: list[Sample]
    traces: dict[str, Path]


@dataclass(slots=True)
class Relay:
    """Hands over what is measured; a collector and its display for the child's own run."""

    connection: Connection
    samples: list[Sample] = field(default_factory=list)
    traces: dict[str, Path] = field(default_factory=dict)

    @property
    def display(self) -> "Relay":
        return self

    def stage(self, text: str) -> None:
        self._say(Said.STAGE, text)

    def start(self, total_samples: int, configurations: int) -> None:
        """The parent counts all configurations."""

    def advance(self, configuration_name: str, stage: str) -> None:
        """The parent sees each sample."""

    def on_warmup(self, configuration: Configuration) -> None:
        self._say(Said.WARMUP, configuration)

    def on_sample(self, sample: Sample) -> None:
        self.samples.append(sample)
        self._hand_over(Said.SAMPLE, sample)

    def on_failure(self, failure: Failure) -> None:
        self._hand_over(Said.FAILURE, failure)

    def on_trace(self, configuration: Configuration, trace: Path) -> None:
        self.traces[configuration.name] = trace
        self._hand_over(Said.TRACE, (configuration, trace))

    def on_sitting(self, configuration: str | None, environment: dict[str, Any]) -> None:
        self._hand_over(Said.SITTING, (configuration, environment))

    def on_settled(self, warmup: Warmup) -> None:
        self._hand_over(Said.SETTLED, warmup)

    def on_state(self, state: MachineState) -> None:
        self._hand_over(Said.STATE, state)

    def _say(self, what: Said, value: Any) -> None:
        self.connection.send((what, value))

    def _hand_over(self, what: Said, value: Any) -> None:
        self._say(what, value)
        self.connection.recv()


class _LogRelay(logging.Handler):
    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send((Said.LOG, (record.levelno, record.getMessage())))


def main(descriptor: int) -> None:
    """Run in a fresh process on the connection that was inherited under this descriptor."""
    _die_with_parent()
    connection = Connection(descriptor)
    config, log_level, path = connection.recv()
    sys.path[:] = path
    logger = logging.getLogger("maskprof")
    logger.setLevel(log_level)
    logger.handlers[:] = [_LogRelay(connection)]
    logger.propagate = False
    try:
        _run(connection, config)
    except MaskprofError as error:
        connection.send((Said.REFUSED, error))
    except (EOFError, BrokenPipeError):
        # The parent is gone, and with it whoever wanted to know.
        os._exit(1)


def _run(connection: Connection, config: RunConfig) -> None:
    relay = Relay(connection)
    setup = set_up(config, relay)
    connection.send((Said.READY, setup.subject))
    order: Order = connection.recv()
    relay.samples, relay.traces = order.samples, order.traces
    configurations = [c for c in setup.subject.configurations if c.name == order.configuration]
    # Where it cannot be interrupted, the parent ends this process.
    limits = Limits(config.timeout_per_config, None)
    measure(setup, configurations, relay, limits)
    trace(setup, configurations, relay, limits)
    connection.send((Said.DONE, None))


def _die_with_parent() -> None:
    """Leave no process that goes on alone, even if the parent is killed in the middle of a pass."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def words(descriptor: int) -> Sequence[str]:
    """The command that starts a child on an inherited descriptor."""
    return (sys.executable, "-c", f"from maskprof.sweep.child import main; main({descriptor})")
