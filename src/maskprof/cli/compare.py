"""`maskprof compare BEFORE AFTER`: which block became slower, from traces of both sides, and whether it is chance."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from maskprof.cli.outputs import add_output_flags, outputs_of
from maskprof.cli.trace_options import TRACES

if TYPE_CHECKING:
    from rich.console import Console

    from maskprof.results.slower_blocks import BlockComparison


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
    add_output_flags(
        parser, json="the comparison", csv="the blocks as a CSV file", markdown="what was found as Markdown"
    )


def run(args: argparse.Namespace) -> int:
    """Compare, and show what was found or write it where it was asked for.

    Returns:
        0, whatever was found.

    Raises:
        TraceError: a side has no traces, or they cannot be compared.
        ConfigError: an output cannot be written to, or would overwrite a trace.
    """
    from maskprof.analysis.slower_blocks import compare_turns, turns_of  # noqa: PLC0415
    from maskprof.traces.reader import find_traces, read_trace  # noqa: PLC0415

    paths = [find_traces(side) for side in (args.before, args.after)]
    outputs = outputs_of(args, {TRACES: [*paths[0], *paths[1]]})
    # Of one trace after the other its turns only: many traces do not fit into memory.
    sides = [[turns_of(read_trace(path)) for path in side] for side in paths]
    comparison = compare_turns(*sides, resolve=args.resolve)

    def csv() -> dict[str, str]:
        from maskprof.reports.rows_csv import rows_to_csv  # noqa: PLC0415
        from maskprof.reports.slower_blocks_table import comparison_rows  # noqa: PLC0415

        return rows_to_csv({"blocks": comparison_rows(comparison)})

    def markdown() -> str:
        from maskprof.reports.slower_blocks_table import comparison_to_markdown  # noqa: PLC0415

        return comparison_to_markdown(comparison)

    outputs.write(
        json=lambda: json.dumps(asdict(comparison), indent=2) + "\n",
        csv=csv,
        markdown=markdown,
        tables=lambda console: _show(comparison, console),
    )
    return 0


def _show(comparison: "BlockComparison", console: "Console") -> None:
    from maskprof.reports.slower_blocks_table import (  # noqa: PLC0415
        comparison_table,
        resolution,
        verdict,
    )
    from maskprof.reports.table_console import print_table  # noqa: PLC0415

    console.print(verdict(comparison), style="bold yellow" if comparison.clear else "bold green")
    for sentence in resolution(comparison):
        console.print(sentence)
    console.print()
    print_table(comparison_table(comparison), console)


def _share(text: str) -> float:
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"needs a share such as 2% or 0.02, got {text!r}")
    return share
