"""The `maskprof` command: picks the subcommand, and turns errors into sentences and exit codes."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import NamedTuple

from maskprof.cli.options import CommandParser
from maskprof.cli.streams import guarded
from maskprof.errors import MaskprofError
from maskprof.interruption import EXIT_INTERRUPTED
from maskprof.reports.escapes import visible
from maskprof.reports.unread import silence
from maskprof.version import __version__

EXIT_BAD_INPUT = 2
# What a shell reports for a command whose reader went away (128 + SIGPIPE).
EXIT_BROKEN_PIPE = 141


class Command(NamedTuple):
    """A subcommand: a module with `add_arguments(parser)` and `run(args) -> int`, imported when chosen."""

    module: str
    help: str


COMMANDS = {
    "run": Command(
        "maskprof.cli.run", "measure and trace a model under masks, and show what each block costs"
    ),
    "analyze": Command("maskprof.cli.analyze", "tell what is in profiler traces: kernels, idle time, blocks"),
    "diff": Command("maskprof.cli.diff", "tell what changed from one profiler trace to another"),
    "report": Command("maskprof.cli.report", "show runs as one page of HTML, and their plots as files"),
    "view": Command("maskprof.cli.view", "show traces and results in a browser, with no network"),
    "compare": Command(
        "maskprof.cli.compare", "tell which block became slower from one set of traces to another"
    ),
    "doctor": Command("maskprof.cli.doctor", "look at the machine before a long run"),
    "models": Command("maskprof.cli.models", "list the presets that need no weights"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (by default the process's own) and return the exit code.

    0: done; 1: some configurations failed; 2: bad flag, bad input, or an output that cannot be written to; 130:
    interrupted. A broken pipe on stdout ends quietly with 141, where none of the others says more.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with guarded():
        return _guarded_main(words)


def _guarded_main(words: list[str]) -> int:
    try:
        code = _exit_code_of(words)
        # Flushed here, since a broken pipe found at interpreter exit could not be handled any more.
        sys.stdout.flush()
    except MaskprofError as error:
        return _complain(str(error), EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        return _complain("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The interpreter flushes both once more when it exits.
        silence(sys.stdout, sys.stderr)
        return EXIT_BROKEN_PIPE
    return code


def _exit_code_of(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except SystemExit as stop:
        # argparse's way to end after --help (0) and after a bad flag (2); a text would be somebody else's.
        if isinstance(stop.code, int):
            return stop.code
        raise


def _dispatch(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        return _run_command(words[0], words[1:])
    parser = CommandParser(
        prog="maskprof",
        usage="maskprof COMMAND [options]",
        description="What a transformer costs when some of its blocks are skipped.",
        epilog=_command_list(),
    )
    parser.add_argument(
        "--version", action="store_true", help="show the versions of maskprof and what it runs on"
    )
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    args = parser.parse_args(words)
    if args.version:
        sys.stdout.write(f"{_versions()}\n")
    elif args.command is None:
        parser.print_help()
    else:
        parser.error(f"there is no command {args.command!r}; the commands are {', '.join(COMMANDS)}")
    return 0


def _run_command(name: str, words: list[str]) -> int:
    command = COMMANDS[name]
    module = import_module(command.module)
    parser = CommandParser(
        prog=f"maskprof {name}", description=f"{command.help[0].upper()}{command.help[1:]}."
    )
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(words))
    return code


def _command_list() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["commands:", *lines, "", "maskprof COMMAND --help shows the options of one."])


def _versions() -> str:
    lines = [f"maskprof {__version__}", f"python {python_version()}"]
    for package in ("torch", "transformers"):
        try:
            # From the installed metadata: importing torch takes seconds.
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines)


def _complain(sentence: str, code: int) -> int:
    # A sentence may quote names from a file, in which anything may stand.
    try:
        sys.stderr.write("".join(f"maskprof: {visible(line)}\n" for line in sentence.splitlines() or [""]))
        sys.stderr.flush()
    except BrokenPipeError:
        silence(sys.stderr)
    return code
