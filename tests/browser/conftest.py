"""Pages as a reader sees them: in headless Chromium, with no network. Skipped, with the reason, where it is missing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import maskprof
from tests.support.servers import viewing
from tests.unit.models import checkpoints

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.browser import OfflinePage


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """One headless Chromium for the whole session."""
    pytest.importorskip("playwright", reason="needs playwright: pip install playwright")
    from tests.support.browser import find_chromium, open_chromium

    executable = find_chromium()
    if executable is None:
        # CI installs it first, so that there these tests can't go missing unnoticed.
        assert "CI" not in os.environ, "there is no Chromium"
        pytest.skip("needs Chromium or Chrome: on Debian and Ubuntu, apt install chromium")
    with open_chromium(executable) as browser:
        yield browser


@pytest.fixture
def offline_page(chromium: "Browser") -> "Iterator[OfflinePage]":
    """A fresh page; that it asked for nothing outside and complained of nothing is checked at the end."""
    from tests.support.browser import OfflinePage

    page = OfflinePage(chromium)
    try:
        yield page
        page.check()
    finally:
        page.close()


@dataclass
class Run:
    """A run on disk: its folder of results and its folder of traces, in which `details` is of another run.

    That one, of a small llama, was recorded with shapes, stacks and memory.
    """

    output_dir: Path
    trace_dir: Path

    def trace_of(self, configuration: str) -> Path:
        (trace,) = (self.trace_dir / configuration).glob("*.pt.trace.json.gz")
        return trace


@pytest.fixture(scope="session")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The built-in model with 4, 10 and all 16 blocks, as `maskprof run` leaves it."""
    cwd = tmp_path_factory.mktemp("recorded")
    llama = cwd / "tiny-llama"
    checkpoints.tiny_llama(num_hidden_layers=4).save_pretrained(llama)
    checkpoints.word_tokenizer().save_pretrained(llama)
    quick = ("--num_samples", 5, "--num_warmup", 1, "--closure_samples", 1)
    said = maskprof(
        "run", "--output_dir", "out", "--trace_dir", "seen", "--num_active_blocks", 4, 10, 16, *quick, cwd=cwd
    )
    assert said.code == 0, said.err
    said = maskprof(
        *("run", "--model_path", llama, "--num_active_blocks", 2, "--output_dir", "details"),
        *("--trace_dir", "seen/details", "--trace_shapes", "--trace_stacks", "--trace_memory", *quick),
        cwd=cwd,
    )
    assert said.code == 0, said.err
    return Run(cwd / "out", cwd / "seen")


@pytest.fixture(scope="session")
def board(recorded_run: Run) -> Iterator[str]:
    """The address of `maskprof view` over that run, given the folder of its results."""
    with viewing(recorded_run.output_dir, cwd=recorded_run.output_dir.parent) as address:
        yield address
