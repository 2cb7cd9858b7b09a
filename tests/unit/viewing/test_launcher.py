import json
import socket
from pathlib import Path
from urllib.request import urlopen

import pytest

from maskprof.errors import ConfigError
from maskprof.viewing import launcher

torch_tb_profiler = pytest.importorskip(
    "torch_tb_profiler", reason="needs the plugin: pip install torch-tb-profiler"
)

from maskprof.viewing import profiler_plugin  # noqa: E402


@pytest.fixture(autouse=True)
def this_process_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(launcher, "_prepare_plugin_processes", lambda: None)


def names(plugins):
    return [getattr(plugin, "plugin_name", type(plugin).__name__) for plugin in plugins]


def test_the_profiler_plugin_is_exchanged_for_the_offline_one():
    found = names(launcher._plugins())
    assert found.count("PluginLoader") == 1
    assert "pytorch_profiler" not in found
    assert {"scalars", "hparams", "text"} <= set(found)


def test_without_the_plugin_the_native_dashboards_stay(monkeypatch):
    monkeypatch.setattr(launcher, "find_spec", lambda _name: None)
    monkeypatch.setattr(launcher.default, "get_dynamic_plugins", list)
    assert not launcher.has_profiler_plugin()
    found = names(launcher._plugins())
    assert "PluginLoader" not in found
    assert {"scalars", "hparams", "text"} <= set(found)


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"--port: {port} is in use"),
            launcher.tensorboard(tmp_path, port),
        ):
            pass


def test_it_answers_on_this_machine_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "find_spec", lambda _name: None)
    monkeypatch.setattr(launcher.default, "get_dynamic_plugins", list)
    with launcher.tensorboard(tmp_path, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        base = address.partition("?")[0]
        with urlopen(f"{base}data/plugins_listing") as answer:
            assert "scalars" in json.load(answer)


def test_the_installed_pages_ask_for_what_is_exchanged():
    """The installed plugin's pages name one script outside; ours name none."""
    installed = (Path(torch_tb_profiler.__file__).parent / "static" / "index.html").read_text(
        encoding="utf-8"
    )
    assert installed.count('<script src="https://') == 1
    page = profiler_plugin.index_page()
    assert '<script src="charts.js">' in page
    assert '<script src="https://' not in page
    assert "google" in profiler_plugin.charts_script()


def test_a_plugin_of_another_kind_is_noticed(monkeypatch):
    monkeypatch.setattr(profiler_plugin, "installed_file", lambda _name: "<html>")
    with pytest.raises(profiler_plugin.InternalServerError, match="not known to maskprof"):
        profiler_plugin.index_page()
