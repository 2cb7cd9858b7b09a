"""One trace as one HTML page: Catapult's viewer, what it lacks in today's browsers, and the trace, packed.

The page asks for nothing outside itself, and says so to the browser, which then allows nothing else.
"""

import base64
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from maskprof.errors import ConfigError, TraceError
from maskprof.traces.finding import one_trace
from maskprof.traces.reader import read_trace
from maskprof.viewing.browser_json import packed_json

PLUGIN_PACKAGE = "torch_tb_profiler"
INSTALL_PLUGIN = "pip install 'maskprof[plugin]'"

# The viewer reads a trace as one string, and Chromium's hold no more than this.
_MOST_CHARACTERS = 512 * 1024 * 1024
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = (
    "html, body, #trace-viewer { width: 100%; height: 100% } html, body { margin: 0; overflow: hidden } "
    "#trace-viewer:focus { outline: none }"
)


def trace_page(path: Path, content: bytes | None = None) -> str:
    """A page that shows the trace at `path` from anywhere, a file included.

    Args:
        path: a trace, or a folder with exactly one.
        content: what is in the file, where it was read already, as a pipe can be read only once.

    Raises:
        TraceError: there is no whole trace at `path`, or one that no browser can hold or read.
        ConfigError: torch-tb-profiler, which brings the viewer, is not installed.
    """
    viewer = viewer_source()
    file = one_trace(path)
    read = content if content is not None else read_content(file)
    # What is no trace is told here, in a sentence, and not by the viewer.
    trace = read_trace(NamedBytes(read, str(file)), max_text_bytes=_MOST_CHARACTERS)
    if trace.account.truncated:
        raise TraceError(
            f"{trace.path} is cut off, and the viewer shows whole traces only; maskprof analyze reads the rest"
        )
    return _page(file.name, viewer, base64.b64encode(packed_json(read, trace.account, trace.path)).decode())


class NamedBytes(BytesIO):
    """What was read of a file, with the file's name for the reader."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def read_content(file: Path) -> bytes:
    """All that is in a file or comes through a pipe.

    Raises:
        TraceError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise TraceError(f"{file} cannot be read: {error.strerror or error}") from None


def waiting_page() -> str:
    """The same page without a trace: it shows the one that the page around it sends.

    Raises:
        ConfigError: torch-tb-profiler is not installed.
    """
    return _page("Trace", viewer_source(), None)


def viewer_source() -> str:
    """Catapult's trace viewer as one HTML document, from the installed torch-tb-profiler.

    Raises:
        ConfigError: as `installed_file`.
    """
    return installed_file("trace_viewer_full.html")


def installed_file(name: str) -> str:
    """A page of the installed torch-tb-profiler.

    Raises:
        ConfigError: it is not installed, or has no such page.
    """
    spec = find_spec(PLUGIN_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the trace viewer comes with torch-tb-profiler, which is not installed: {INSTALL_PLUGIN}"
        )
    path = Path(spec.origin).with_name("static") / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        raise ConfigError(
            f"this version of torch-tb-profiler is not known to maskprof: it has no {path}"
        ) from None


def static_text(name: str) -> str:
    """A file of this package's own `static/`."""
    return (files("maskprof.viewing") / "static" / name).read_text(encoding="utf-8")


def _page(title: str, viewer: str, packed: str | None) -> str:
    parts = [
        "<!doctype html>\n<html><head><meta charset='utf-8'>",
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{escape(title)}</title><link rel='icon' href='data:,'><style>{_STYLE}</style>",
        f"<script>{static_text('elements.js')}</script></head><body>",
        viewer,
        f"<script>{static_text('trace_page.js')}</script>",
    ]
    if packed is not None:
        parts.append(f"<script type='text/plain' id='packed-trace'>{packed}</script>")
    return "".join([*parts, "</body></html>\n"])
