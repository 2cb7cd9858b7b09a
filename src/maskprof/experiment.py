"""The whole job on one page: load the model, make the masks, measure them clean, trace each, attribute, save.

The running half (models, skipping, measuring, recording) and the reading half (traces, analysis, results) meet
here and in `sweep/`, which holds the parts, and nowhere else.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maskprof.config.schema import RunConfig
from maskprof.interruption import handled, held, interruptible
from maskprof.recording.session import discard
from maskprof.results.journal import Journal
from maskprof.results.lock import locked
from maskprof.results.schema import Configuration, RunResult
from maskprof.results.store import ResultStore, prepare, remove_drafts, within
from maskprof.sweep.assembling import assemble
from maskprof.sweep.collecting import Collected, Display
from maskprof.sweep.in_process import Work, in_process
from maskprof.sweep.isolated import isolated
from maskprof.sweep.limits import Limits, give_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A run's result, and whether it was interrupted before its end."""

    result: RunResult
    interrupted: bool


def run(
    config: RunConfig, display: Display, on_saved: Callable[[Outcome], object] = lambda _outcome: None
) -> Outcome:
    """Measure and trace what `config` asks for; everything is saved under its folders when this returns.

    An interruption (Ctrl-C, SIGTERM) ends the measuring and not the saving. A configuration that fails is
    recorded among the failures, and the others go on.

    Args:
        config: what is asked for.
        display: what is told of how far it is.
        on_saved: called with the outcome as soon as it is saved: an interruption after that loses nothing.

    Raises:
        MaskprofError: the input cannot be meant, or the folders cannot be used; what was measured is in the journal.
        KeyboardInterrupt: the interruption came before the first sample, and nothing was saved; or after `on_saved`.
    """
    store = ResultStore(Path(config.output_dir))
    begin = isolated if config.isolate else in_process
    # Held from before the first sample until all is saved: an interruption breaks in only where samples are taken.
    with handled(), _folders(config, store), begin(config, display) as work, held():
        with _journal(config, store, work) as journal:
            collected = Collected(journal, display, config.resolved_trace_dir)
            interrupted = _take(work, collected, store)
        display.stage("saving")
        result = assemble(work.subject, collected)
        store.save(result)
        outcome = Outcome(result=result, interrupted=interrupted)
        on_saved(outcome)
    return outcome


def _take(work: Work, collected: Collected, store: ResultStore) -> bool:
    """Measure and trace; whether that was interrupted."""

    def on_stuck(configuration: Configuration) -> None:
        give_up(
            configuration,
            work.subject.config,
            collected,
            lambda: store.save(assemble(work.subject, collected)),
        )

    configurations = [c for c in work.subject.configurations if c.name not in collected.left_out]
    limits = Limits(work.subject.config.timeout_per_config, on_stuck)
    try:
        with interruptible():
            work.measure(configurations, collected, limits)
            # Before anything is traced: whatever happens to a profiler, the clean figures are there.
            store.save(assemble(work.subject, collected))
            work.trace(configurations, collected, limits)
    except KeyboardInterrupt:
        if not collected.samples:
            # There is nothing to save, and the result of an earlier run may lie in the folder.
            raise
        return True
    return False


@contextmanager
def _folders(config: RunConfig, store: ResultStore) -> Iterator[None]:
    """The folders of a run, writable and its own; what a run that was killed left half-written there is removed."""
    folders = [store.output_dir, config.resolved_trace_dir] if config.trace else [store.output_dir]
    for folder in folders:
        prepare(folder)
    with locked(folders):
        for folder in folders:
            remove_drafts(folder)
        yield


def _journal(config: RunConfig, store: ResultStore, work: Work) -> Journal:
    """The journal to go on with, or a new one; traces of the run before would not belong to it."""
    identity = work.subject.identity
    if config.resume:
        return Journal.resume(store.journal_path, identity)
    if config.trace:
        for configuration in work.subject.configurations:
            discard(within(config.resolved_trace_dir, configuration.name))
    return Journal.create(store.journal_path, identity)
