import io
import threading

from rich.console import Console

from maskprof.reports.progress import ProgressDisplay


def run_through(display):
    display.stage("loading the model")
    display.start(total_samples=4, configurations=2)
    for stage in ("warming up", "measuring"):
        for name in ("first-04-of-16", "first-08-of-16"):
            display.advance(name, stage)
    display.stage("recording traces")
    display.stage("recording traces")
    display.stop()
    display.stop()


def test_a_pipe_gets_a_line_per_stage():
    file = io.StringIO()
    run_through(ProgressDisplay(Console(file=file, width=80)))
    assert file.getvalue().splitlines() == [
        "loading the model",
        "2 configurations, 4 samples",
        "warming up",
        "measuring",
        "recording traces",
    ]


def test_a_terminal_gets_a_bar_that_goes_away():
    file = io.StringIO()
    run_through(ProgressDisplay(Console(file=file, width=100, force_terminal=True, legacy_windows=False)))
    text = file.getvalue()
    assert "0/4" in text
    assert "first-04-of-16" in text
    assert "recording traces" in text
    # Cleared and the cursor shown again.
    assert text.rstrip().endswith("\x1b[2K")
    assert "\x1b[?25h" in text


def test_no_thread_draws_beside_the_measurement():
    display = ProgressDisplay(
        Console(file=io.StringIO(), width=100, force_terminal=True, legacy_windows=False)
    )
    before = threading.active_count()
    display.start(total_samples=4, configurations=2)
    display.advance("first-04-of-16", "measuring")
    assert threading.active_count() == before
    display.stop()


def test_by_default_it_writes_to_stderr(capsys):
    display = ProgressDisplay()
    display.stage("loading")
    display.stop()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "loading\n"
