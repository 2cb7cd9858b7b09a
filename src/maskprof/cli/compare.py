"""`maskprof compare BEFORE AFTER`: which block became slower, from traces of both sides, and whether it is chance."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `maskprof compare`."""
    parser.description = (
        "Compare the blocks of two sets of traces recorded by maskprof, block by block: which one became slower. "
        "Give each side several traces, at least 3, recorded alternately, with many decode steps (--trace_steps 50)."
    )
    for name, what in (("before", "one side"), ("after", "the other")):
        parser.add_argument(
            name, metavar=name.upper(), type=Path, help=f"{what}: a trace, or a folder of traces"
        )
    parser.add_argument(
        "--resolve",
        metavar="SHARE",
        type=_share,
        help="also estimate how many traces would be needed to find a block that is slower by this: 2%% or 0.02",
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def run(args: argparse.Namespace) -> int:
    """Compare and print.

    Returns:
        0, whatever was found.

    Raises:
        TraceError: a side has no traces, or they cannot be compared.
    """
    from maskprof.analysis.slower_blocks import compare_blocks  # noqa: PLC0415
    from maskprof.traces.reader import find_traces, read_trace  # noqa: PLC0415

    sides = [[read_trace(path) for path in find_traces(side)] for side in (args.before, args.after)]
    comparison = compare_blocks(*sides, resolve=args.resolve)
    if args.json:
        sys.stdout.write(json.dumps(asdict(comparison), indent=2) + "\n")
        return 0

    from maskprof.reports.consoles import stdout_console  # noqa: PLC0415
    from maskprof.reports.slower_blocks_table import (  # noqa: PLC0415
        comparison_table,
        resolution,
        verdict,
    )
    from maskprof.reports.table_console import print_table  # noqa: PLC0415

    console = stdout_console()
    console.print(
        verdict(comparison), style="bold yellow" if comparison.clear else "bold green", highlight=False
    )
    for sentence in resolution(comparison):
        console.print(sentence, highlight=False)
    console.print()
    print_table(comparison_table(comparison), console)
    return 0


def _share(text: str) -> float:
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"needs a share such as 2% or 0.02, got {text!r}")
    return share
