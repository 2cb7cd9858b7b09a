"""`maskprof report`: a run, or several laid over each other, as one page of HTML; plots as files."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from maskprof.cli.outputs import STDOUT, Outputs, add_output_flags, outputs_of, place_of, write_page
from maskprof.counted_nouns import count
from maskprof.errors import ConfigError, MaskprofError
from maskprof.reports.page import Link, Run, page_of, plots_of
from maskprof.results.outputs import check_outputs, write_output
from maskprof.results.schema import RunResult
from maskprof.results.store import ResultStore, prepare
from maskprof.results.trace_summary import TraceSummary

if TYPE_CHECKING:
    from maskprof.reports.images import Kind

PAGE_NAME = "report.html"
EXIT_DONE = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `maskprof report`."""
    parser.add_argument(
        "output_dir",
        nargs="+",
        metavar="OUTPUT_DIR",
        help="folder of a run (its --output_dir); several are laid over each other",
    )
    parser.add_argument(
        "--html",
        metavar="FILE|-",
        help=f"where the page goes, - for stdout [{PAGE_NAME} in the first OUTPUT_DIR]",
    )
    parser.add_argument("--svg", metavar="DIR", help="also write the main plots as SVG files")
    parser.add_argument("--png", metavar="DIR", help="also write the main plots as PNG files")
    add_output_flags(
        parser,
        json="also write the rows of all tables",
        csv="also write a CSV file per table, in full",
        markdown="also write what a run prints at its end as Markdown",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page, and the plots and tables where they are asked for.

    Raises:
        ResultError: a folder holds no result, or one that cannot be read.
        ConfigError: the page, a plot or a table cannot be written where it should be, or would overwrite what is read.
    """
    folders = [Path(name) for name in args.output_dir]
    results = [ResultStore(folder).load() for folder in folders]
    target, base = _target(args.html, folders)
    outputs = outputs_of(args, _inputs(folders, results), {} if target is None else {"--html": target})
    if target is None and not outputs.shows_tables:
        raise ConfigError("--html - and another output would mix on stdout: write one of them to a file")

    from maskprof.reports.html import render_page  # noqa: PLC0415 - not needed for --help

    names = run_names(folders)
    runs = [
        _run(name, folder, result, base) for name, folder, result in zip(names, folders, results, strict=True)
    ]
    asked: tuple[tuple[Kind, str | None], ...] = (("svg", args.svg), ("png", args.png))
    images = {kind: Path(place) for kind, place in asked if place}
    plots = plots_of(runs) if images else ()
    drawn = [
        (f"--{kind}", folder / f"{plot.name}.{kind}") for kind, folder in images.items() for plot in plots
    ]
    for folder in images.values():
        prepare(folder)
    pages = [] if target is None else [("--html", target)]
    check_outputs([*pages, *outputs.files, *drawn], outputs.inputs)
    page = render_page(page_of(runs))
    # Said when all is written: whoever reads it may go away.
    written = ""
    if target is not None:
        write_output(target, page)
        written = f"Report  {target}\n"
    for kind, folder in images.items():
        from maskprof.reports.images import write_images  # noqa: PLC0415

        paths = write_images(plots, folder, kind)
        written += f"{kind.upper()}     {folder}/  ({count(len(paths), 'plot')})\n"
    _write_tables(outputs, list(zip(names, results, strict=True)))
    if target is None:
        write_page(page)
    (sys.stdout if outputs.shows_tables and target is not None else sys.stderr).write(written)
    return EXIT_DONE


def _target(html: str | None, folders: Sequence[Path]) -> tuple[Path | None, Path]:
    """The page's file, None for stdout; and the folder that its links start from: on stdout the current one."""
    if html and place_of(html) == STDOUT:
        return None, Path.cwd()
    target = Path(html) if html else folders[0] / PAGE_NAME
    if target.is_dir():
        raise ConfigError(f"--html {target} is a folder: name a file, such as {target / PAGE_NAME}")
    prepare(target.parent)
    return target, target.parent


def _write_tables(outputs: Outputs, runs: Sequence[tuple[str, RunResult]]) -> None:
    from maskprof.reports import result_tables  # noqa: PLC0415 - not needed for --help

    outputs.write(
        json=lambda: result_tables.results_to_json(runs),
        csv=lambda: result_tables.results_to_csv(runs),
        markdown=lambda: result_tables.results_to_markdown(runs),
    )


def _inputs(folders: Sequence[Path], results: Sequence[RunResult]) -> dict[str, list[Path]]:
    """What is read, and what the page links to: none of it may be written over."""
    stores = [ResultStore(folder) for folder in folders]
    traces = (trace_paths(folder, result).values() for folder, result in zip(folders, results, strict=True))
    return {
        "the result of a run": [store.result_path for store in stores],
        "a file of a run": [
            path
            for store in stores
            for path in (store.attribution_path, store.attribution_csv_path, store.journal_path)
        ],
        "a trace of a run": [path for found in traces for path in found if path is not None],
    }


def run_names(folders: list[Path]) -> list[str]:
    """What tells the folders apart: their names, with as many of their parents' as that takes."""
    resolved = [folder.resolve() for folder in folders]
    for depth in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({number})" for number, path in enumerate(resolved, start=1)]


def trace_paths(folder: Path, result: RunResult) -> dict[str, Path | None]:
    """By configuration where its trace is; None where it is recorded and no longer found.

    A result keeps the path as it was when the run was made, from the directory it was made in. When it has been
    moved with its traces beside it, as `results/NAME` and `traces/NAME`, they are found there.
    """
    found: dict[str, Path | None] = {}
    for item in result.attribution:
        if item.trace is None:
            continue
        recorded = Path(item.trace)
        inside = Path(*recorded.parts[-2:])
        places = (
            recorded,
            folder / recorded,
            folder / inside,
            folder.parent.parent / "traces" / folder.name / inside,
        )
        found[item.configuration] = next((place for place in places if place.is_file()), None)
    return found


def _run(name: str, folder: Path, result: RunResult, base: Path) -> Run:
    traces = trace_paths(folder, result)
    return Run(
        name=name,
        result=result,
        traces=_summaries(result, traces),
        links=_links(folder, traces, base),
    )


def _summaries(result: RunResult, traces: Mapping[str, Path | None]) -> dict[str, TraceSummary]:
    """What the traces hold, where there was a GPU; a trace that cannot be read costs its own part of the page."""
    with_device = {
        item.configuration
        for item in result.attribution
        if any(cost.device_us is not None for cost in item.phases)
    }
    wanted = {name: path for name, path in traces.items() if path is not None and name in with_device}
    if not wanted:
        return {}
    from maskprof.analysis.analyze import analyze  # noqa: PLC0415
    from maskprof.traces.reader import read_trace  # noqa: PLC0415

    found = {}
    for name, path in wanted.items():
        try:
            found[name] = analyze(read_trace(path))
        except MaskprofError as error:
            sys.stderr.write(f"maskprof: {path} is left out: {error}\n")
    return found


def _links(folder: Path, traces: Mapping[str, Path | None], base: Path) -> tuple[Link, ...]:
    store = ResultStore(folder)
    files = (
        (store.result_path, "statistics and every sample"),
        (store.attribution_path, "what the traces attribute to each block"),
        (store.attribution_csv_path, "the same as one table"),
        (store.journal_path, "each sample as it was measured"),
    )
    links = [
        Link(label=path.name, href=_href(path, base), note=note) for path, note in files if path.is_file()
    ]
    for name, path in traces.items():
        href = None if path is None else _href(path, base)
        note = (
            "is no longer where it was recorded" if path is None else "for ui.perfetto.dev or maskprof view"
        )
        links.append(Link(label=f"Trace of {name}", href=href, note=note, key=name))
    return tuple(links)


def _href(path: Path, base: Path) -> str:
    """The path relative to the page's folder, as an address."""
    relative = Path(os.path.relpath(path.resolve(), base.resolve()))
    return quote(relative.as_posix())
