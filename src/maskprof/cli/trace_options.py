"""What `maskprof analyze` and `maskprof diff` share: flags, reading, and where what was found goes."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskprof.errors import ConfigError
from maskprof.results.store import prepare, write_whole

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_TOP = 10
_STDOUT = "-"


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
        type=_positive,
        help="refuse a trace whose text, unpacked, is longer than this [a limit against gzip bombs]",
    )
    group.add_argument("--max-text-bytes", dest="max_text_bytes", type=_positive, help=argparse.SUPPRESS)


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Flags on where it goes; with none of them, tables on the terminal."""
    group = parser.add_argument_group("output", "with `-`, that alone is on stdout, without tables")
    group.add_argument("--json", metavar="FILE|-", help="everything that was found, names in full")
    group.add_argument("--csv", metavar="DIR", help="a CSV file per table, complete, names in full")
    group.add_argument("--markdown", metavar="FILE|-", help="the tables as Markdown")
    group.add_argument(
        "--top",
        metavar="N",
        type=_positive,
        default=DEFAULT_TOP,
        help=f"rows of long tables, on the terminal and in Markdown [{DEFAULT_TOP}]",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where what was found goes, checked before any work."""

    json: str | None
    csv: Path | None
    markdown: str | None

    @property
    def shows_tables(self) -> bool:
        """Whether stdout is free for tables."""
        return _STDOUT not in (self.json, self.markdown)

    def write(
        self,
        *,
        json: Callable[[], str],
        csv: Callable[[], Mapping[str, str]],
        markdown: Callable[[], str],
        tables: Callable[["Console"], None],
    ) -> None:
        """Make and write what was asked for; tables on the terminal unless stdout is taken.

        Raises:
            ConfigError: a place cannot be written to.
        """
        asked = ((self.json, json), (self.markdown, markdown))
        for place, text in asked:
            if place not in (None, _STDOUT):
                write_whole(Path(place), text())
        if self.csv is not None:
            for name, content in csv().items():
                write_whole(self.csv / name, content)
        # Files first: whoever reads stdout may go away.
        for place, text in asked:
            if place == _STDOUT:
                write_stdout(text())
        if self.shows_tables:
            from maskprof.reports.consoles import stdout_console  # noqa: PLC0415 - JSON does without rich

            tables(stdout_console(highlight=False))


def outputs_of(args: argparse.Namespace, traces: list[str]) -> Outputs:
    """The outputs that were asked for.

    Raises:
        ConfigError: two on stdout, one that would overwrite a trace, or a place that cannot be written to.
    """
    if args.json == args.markdown == _STDOUT:
        raise ConfigError("--json - and --markdown - would mix on stdout: write one of them to a file")
    inputs = {Path(trace).resolve() for trace in traces if trace != _STDOUT}
    for flag, place in (("--json", args.json), ("--markdown", args.markdown)):
        if place is None or place == _STDOUT:
            continue
        path = Path(place)
        if path.resolve() in inputs:
            raise ConfigError(
                f"{flag}: {place} is one of the traces and would be overwritten; name another file"
            )
        if path.is_dir():
            raise ConfigError(f"{flag}: {place} is a directory; name a file in it")
        if not path.parent.is_dir():
            raise ConfigError(f"{flag}: there is no folder {path.parent} for {path.name}")
    if args.csv is not None:
        prepare(Path(args.csv))
    return Outputs(json=args.json, csv=None if args.csv is None else Path(args.csv), markdown=args.markdown)


def write_stdout(text: str) -> None:
    """Write text that an output which is not Unicode can hold too."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    """Options for the reader."""
    return {} if args.max_text_bytes is None else {"max_text_bytes": args.max_text_bytes}


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return value
