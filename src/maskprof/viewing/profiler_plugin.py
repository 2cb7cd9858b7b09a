"""TensorBoard's profiler plugin, with the two scripts that its pages load from the internet answered from here.

The plugin itself is the installed torch-tb-profiler, unchanged; this is a subclass that serves two of its pages
otherwise, and two scripts more.
"""

from collections.abc import Callable
from typing import Any

from tensorboard.plugins import base_plugin
from torch_tb_profiler.plugin import TorchProfilerPlugin
from werkzeug import Request, Response
from werkzeug.exceptions import InternalServerError

from maskprof.viewing.trace_page import installed_file, static_text, waiting_page

_CHARTS_OUTSIDE = "https://www.gstatic.com/charts/loader.js"
_CHARTS_HERE = "charts.js"


class OfflineProfilerPlugin(TorchProfilerPlugin):  # type: ignore[misc]  # has no types
    """The installed plugin, for machines and browsers without internet."""

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """The installed plugin's routes, with our own for what would need a network."""
        routes: dict[str, Callable[..., Any]] = super().get_plugin_apps()
        return routes | {
            "/index.html": _answering(index_page, "text/html"),
            "/trace_embedding.html": _answering(waiting_page, "text/html"),
            f"/{_CHARTS_HERE}": _answering(charts_script, "text/javascript"),
        }


class PluginLoader(base_plugin.TBLoader):  # type: ignore[misc]  # has no types
    """Gives TensorBoard the offline plugin in place of the installed one."""

    def load(self, context: base_plugin.TBContext) -> OfflineProfilerPlugin:
        """The plugin for one TensorBoard."""
        return OfflineProfilerPlugin(context)


def index_page() -> str:
    """The plugin's main page, with the charts of this package."""
    page = installed_file("index.html")
    if _CHARTS_OUTSIDE not in page:
        raise InternalServerError(
            f"this version of torch-tb-profiler does not load {_CHARTS_OUTSIDE}; its pages are not known to maskprof"
        )
    return page.replace(_CHARTS_OUTSIDE, _CHARTS_HERE)


def charts_script() -> str:
    """What stands in for the script that the charts would come from."""
    return static_text("chart_parts.js") + static_text("charts.js")


def _answering(text: Callable[[], str], kind: str) -> Callable[..., Any]:
    @Request.application
    def answer(_request: Request) -> Response:
        headers = {"X-Content-Type-Options": "nosniff"}
        return Response(text(), content_type=f"{kind}; charset=utf-8", headers=headers)

    return answer
