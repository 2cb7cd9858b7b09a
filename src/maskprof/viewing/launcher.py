"""TensorBoard over a folder of runs, on this machine alone, with the profiler plugin where it is installed."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tensorboard import default, program

from maskprof.errors import ConfigError
from maskprof.viewing.trace_page import PLUGIN_PACKAGE

HOST = "127.0.0.1"


def has_profiler_plugin() -> bool:
    """Whether the plugin that shows the traces is installed."""
    return find_spec(PLUGIN_PACKAGE) is not None


@contextmanager
def tensorboard(logdir: Path, port: int | None) -> Iterator[str]:
    """TensorBoard over `logdir` while the context lasts; gives its address.

    Args:
        logdir: a folder with runs in it.
        port: None is the next free one from 6006 on, 0 any free one.

    Raises:
        ConfigError: the port is taken, or may not be used.
    """
    _prepare_plugin_processes()
    board = program.TensorBoard(plugins=_plugins())
    # In one process: its own reader of event files would be a second one to start and to end.
    flags = ["--logdir", str(logdir), "--host", HOST, "--load_fast", "false"]
    if port is not None:
        flags += ["--port", str(port)]
    board.configure(["tensorboard", *flags])
    try:
        address = board.launch()
    except program.TensorBoardPortInUseError:
        raise ConfigError(
            f"--port: {port} is in use; choose another, or leave it out for the next free one"
        ) from None
    except program.TensorBoardServerException as error:
        raise ConfigError(f"TensorBoard does not start: {error.msg}") from None
    try:
        # Smoothing would bend curves over depth; this turns it off on the page that opens first.
        yield f"{address}?smoothing=0"
    finally:
        for reading in multiprocessing.active_children():
            reading.terminate()


def _plugins() -> list[Any]:
    """TensorBoard's own and every installed one, the profiler plugin exchanged for the offline one."""
    if not has_profiler_plugin():
        return list(default.get_plugins())
    # It inherits from what may not be installed.
    from maskprof.viewing.profiler_plugin import OfflineProfilerPlugin, PluginLoader  # noqa: PLC0415

    others = [
        plugin
        for plugin in default.get_plugins()
        if getattr(plugin, "plugin_name", None) != OfflineProfilerPlugin.plugin_name
    ]
    return [*others, PluginLoader()]


def _prepare_plugin_processes() -> None:
    """How the plugin reads traces: a process each, which it starts all at once."""
    # Its diary of what it reads goes to the terminal.
    os.environ.setdefault("TORCH_PROFILER_LOG_LEVEL", "ERROR")
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    if sys.platform == "linux":
        # A fresh interpreter for each trace takes seconds before the first shows.
        os.environ.setdefault("TORCH_PROFILER_START_METHOD", "fork")
        os.register_at_fork(after_in_child=_leave_ending_to_the_parent)


def _leave_ending_to_the_parent() -> None:
    """Ctrl-C reaches the whole group of processes, and each would tell where it was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
