"""`maskprof analyze`: what is in profiler traces, whoever recorded them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskprof.cli.outputs import Outputs, add_output_flags, outputs_of
from maskprof.cli.trace_options import TRACES, add_reading_flags, reading_options
from maskprof.errors import TraceError
from maskprof.reports.escapes import visible

if TYPE_CHECKING:
    from rich.console import Console

    from maskprof.results.trace_comparison import RankComparison
    from maskprof.results.trace_summary import TraceSummary

EXIT_DONE = 0
EXIT_BAD_INPUT = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `maskprof analyze`."""
    parser.usage = "%(prog)s TRACE... [options]"
    parser.add_argument(
        "traces",
        nargs="+",
        metavar="TRACE",
        help="a trace, .json or .json.gz; a directory of them, as of the ranks of one job; or - for stdin",
    )
    add_reading_flags(parser)
    parser.add_argument_group("roofline").add_argument(
        "--peaks",
        metavar="TEXT",
        help="what the device can do at most, where it is not known or known otherwise: bf16=989,gb_s=3350, or the "
        "name of a device such as MI300X",
    )
    add_output_flags(parser, top=True)


def run(args: argparse.Namespace) -> int:
    """Analyze the traces and show what was found.

    Returns:
        The exit code: 2 where one of several traces could not be read; the others are shown nevertheless.

    Raises:
        ConfigError: an output cannot be written to, or `--peaks` says nothing that can be understood.
        TraceError: no trace could be read.
    """
    # Imported here: numpy and the decoder are not needed to say which flags there are.
    from maskprof.analysis.ranks import compare_ranks  # noqa: PLC0415
    from maskprof.traces.reader import STDIN, find_traces  # noqa: PLC0415

    peaks = _peaks(args.peaks)
    found: list[TraceSummary] = []
    errors: list[TraceError] = []
    paths: list[str] = []
    for given in args.traces:
        try:
            paths += [given] if given == STDIN else [str(path) for path in find_traces(given)]
        except TraceError as error:
            errors.append(error)
    outputs = outputs_of(args, {TRACES: [Path(path) for path in paths if path != STDIN]})
    # One at a time: the columns of a trace are not kept longer than its analysis needs them.
    for path in dict.fromkeys(paths):
        try:
            found.append(_summary(path, args, peaks))
        except TraceError as error:
            errors.append(error)
    if not found:
        raise errors[0] if len(errors) == 1 else TraceError("; ".join(map(str, errors)))
    ranks = compare_ranks(found) if len(found) > 1 else None
    # The form follows what was asked for, not what could be read of it.
    _write(outputs, found, ranks, args.top, several=len(found) + len(errors) > 1)
    sys.stdout.flush()
    for problem in errors:
        sys.stderr.write(f"maskprof: {visible(str(problem))}\n")
    return EXIT_BAD_INPUT if errors else EXIT_DONE


def _summary(path: str, args: argparse.Namespace, peaks: Any) -> "TraceSummary":
    from maskprof.analysis.analyze import analyze  # noqa: PLC0415
    from maskprof.traces.reader import read_trace  # noqa: PLC0415

    trace = read_trace(path, **reading_options(args))
    return analyze(trace, within=args.within, peaks=peaks)


def _peaks(text: str | None) -> Any:
    if text is None:
        return None
    from maskprof.analysis.devices import parse_peaks  # noqa: PLC0415

    return parse_peaks(text)


def _write(
    outputs: Outputs, found: "list[TraceSummary]", ranks: "RankComparison | None", top: int, *, several: bool
) -> None:
    def json() -> str:
        from maskprof.results.serialize_trace import dump_summaries  # noqa: PLC0415

        return dump_summaries(found, ranks, as_list=several)

    def csv() -> dict[str, str]:
        from maskprof.reports.trace_csv import trace_csvs  # noqa: PLC0415

        return trace_csvs(found, ranks)

    def markdown() -> str:
        from maskprof.reports.trace_markdown import traces_to_markdown  # noqa: PLC0415

        return traces_to_markdown(found, ranks, top=top)

    def tables(console: "Console") -> None:
        from maskprof.reports.trace_console import print_traces  # noqa: PLC0415

        print_traces(found, ranks, console, top=top)

    outputs.write(json=json, csv=csv, markdown=markdown, tables=tables)
