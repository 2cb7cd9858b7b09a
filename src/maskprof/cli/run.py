"""`maskprof run`: measure and trace a model under masks, then show and save what it costs."""

import argparse
import atexit
import gc
import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich.console import Console
from rich.logging import RichHandler

from maskprof.cli.options import add_run_arguments, run_config
from maskprof.cli.streams import StdoutError
from maskprof.config.schema import RunConfig
from maskprof.counted_nouns import count
from maskprof.errors import ResultError
from maskprof.interruption import EXIT_INTERRUPTED, handled, ignore_signals
from maskprof.measuring.garbage import without_collection
from maskprof.reports.consoles import stderr_console, stdout_console
from maskprof.reports.unread import silence
from maskprof.results.configurations import configurations_of
from maskprof.results.journal import read_journal
from maskprof.results.schema import RunResult
from maskprof.results.store import ResultStore

if TYPE_CHECKING:
    from maskprof.experiment import Outcome

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_UNWRITABLE = 2
_INTERRUPTED = "interrupted: what was measured is saved; the same command with --resume goes on"


@dataclass(slots=True)
class _Progress:
    """How far the command is, for what to say when it is interrupted."""

    saved: "Outcome | None" = None
    shown: bool = False
    written: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `maskprof run`."""
    add_run_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; see `maskprof.experiment.run`.

    Returns:
        The exit code: 0 done, 1 some configurations failed, 130 interrupted.
    """
    # From here on, and not from the first sample on: torch alone takes seconds to import.
    with handled():
        config, progress = run_config(args), _Progress()
        try:
            return _run(config, args.verbose, progress)
        except KeyboardInterrupt:
            sys.stderr.write(f"maskprof: {_interrupted(config, progress)}\n")
            return EXIT_INTERRUPTED


def _run(config: RunConfig, verbosity: int, progress: _Progress) -> int:
    # One for both: a log line that another console wrote would tear the progress bar.
    stderr = stderr_console()
    _set_up_logging(verbosity, stderr)

    # What can be found wrong without torch is found before it is imported, which takes seconds.
    from maskprof.models.locate import check_model_path, expected_blocks  # noqa: PLC0415
    from maskprof.models.pictures import open_picture  # noqa: PLC0415

    expected = expected_blocks(check_model_path(config))
    if expected is not None:
        configurations_of(config, expected)
    open_picture(config.image)

    with without_collection():
        from maskprof.experiment import run as run_experiment  # noqa: PLC0415
        from maskprof.reports.console import print_result  # noqa: PLC0415
        from maskprof.reports.progress import ProgressDisplay  # noqa: PLC0415
        from maskprof.reports.tensorboard import write_events  # noqa: PLC0415

    # What is left when the process ends goes with it: looking through it once more takes a second.
    for last in (gc.freeze, ignore_signals):
        atexit.unregister(last)
        atexit.register(last)

    display = ProgressDisplay(stderr)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(torch|transformers|accelerate|gguf)\b")
            outcome = run_experiment(
                config, display, on_saved=lambda saved: setattr(progress, "saved", saved)
            )
    finally:
        display.stop()
    unread: BrokenPipeError | StdoutError | None = None
    try:
        print_result(outcome.result, stdout_console(), where=_where(config, outcome.result))
        sys.stdout.flush()
    except (BrokenPipeError, StdoutError) as error:
        unread = error
    progress.shown = unread is None
    # After the tables: should the disk be full here, the answer has been seen.
    if config.trace and outcome.result.summary:
        write_events(outcome.result, config.resolved_trace_dir)
    progress.written = True
    if isinstance(unread, BrokenPipeError):
        silence(sys.stdout)
    elif unread is not None:
        saved = f"maskprof: {unread}; the result is saved in {config.output_dir}"
        stderr.print(saved, markup=False, highlight=False, soft_wrap=True)
    if outcome.interrupted:
        stderr.print(_INTERRUPTED, markup=False, highlight=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    if any(failure.costs_configuration for failure in outcome.result.failures):
        return EXIT_SOME_FAILED
    # How the run went is of more use than that nobody read it; where it went well, this is what is left to say.
    if isinstance(unread, BrokenPipeError):
        raise unread
    return EXIT_DONE if unread is None else EXIT_UNWRITABLE


def _interrupted(config: RunConfig, progress: _Progress) -> str:
    """What to say of an interruption that did not end the measuring."""
    if progress.saved is None:
        return _before_any_sample(config)
    result = progress.saved.result
    missing = [] if progress.shown else ["the tables"]
    if config.trace and result.summary and not progress.written:
        missing.append("TensorBoard's files")
    begun = f"interrupted after the measuring was done and everything saved in {config.output_dir}"
    if not missing:
        return f"{begun}; nothing is missing"
    ways = (
        []
        if progress.shown or not result.summary
        else [f"maskprof report {quote(config.output_dir)} shows it"]
    )
    # A configuration that failed is tried again.
    again = "" if result.failures else " and measures nothing again"
    ways.append(f"the same command with --resume goes on from there{again}")
    return f"{begun}: only {' and '.join(missing)} are missing; {', or '.join(ways)}"


def _before_any_sample(config: RunConfig) -> str:
    """What to say of an interruption before this command has measured anything."""
    store = ResultStore(Path(config.output_dir))
    try:
        there = len(read_journal(store.journal_path).samples)
    except ResultError:
        there = 0
    if config.resume and there:
        return (
            f"interrupted before another sample was taken: the {count(there, 'sample')} of before stay in "
            f"{store.journal_path}, and the same command goes on with them"
        )
    begun = "interrupted before the first sample, while loading or warming up: nothing was measured yet"
    older = there or store.result_path.is_file()
    kept = (
        f"what an earlier run measured is kept in {config.output_dir}, and"
        if older
        else "there is nothing to keep, and"
    )
    return f"{begun}, {kept} the same command begins again"


def _where(config: RunConfig, result: RunResult) -> list[tuple[str, str]]:
    output_dir = Path(config.output_dir)
    lines = [("Results", f"{output_dir}/")]
    if result.summary:
        lines.append(("Report", f"maskprof report {quote(str(output_dir))}"))
    of_configuration = {item.configuration: item.trace for item in result.attribution if item.trace}
    if not of_configuration:
        return lines
    # Of all traces the one to open first: some blocks skipped, some not.
    masked = (c.name for c in result.configurations if c.num_skipped_blocks and c.name in of_configuration)
    first = of_configuration[next(masked, next(iter(of_configuration)))]
    return [
        *lines,
        ("TensorBoard", f"maskprof view {config.resolved_trace_dir}"),
        ("Perfetto, Chrome", f"{first}  (ui.perfetto.dev, chrome://tracing)"),
    ]


def _set_up_logging(verbosity: int, stderr: Console) -> None:
    """`-v` logs which blocks are active, `-vv` each step; on stderr, so that tables stay clean."""
    logger = logging.getLogger("maskprof")
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
    logger.handlers[:] = [RichHandler(console=stderr, show_path=False, show_level=False)]
