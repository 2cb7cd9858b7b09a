"""Where what was found goes, alike in every command: the flags `--json`, `--csv` and `--markdown`."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskprof.errors import ConfigError
from maskprof.results.outputs import check_outputs, is_stdout, write_output
from maskprof.results.store import prepare

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_TOP = 10
STDOUT = "-"


def add_output_flags(
    parser: argparse.ArgumentParser,
    *,
    json: str = "everything that was found, names in full",
    csv: str | None = "a CSV file per table, complete, names in full",
    markdown: str | None = "the tables as Markdown",
    top: bool = False,
) -> None:
    """Flags on where it goes; with none of them, tables on the terminal."""
    group = parser.add_argument_group(
        "output",
        "without FILE or with `-`, that alone is on stdout, without tables; FILE is never a trace that is there",
    )
    group.add_argument("--json", nargs="?", const=STDOUT, metavar="FILE|-", help=json)
    if csv is not None:
        group.add_argument("--csv", metavar="DIR", help=csv)
    if markdown is not None:
        group.add_argument("--markdown", nargs="?", const=STDOUT, metavar="FILE|-", help=markdown)
    if top:
        group.add_argument(
            "--top",
            metavar="N",
            type=positive,
            default=DEFAULT_TOP,
            help=f"rows of long tables, on the terminal and in Markdown [{DEFAULT_TOP}]",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where what was found goes, checked before any work."""

    json: str | None
    csv: Path | None
    markdown: str | None
    inputs: Mapping[str, Sequence[Path]]

    @property
    def shows_tables(self) -> bool:
        """Whether stdout is free for tables."""
        return STDOUT not in (self.json, self.markdown)

    @property
    def files(self) -> list[tuple[str, Path]]:
        """The files that were named, by their flags."""
        named = (("--json", self.json), ("--markdown", self.markdown))
        return [(flag, Path(place)) for flag, place in named if place is not None and place != STDOUT]

    def write(
        self,
        *,
        json: Callable[[], str],
        csv: Callable[[], Mapping[str, str]] | None = None,
        markdown: Callable[[], str] | None = None,
        tables: Callable[["Console"], None] | None = None,
    ) -> None:
        """Make and write what was asked for; tables on the terminal, where there are any, unless stdout is taken.

        Raises:
            ConfigError: a place cannot be written to, or a table's file would overwrite what was read.
        """
        asked = [(self.json, json), (self.markdown, markdown)]
        made = [(place, text()) for place, text in asked if place is not None and text is not None]
        folder = self.csv
        in_folder = csv() if folder is not None and csv is not None else {}
        if folder is not None:
            files = [("--csv", folder / name) for name in in_folder]
            check_outputs([*self.files, *files], self.inputs)
            for name, content in in_folder.items():
                write_output(folder / name, content)
        for place, text in made:
            if place != STDOUT:
                write_output(Path(place), text)
        # Files first: whoever reads stdout may go away.
        for place, text in made:
            if place == STDOUT:
                write_stdout(text)
        if tables is not None and self.shows_tables:
            from maskprof.reports.consoles import stdout_console  # noqa: PLC0415 - JSON does without rich

            tables(stdout_console(highlight=False))


def outputs_of(
    args: argparse.Namespace, inputs: Mapping[str, Iterable[Path]], also: Mapping[str, Path] | None = None
) -> Outputs:
    """The outputs that were asked for.

    Args:
        args: of a parser with `add_output_flags`.
        inputs: what is read: what it is (`one of the traces`), and the files.
        also: other files that are written, by their flags.

    Raises:
        ConfigError: two on stdout or in one file, one that would overwrite what is read, or a place that cannot be
            written to.
    """
    json, markdown = (place_of(getattr(args, name, None)) for name in ("json", "markdown"))
    csv = getattr(args, "csv", None)
    if json == markdown == STDOUT:
        raise ConfigError("--json - and --markdown - would mix on stdout: write one of them to a file")
    outputs = Outputs(
        json=json,
        csv=None if csv is None else Path(csv),
        markdown=markdown,
        inputs={what: tuple(paths) for what, paths in inputs.items()},
    )
    files = [*outputs.files, *(also or {}).items()]
    check_outputs(files, outputs.inputs)
    _refuse_traces(files)
    if outputs.csv is not None:
        prepare(outputs.csv)
    return outputs


def _refuse_traces(files: Iterable[tuple[str, Path]]) -> None:
    """Of words behind a flag without its FILE, as in `analyze --json A B`, the first one is taken for FILE."""
    from maskprof.traces.finding import is_trace  # noqa: PLC0415 - not needed for --help

    for flag, path in files:
        if is_trace(path):
            raise ConfigError(
                f"{flag}: {path} is a trace and would be overwritten; name another file, or where it is to be read, "
                f"put {flag} behind it{'' if flag == '--html' else f' or write {flag}=-'}"
            )


def write_stdout(text: str) -> None:
    """Write text that an output which is not Unicode can hold too."""
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def write_page(html: str) -> None:
    """Write a page of HTML to stdout, in UTF-8 as it says of itself, whatever the terminal's encoding is."""
    # What stands in for stdout in a program may have no encoding to set.
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.stdout.write(html)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return value


def place_of(place: str | None) -> str | None:
    """`-` for stdout by any of its names."""
    return STDOUT if place is not None and place != STDOUT and is_stdout(Path(place)) else place
