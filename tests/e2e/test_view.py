"""`maskprof view` as a user meets it: what it prints, how it ends, what it refuses. What it shows: tests/browser."""

import signal
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from tests.e2e.command import environment, maskprof
from tests.support.servers import viewing
from tests.support.traces import TraceBuilder

pytestmark = pytest.mark.e2e

pytest.importorskip("torch_tb_profiler", reason="needs the plugin: pip install torch-tb-profiler")


@pytest.fixture
def trace(tmp_path):
    (tmp_path / "first-01-of-02").mkdir()
    return (
        TraceBuilder()
        .op("aten::mul", 1, 2)
        .write(tmp_path / "first-01-of-02" / "maskprof.1.pt.trace.json.gz")
    )


def test_tensorboard_answers_until_ctrl_c(trace, tmp_path):
    with viewing(tmp_path, cwd=tmp_path) as address, urlopen(f"{address}data/plugins_listing") as answer:
        assert b"pytorch_profiler" in answer.read()


def test_a_port_that_is_taken(trace, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for what in (trace, tmp_path):
            said = maskprof("view", what, "--port", port, cwd=tmp_path)
            sentence = (
                f"maskprof: --port: {port} is in use; choose another, or leave it out for the next free one\n"
            )
            assert said == (2, "", sentence)


def test_a_request_to_terminate_is_no_failure(trace, tmp_path):
    words = [sys.executable, "-m", "maskprof", "view", "--port", "0", "--no_browser", str(trace)]
    options = {"cwd": tmp_path, "env": environment(), "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **options) as process:
        assert process.stdout.readline().startswith(f"{trace}: http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_the_browser_is_opened_where_there_is_one(trace, tmp_path):
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.draft\nmv {seen}.draft {seen}\n')
    browser.chmod(0o755)
    words = [sys.executable, "-m", "maskprof", "view", "--port", "0", str(trace)]
    options = {"cwd": tmp_path, "env": environment(BROWSER=str(browser)), "stdout": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **options) as process:
        address = process.stdout.readline().split()[1]
        for _ in range(300):
            if seen.exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert seen.read_text() == f"{address}\n"
