"""`maskprof view`: a run's traces and results in TensorBoard, or one trace in a page, with no network."""

import argparse
import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from maskprof.errors import ConfigError
from maskprof.results.outputs import check_outputs, is_stdout, write_output

_LAST_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `maskprof view`."""
    parser.add_argument(
        "path",
        metavar="DIR|TRACE",
        type=Path,
        help="a folder of traces or results of maskprof run, for TensorBoard; or one trace",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="port on 127.0.0.1, 0 for any [the next free one from 6006 on]"
    )
    for spelling, text in (("--no_browser", "only print the address"), ("--no-browser", argparse.SUPPRESS)):
        parser.add_argument(spelling, action="store_true", help=text)
    parser.add_argument(
        "--html", type=_place, metavar="FILE|-", help="write the page of one trace to a file instead"
    )
    parser.add_argument(
        "--speedscope",
        type=_place,
        metavar="FILE|-",
        help="write one trace for speedscope.app to a file instead",
    )


def run(args: argparse.Namespace) -> int:
    """Show what is there until Ctrl-C, or write the files that were asked for.

    Returns:
        0, also after Ctrl-C: that is how showing ends.
    """
    if args.port is not None and not 0 <= args.port <= _LAST_PORT:
        raise ConfigError(f"--port: a port is a number from 0 to {_LAST_PORT}, got {args.port}")
    if args.path == Path("-"):
        raise ConfigError("view shows files and folders, and standard input is neither")
    if args.html or args.speedscope:
        _write(args.path, args.html, args.speedscope)
        return 0
    with _ending_quietly():
        if args.path.exists() and not args.path.is_dir():
            _show_trace(args)
        else:
            _show_runs(args)
    return 0


def _show_runs(args: argparse.Namespace) -> None:
    # Both take a second to import, and --help needs neither.
    from maskprof.viewing.launcher import has_profiler_plugin, tensorboard  # noqa: PLC0415
    from maskprof.viewing.logdir import find_logdir  # noqa: PLC0415
    from maskprof.viewing.trace_page import INSTALL_PLUGIN  # noqa: PLC0415

    logdir = find_logdir(args.path)
    if not has_profiler_plugin():
        sys.stderr.write(f"the pages of the traces need torch-tb-profiler: {INSTALL_PLUGIN}\n")
    _serve(tensorboard(logdir, args.port), f"TensorBoard, over {logdir}", args)


def _show_trace(args: argparse.Namespace) -> None:
    from maskprof.viewing.page_server import serving  # noqa: PLC0415
    from maskprof.viewing.trace_page import trace_page  # noqa: PLC0415

    _serve(serving(trace_page(args.path), args.port), str(args.path), args)


def _serve(server: AbstractContextManager[str], what: str, args: argparse.Namespace) -> None:
    with server as address:
        sys.stdout.write(f"{what}: {address}\nCtrl-C ends it.\n")
        sys.stdout.flush()
        if not args.no_browser and _has_screen():
            webbrowser.open(address)
        threading.Event().wait()


def _write(path: Path, html: Path | None, speedscope: Path | None) -> None:
    from maskprof.traces.finding import one_trace  # noqa: PLC0415
    from maskprof.viewing.speedscope import speedscope_text  # noqa: PLC0415
    from maskprof.viewing.trace_page import read_content, trace_page  # noqa: PLC0415

    file = one_trace(path)
    named = (("--html", html), ("--speedscope", speedscope))
    if all(place and is_stdout(place) for _, place in named):
        raise ConfigError("--html - and --speedscope - would mix on stdout: write one of them to a file")
    check_outputs([(flag, place) for flag, place in named if place], {"the trace": [file]})
    # Once for both: a pipe gives its content only once.
    content = read_content(file)
    made = []
    if html:
        made.append((html, trace_page(file, content), "a browser"))
    if speedscope:
        made.append((speedscope, speedscope_text(file, content), "speedscope"))
    # Said when all is written: whoever reads it may go away.
    for place, text, _ in made:
        write_output(place, text)
    said = "".join(f"{place}: open it in {program}\n" for place, _, program in made)
    (sys.stderr if any(is_stdout(place) for place, _, _ in made) else sys.stdout).write(said)


def _place(text: str) -> Path:
    """`-` is stdout, as in the other commands."""
    return Path("/dev/stdout" if text == "-" else text)


def _has_screen() -> bool:
    """Whether a browser would open a window; on a bare terminal it could take over the terminal instead."""
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """Ctrl-C and a request to terminate end what is inside, and are no error."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    finally:
        signal.signal(signal.SIGTERM, before)
