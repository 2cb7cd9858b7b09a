"""In a terminal: a live bar that goes away, log lines above it, and no colours where they are not wanted."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.command import environment

pytestmark = pytest.mark.e2e

_COLOUR = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7]|38;[25];[0-9;]+)\b[0-9;]*m")
_CODE = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


def in_terminal(words, *, cwd, **changes):
    """Run a command on a terminal of its own; its exit code, and all that it wrote there."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        words,
        cwd=cwd,
        env=environment(TERM="xterm-256color", **changes),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return process.wait(60), written.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a system with terminals")
def test_no_color_leaves_the_bar_and_takes_the_colours(tmp_path, gpt2):
    words = ("run", "--model_path", gpt2, "--num_samples", 4, "--output_dir", "out", "--no_trace", "-v")
    code, text = in_terminal(
        [sys.executable, "-m", "maskprof", *map(str, words)], cwd=tmp_path, NO_COLOR="1", COLUMNS="100"
    )
    assert code == 0, text
    assert "\x1b[" in text, "it took it for a terminal"
    assert not _COLOUR.search(text)
    assert " 0/12 " in text, "the bar begins before the first sample"
    before_the_tables = text.partition("tiny-gpt2 · ")[0]
    assert re.search(r"\x1b\[2K(\x1b\[[0-9;]*m)*$", before_the_tables), "the bar is wiped away"
    tables = _CODE.sub("", text.removeprefix(before_the_tables))
    lines = tables.splitlines()
    assert any(line.startswith("Latency (4 samples") for line in lines)
    assert max(map(len, lines)) <= 100
    # Logged above the bar, not into it.
    logged = [line for line in _CODE.sub("", before_the_tables).split("\n") if "active blocks" in line]
    assert [line.partition("active blocks ")[2].strip() for line in logged] == ["[0]", "[0, 1]"]
