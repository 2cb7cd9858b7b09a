"""What `maskprof analyze` and `maskprof diff` share: flags on what is read of a trace."""

import argparse
from typing import Any

from maskprof.cli.outputs import positive

# How an output that would overwrite a trace is refused.
TRACES = "one of the traces"


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Flags on what is read of a trace."""
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--within",
        metavar="NAME",
        help="look only at what was launched inside the ranges of this name, such as phase.decode",
    )
    group.add_argument(
        "--max_text_bytes",
        metavar="N",
        type=positive,
        help="refuse a trace whose text, unpacked, is longer than this [a limit against gzip bombs]",
    )
    group.add_argument("--max-text-bytes", dest="max_text_bytes", type=positive, help=argparse.SUPPRESS)


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    """Options for the reader."""
    return {} if args.max_text_bytes is None else {"max_text_bytes": args.max_text_bytes}
