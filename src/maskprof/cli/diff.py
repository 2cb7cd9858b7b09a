"""`maskprof diff`: what changed from one profiler trace to another."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from maskprof.cli.outputs import add_output_flags, outputs_of
from maskprof.cli.trace_options import TRACES, add_reading_flags, reading_options
from maskprof.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from maskprof.results.trace_summary import TraceSummary

_DEFAULT_PERCENT = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `maskprof diff`."""
    parser.usage = "%(prog)s A B [options]"
    text = "a trace, .json or .json.gz; a directory with one in it"
    parser.add_argument("a", metavar="A", help=f"the trace before: {text}; or - for stdin")
    parser.add_argument("b", metavar="B", help="the trace after: likewise")
    add_reading_flags(parser)
    parser.add_argument_group("comparing").add_argument(
        "--threshold",
        metavar="PERCENT",
        type=_percent,
        default=_DEFAULT_PERCENT,
        help=f"times less than this apart, or less than 1 us, count as the same [{_DEFAULT_PERCENT:g}]",
    )
    add_output_flags(parser, top=True)


def run(args: argparse.Namespace) -> int:
    """Compare two traces and show what changed.

    Returns:
        The exit code 0: a difference is no failure.

    Raises:
        ConfigError: an output cannot be written to, or both traces are stdin.
        TraceError: a trace cannot be read, or a directory holds none or several.
    """
    # Imported here: numpy is not needed to say which flags there are.
    from maskprof.analysis.trace_diff import Threshold, diff  # noqa: PLC0415
    from maskprof.traces.reader import STDIN  # noqa: PLC0415

    if args.a == args.b == STDIN:
        raise ConfigError("A and B cannot both be stdin: give one of them as a file")
    paths = [_path(given) for given in (args.a, args.b)]
    outputs = outputs_of(args, {TRACES: [Path(path) for path in paths if path != STDIN]})
    first, second = (_summary(path, args) for path in paths)
    found = diff(first, second, threshold=Threshold(relative=args.threshold / 100))

    def json() -> str:
        from maskprof.results.serialize_trace import dump_diff  # noqa: PLC0415

        return dump_diff(found)

    def csv() -> dict[str, str]:
        from maskprof.reports.trace_csv import diff_csvs  # noqa: PLC0415

        return diff_csvs(found)

    def markdown() -> str:
        from maskprof.reports.trace_markdown import diff_to_markdown  # noqa: PLC0415

        return diff_to_markdown(found, top=args.top)

    def tables(console: "Console") -> None:
        from maskprof.reports.trace_console import print_diff  # noqa: PLC0415

        print_diff(found, console, top=args.top)

    outputs.write(json=json, csv=csv, markdown=markdown, tables=tables)
    return 0


def _path(given: str) -> str:
    from maskprof.errors import TraceError  # noqa: PLC0415
    from maskprof.traces.reader import STDIN, find_traces  # noqa: PLC0415

    paths = [given] if given == STDIN else list(map(str, find_traces(given)))
    if len(paths) > 1:
        raise TraceError(f"{given} holds {len(paths)} traces: give one of them, such as {paths[0]}")
    return paths[0]


def _summary(path: str, args: argparse.Namespace) -> "TraceSummary":
    from maskprof.analysis.analyze import analyze  # noqa: PLC0415
    from maskprof.traces.reader import read_trace  # noqa: PLC0415

    return analyze(read_trace(path, **reading_options(args)), within=args.within)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:  # noqa: PLR2004 - percent
        raise argparse.ArgumentTypeError(f"needs a number from 0 to 100, got {text!r}")
    return value
