"""Whole outputs on a terminal, of summaries made by hand."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from maskprof.analysis.ranks import compare_ranks
from maskprof.analysis.trace_diff import diff
from maskprof.reports.consoles import stdout_console
from maskprof.reports.trace_console import print_diff, print_traces
from tests.support.trace_summaries import cpu_summary, gpu_summary, make_blocks, ranks_of_job, strange_summary

SUMMARIES = {
    "gpu": lambda: [gpu_summary()],
    "cpu": lambda: [cpu_summary()],
    "by_kernels": lambda: [
        replace(
            gpu_summary(3, 3),
            blocks=make_blocks(
                [True] * 3, source="period", told=False, note="Blocks are stretches of kernels."
            ),
        )
    ],
    "ranks": lambda: ranks_of_job(4, late=2),
    "two": lambda: [gpu_summary(path="a.json"), cpu_summary(path="b.json")],
    "strange": lambda: [strange_summary()],
}
DIFFS = {
    "masked": lambda: (gpu_summary(16, 16, path="full.json"), gpu_summary(10, 16, path="masked.json")),
    "cpu": lambda: (cpu_summary(16, 16, path="full.json"), cpu_summary(10, 16, path="masked.json")),
}


class Encoded(io.StringIO):
    def __init__(self, encoding):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self):
        return self._encoding

    def write(self, text):
        text.encode(self._encoding)
        return super().write(text)


def rendered(show, width, *, encoding="utf-8", **options):
    file = Encoded(encoding)
    show(Console(file=file, width=width, **options))
    return file.getvalue()


def traces_text(name, width, *, top=10, **options):
    found = SUMMARIES[name]()
    return rendered(
        lambda console: print_traces(found, compare_ranks(found), console, top=top), width, **options
    )


def diff_text(name, width, *, top=10, **options):
    found = diff(*DIFFS[name]())
    return rendered(lambda console: print_diff(found, console, top=top), width, **options)


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", SUMMARIES)
def test_whole_output(golden, name, width):
    golden(f"trace_{name}_{width}.txt", traces_text(name, width))


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", DIFFS)
def test_whole_difference(golden, name, width):
    golden(f"diff_{name}_{width}.txt", diff_text(name, width))


def test_whole_output_in_ascii(golden):
    text = traces_text("gpu", 80, encoding="ascii")
    assert text.isascii()
    golden("trace_gpu_80_ascii.txt", text)


@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize("name", [name for name in SUMMARIES if name != "strange"])
def test_no_line_is_too_long(name, width):
    assert max(map(len, traces_text(name, width).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100, 140, 200])
@pytest.mark.parametrize("name", DIFFS)
def test_no_line_of_a_difference_is_too_long(name, width):
    assert max(map(len, diff_text(name, width).splitlines())) <= width


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("width", [80, 140])
def test_names_are_data(width, encoding):
    text = traces_text("strange", width, encoding=encoding, color_system=None)
    harmless = text.replace("\n", "")
    assert harmless.isprintable()
    # Markup of ours and of others stands there as it is.
    assert "[bold]b[/bold]" in text
    assert "\\x1b[31mred" in text
    assert "\\u202e" in text


def test_fewer_rows():
    text = traces_text("gpu", 80, top=2)
    assert "Kernels: the top 2 of 4" in text
    assert "2 other kernels with 13 % of the kernel time." in text
    assert "Operators: the top 2 of 3" in text


def test_no_color_is_honoured(monkeypatch):
    options = {"force_terminal": True, "legacy_windows": False}
    assert "\x1b[36m" in traces_text("gpu", 80, **options)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[36m" not in traces_text("gpu", 80, **options)


def test_a_reader_that_went_away_is_left_to_the_command():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    console = stdout_console(highlight=False)
    console.file = Gone()
    with pytest.raises(BrokenPipeError):
        print_traces(SUMMARIES["cpu"](), None, console, top=1)
