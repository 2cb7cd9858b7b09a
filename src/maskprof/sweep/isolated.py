"""A run in processes of their own: one for each configuration, one after the other, for models that leak or crash.

The parent loads no model. It starts a process, takes what comes from it into the journal, and records a failure
where the process dies or takes too long; the next configuration begins with fresh memory. What is lost is the
interleaving: only a configuration and its own reference are measured in the same rounds.

All processes at once, taking turns, would keep it, and need the memory of all models at once.
"""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from typing import Any

from maskprof.config.schema import RunConfig
from maskprof.errors import ModelError, ResultError
from maskprof.interruption import GRACE_S, STOP_SIGNALS, held, interruptible
from maskprof.results.journal import differences
from maskprof.results.schema import PROCESS_STAGE, Configuration, Failure
from maskprof.sweep.assembling import read_traces
from maskprof.sweep.child import Order, Said, words
from maskprof.sweep.clean import missing, plan_of
from maskprof.sweep.collecting import Collected, Display
from maskprof.sweep.limits import Limits, too_long
from maskprof.sweep.setup import Subject

_log = logging.getLogger(__name__)


class Isolated:
    """Each configuration in a process of its own; the first of them also says what the run is of."""

    def __init__(self, config: RunConfig, display: Display) -> None:
        """Start the first process and wait until its model is loaded.

        Raises:
            MaskprofError: what the process found wrong, or how it ended.
        """
        self._config, self._display = config, display
        self._told: set[str] = set()
        self._child: _Child | None = _Child(config)
        try:
            self._subject = self._loaded(self._child)
        except _EndedError as ended:
            raise ModelError(f"--model_path: the process that loads it {ended}") from None
        except BaseException:
            self.close()
            raise

    @property
    def subject(self) -> Subject:
        return self._subject

    def measure(self, configurations: Sequence[Configuration], collected: Collected, limits: Limits) -> None:
        """Measure and, in the same process, trace what is missing of each configuration."""
        plan = plan_of(self._config, configurations, collected.samples)
        collected.display.start(missing(plan, configurations), len(configurations))
        for configuration in configurations:
            lacks_trace = self._config.trace and configuration.name not in collected.traces
            if not missing(plan, [configuration]) and not lacks_trace:
                continue
            try:
                with held():
                    self._run_one(configuration, collected, limits.limit_s)
            except _EndedError as ended:
                error = f"the process of this configuration {ended}"
                collected.on_failure(
                    Failure(configuration=configuration.name, stage=PROCESS_STAGE, error=error)
                )
            finally:
                self.close()

    def trace(self, _configurations: Sequence[Configuration], _collected: Collected, _limits: Limits) -> None:
        """Nothing is left to do: each process has traced what it measured."""

    def close(self) -> None:
        """End the process that is there."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _run_one(self, configuration: Configuration, collected: Collected, limit_s: float | None) -> None:
        if self._child is None:
            self._child = _Child(self._config)
            # While it loads nothing is timed: the only moment at which reading a trace disturbs nobody.
            read_traces(collected)
            with interruptible():
                subject = self._loaded(self._child)
            if changed := differences(self._subject.identity, subject.identity):
                raise ResultError(
                    f"the model or the machine changed while the run went on: {'; '.join(changed)}"
                )
        child = self._child
        child.send(
            Order(
                configuration=configuration.name,
                samples=list(collected.samples),
                traces=dict(collected.traces),
            )
        )
        # It ends a pass that takes too long itself; where it cannot, it is ended.
        until_s = None if limit_s is None else time.monotonic() + limit_s + GRACE_S
        try:
            while True:
                with interruptible():
                    has_said = child.has_said(None if until_s is None else until_s - time.monotonic())
                if not has_said:
                    raise _EndedError(f"was ended: {too_long(limit_s or 0)}")
                if self._take(child, collected):
                    return
        except KeyboardInterrupt:
            # A sample that is measured and on its way counts.
            while child.has_said(0):
                self._take(child, collected)
            raise

    def _loaded(self, child: "_Child") -> Subject:
        """Wait until a process has loaded."""
        while True:
            what, value = child.receive()
            if what == Said.READY:
                subject: Subject = value
                return subject
            if what == Said.REFUSED:
                raise value
            self._show(what, value)

    def _take(self, child: "_Child", collected: Collected) -> bool:
        """Take the next thing that a process says; whether it was the last one."""
        what, value = child.receive()
        if what == Said.DONE:
            return True
        if what == Said.REFUSED:
            raise value
        takers: dict[Said, Callable[[], None]] = {
            Said.SAMPLE: lambda: collected.on_sample(value),
            Said.FAILURE: lambda: collected.on_failure(value),
            Said.TRACE: lambda: collected.on_trace(*value),
            Said.SITTING: lambda: collected.on_sitting(*value),
            Said.SETTLED: lambda: collected.on_settled(value),
            Said.STATE: lambda: collected.on_state(value),
        }
        if what in takers:
            takers[what]()
            child.send(None)
        elif what == Said.WARMUP:
            collected.on_warmup(value)
        else:
            self._show(what, value)
        return False

    def _show(self, what: Said, value: Any) -> None:
        if what == Said.STAGE:
            self._display.stage(value)
        elif what == Said.LOG and value[1] not in self._told:
            # Every process says the same while it loads.
            self._told.add(value[1])
            _log.log(*value)


class _EndedError(Exception):
    """A process is no more, or was ended; the text goes on after "the process ..."."""


class _Child:
    """A started process and the connection to it."""

    def __init__(self, config: RunConfig) -> None:
        self._connection, theirs = Pipe()
        with _signals_blocked():
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, and nothing of the user's
                words(theirs.fileno()), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        theirs.close()
        self.send((config, logging.getLogger("maskprof").getEffectiveLevel(), sys.path))

    def send(self, value: Any) -> None:
        try:
            self._connection.send(value)
        except OSError:
            raise _EndedError(self._ending()) from None

    def has_said(self, wait_s: float | None) -> bool:
        """Whether there is something to receive, or the process has ended, within so many seconds."""
        return self._connection.poll(None if wait_s is None else max(0.0, wait_s))

    def receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            raise _EndedError(self._ending()) from None

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _ending(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        hint = ", as the system does where memory runs out" if -code == signal.SIGKILL else ""
        return f"was ended by {name}{hint}"


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started in here never hears Ctrl-C, which a terminal sends to all: its parent decides what it means."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def isolated(config: RunConfig, display: Display) -> Iterator[Isolated]:
    """Start the first process.

    Raises:
        MaskprofError: what it found wrong, or how it ended.
    """
    work = Isolated(config, display)
    try:
        yield work
    finally:
        work.close()
