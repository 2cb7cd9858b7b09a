"""Signals and time limits: where they break in, where they wait, and that none is lost."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from maskprof import interruption
from maskprof.interruption import TimeLimitError, handled, held, interruptible


def strike(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_interrupt(number):
    with handled(), pytest.raises(KeyboardInterrupt):
        strike(number)
        time.sleep(1)


def test_the_handlers_of_before_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with handled(), handled(), held(), interruptible(10.0):
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_signal_that_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handled():
            strike()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_inside_held_a_signal_waits_for_the_end_of_the_outermost():
    done = []
    with handled(), pytest.raises(KeyboardInterrupt):
        with held():
            with held():
                strike()
                done.append("inner")
            done.append("outer")
        done.append("never")
    assert done == ["inner", "outer"]


def test_a_pass_inside_held_can_be_interrupted():
    done = []
    with handled(), pytest.raises(KeyboardInterrupt), held():
        with interruptible():
            strike()
            time.sleep(1)
            done.append("never")
        done.append("never")
    assert done == []


def test_a_signal_that_waited_breaks_in_before_the_next_pass():
    done = []
    with handled(), pytest.raises(KeyboardInterrupt), held():
        strike()
        done.append("written down")
        with interruptible():
            done.append("never")
    assert done == ["written down"]


def test_an_interruption_that_was_swallowed_is_raised_again():
    done = []
    with handled(), pytest.raises(KeyboardInterrupt), held():
        with interruptible():
            try:
                strike()
                time.sleep(1)
            except BaseException:  # noqa: BLE001 - as in a callback, where errors are printed and forgotten
                done.append("swallowed")
        done.append("never")
    assert done == ["swallowed"]


def test_without_handlers_nothing_is_raised():
    with held(), interruptible():
        pass
    seen = []

    def elsewhere():
        with handled(), interruptible(0.001):
            time.sleep(0.05)
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_limit_ends_what_hangs():
    with held(), pytest.raises(TimeLimitError), interruptible(0.05):
        while True:
            time.sleep(0.001)


def test_a_limit_that_is_over_lets_nothing_begin():
    done = []
    with pytest.raises(TimeLimitError), interruptible(0.0):
        done.append("never")
    assert done == []


def test_a_limit_waits_while_something_is_put_back_and_then_comes():
    done = []
    with pytest.raises(TimeLimitError), interruptible(0.02):
        with held():
            time.sleep(0.06)
            done.append("put back")
        time.sleep(5)
        done.append("never")
    assert done == ["put back"]


def test_a_limit_that_was_swallowed_is_raised_at_the_end():
    with pytest.raises(TimeLimitError), interruptible(0.02), contextlib.suppress(TimeLimitError):
        time.sleep(5)


def test_what_ends_in_time_is_left_alone():
    stuck = []
    with interruptible(30.0, lambda: stuck.append(1)):
        pass
    assert stuck == []
    assert interruption._state.overdue is False


def test_where_no_exception_arrives_another_thread_is_told(monkeypatch):
    monkeypatch.setattr(interruption, "GRACE_S", 0.05)
    monkeypatch.setattr(interruption, "_LOOK_EVERY_S", 0.01)
    told = threading.Event()
    with pytest.raises(TimeLimitError), interruptible(0.02, told.set), held():
        # Held is as deaf as native code.
        assert told.wait(10)


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_the_second_signal_ends_at_once():
    ended = python(
        "import os, signal, atexit\n"
        "from maskprof.interruption import handled, held\n"
        "atexit.register(print, 'never')\n"
        "with handled(), held():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('never')\n"
    )
    assert (ended.returncode, ended.stdout) == (130, "still here\n")
    assert ended.stderr == f"maskprof: {interruption.AT_ONCE}\n"


def test_code_that_stops_all_of_python_is_ended_too():
    ended = python(
        "import ctypes\n"
        "from maskprof import interruption\n"
        "interruption.GRACE_S = 0.1\n"
        "lock, native = (ctypes.c_char * 64)(), ctypes.PyDLL(None)\n"
        "native.pthread_mutex_lock(lock)\n"
        "with interruption.interruptible(0.1, lambda: None):\n"
        "    native.pthread_mutex_lock(lock)\n"
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Timeout (")


def test_a_process_that_is_done_hears_no_signal_any_more():
    ended = python(
        "import atexit, os, signal\n"
        "from maskprof.interruption import ignore_signals\n"
        "atexit.register(lambda: [os.kill(os.getpid(), n) for n in (signal.SIGTERM, signal.SIGINT)])\n"
        "atexit.register(ignore_signals)\n"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
