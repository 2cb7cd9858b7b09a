"""Standard output and error that cannot be written to."""

import io
import sys

import pytest

from maskprof.cli import streams
from maskprof.cli.streams import StdoutError, guarded


class Full(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.fixture
def silenced(monkeypatch):
    found = []
    monkeypatch.setattr(streams, "silence", lambda *given: found.extend(given))
    return found


@pytest.mark.parametrize("act", ["write", "flush"])
def test_a_full_stdout_is_a_sentence(monkeypatch, silenced, act):
    full = Full(OSError(28, "No space left on device"))
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(StdoutError) as caught, guarded():
        getattr(sys.stdout, act)(*(["x"] if act == "write" else []))
    assert str(caught.value) == "standard output cannot be written to: No space left on device"
    assert silenced == [full]
    assert sys.stdout is full


def test_a_full_stderr_ends_nothing(monkeypatch, silenced):
    full = Full(OSError(5, "Input/output error"))
    monkeypatch.setattr(sys, "stderr", full)
    with guarded():
        assert sys.stderr.write("abc") == 3
        sys.stderr.flush()
    assert silenced == [full, full]


def test_a_reader_that_went_away_is_the_commands_affair(monkeypatch, silenced):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Full(BrokenPipeError()))
        with pytest.raises(BrokenPipeError), guarded():
            getattr(sys, name).write("x")
        with pytest.raises(BrokenPipeError), guarded():
            getattr(sys, name).flush()
        monkeypatch.undo()
    assert silenced == []


def test_closed_streams_swallow_everything(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded():
        for stream in (sys.stdout, sys.stderr):
            stream.write("x")
            stream.flush()
    assert sys.stdout is None
