"""Signals and time limits: heard where nothing is half done, and never lost.

Ctrl-C (SIGINT) and a polite kill (SIGTERM) mean the same to a run: take nothing more, save, end. The first of
them raises `KeyboardInterrupt`, but not inside `held()`, where a sample is being written down or a model put
back; there it waits. The second one ends the process at once.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

EXIT_INTERRUPTED = 130
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
AT_ONCE = "ended at once: every sample taken is in the journal; the same command with --resume goes on"

# A pass that cannot be interrupted, since it is inside a call to native code, is given up after this.
GRACE_S = 5.0
# An exception that a model's own code swallowed is raised again this often.
_AGAIN_S = 0.5
_LOOK_EVERY_S = 0.5
_STDERR = 2
_SHOW_CURSOR = b"\x1b[?25h"


class TimeLimitError(Exception):
    """A configuration took longer than it may."""


@dataclass(slots=True)
class _State:
    """Of the process, as signal handlers are."""

    installed: bool = False
    holds: int = 0
    signals: int = 0
    waiting: bool = False
    overdue: bool = False


_state = _State()


@contextmanager
def handled() -> Iterator[None]:
    """SIGINT and SIGTERM raise `KeyboardInterrupt` once in here, where nothing holds them; a second one ends at once.

    Handlers that are there are put back at the end. Inside itself, and in other threads than the main one, where
    Python allows no handlers, this does nothing.
    """
    if _state.installed or threading.current_thread() is not threading.main_thread():
        yield
        return
    # Whoever started the process to ignore a signal, as nohup and shells in the background do, meant it.
    numbers = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in numbers}
    _state.installed, _state.signals, _state.waiting, _state.holds = True, 0, False, 0
    for number in numbers:
        signal.signal(number, _on_stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.installed = False


@contextmanager
def held() -> Iterator[None]:
    """What is begun in here is finished: a signal waits until the end of the outermost `held()`."""
    _state.holds += 1
    try:
        yield
    finally:
        _state.holds -= 1
    if _state.waiting and not _state.holds:
        _state.waiting = False
        raise KeyboardInterrupt


@contextmanager
def interruptible(
    limit_s: float | None = None, on_stuck: Callable[[], object] | None = None
) -> Iterator[None]:
    """Inside `held()`, the one place where signals and the time limit do break in: around a pass.

    An interruption that came before, or that the code inside swallowed, is raised at the latest when this ends.

    Args:
        limit_s: seconds after which `TimeLimitError` is raised in here; None is no limit. Only in the main thread.
        on_stuck: called in a thread of its own where that was raised in vain, because native code does not return.

    Raises:
        KeyboardInterrupt: a signal came.
        TimeLimitError: the limit is over.
    """
    held_before, _state.holds = _state.holds, 0
    try:
        _raise_what_waits()
        with _limited(limit_s, on_stuck):
            yield
        _raise_what_waits()
    finally:
        _state.holds = held_before


def _raise_what_waits() -> None:
    if _state.installed and _state.signals:
        _state.waiting = False
        raise KeyboardInterrupt


def _on_stop(_number: int, _frame: FrameType | None) -> None:
    _state.signals += 1
    if _state.signals > 1:
        end_at_once(EXIT_INTERRUPTED, AT_ONCE)
    if _state.holds:
        _state.waiting = True
    else:
        raise KeyboardInterrupt


def ignore_signals() -> None:
    """For the end of a process: everything is saved, and an interruption would only spoil the exit code."""
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def end_at_once(code: int, sentence: str) -> None:
    """End the process now, whatever its threads are in, with a sentence on stderr; nothing is cleaned up."""
    cursor = _SHOW_CURSOR if sys.stderr.isatty() else b""
    # Past Python's own buffers, whose locks the code that was interrupted may hold.
    os.write(_STDERR, cursor + f"maskprof: {sentence}\n".encode())
    os._exit(code)


@contextmanager
def _limited(limit_s: float | None, on_stuck: Callable[[], object] | None) -> Iterator[None]:
    if limit_s is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    if limit_s <= 0:
        raise TimeLimitError
    done = threading.Event()
    _state.overdue = False
    # Code that keeps even Python's threads from running is ended from outside of Python, with its stack on stderr.
    faulthandler.dump_traceback_later(limit_s + 2 * GRACE_S, exit=True, file=_STDERR)
    before = signal.signal(signal.SIGALRM, _on_alarm)
    if on_stuck is not None:
        threading.Thread(
            target=_watch, args=(time.monotonic() + limit_s + GRACE_S, done, on_stuck), daemon=True
        ).start()
    try:
        # Set in here, and taken back twice: a limit that is all but over is raised before the next line is reached, a
        # late one on the way out, and a timer that is left behind ends the process.
        try:
            signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        done.set()
        signal.signal(signal.SIGALRM, before)
    if _state.overdue:
        # It was raised, and the code inside went on nevertheless.
        raise TimeLimitError


def _on_alarm(_number: int, _frame: FrameType | None) -> None:
    _state.overdue = True
    if not _state.holds:
        raise TimeLimitError


def _watch(until_s: float, done: threading.Event, on_stuck: Callable[[], object]) -> None:
    while time.monotonic() < until_s:
        if done.wait(_LOOK_EVERY_S):
            return
    on_stuck()
