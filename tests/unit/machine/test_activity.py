import os

import pytest

from maskprof.machine.activity import Counters, Shares, read_counters, shares


def test_counts_are_those_of_the_first_line(tmp_path, monkeypatch):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu  100 10 50 1000 40 5 6 7 90 90\ncpu0 1 2 3\n")
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    monkeypatch.setattr(os, "times", lambda: os.times_result((1.0, 0.5, 0.2, 0.3, 9.0)))
    # Guest time (the last two) is in the others already; waiting for disks is no work.
    assert read_counters(tmp_path) == Counters(busy=171.0, idle=1040.0, stolen=7.0, own=200.0)


@pytest.mark.parametrize("text", ["", "cpu 1 2\n", "cpu a b c d e f g h\n"])
def test_what_cannot_be_read_is_not_known(tmp_path, text):
    assert read_counters(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(text)
    assert read_counters(tmp_path) is None


def test_shares_leave_out_what_is_ones_own():
    before = Counters(busy=1000.0, idle=1000.0, stolen=10.0, own=100.0)
    now = Counters(busy=1150.0, idle=1040.0, stolen=20.0, own=150.0)
    assert shares(before, now) == Shares(others=0.5, stolen=0.05)
    # The process's own clock may be a tick ahead.
    ahead = Counters(busy=1050.0, idle=1040.0, stolen=20.0, own=152.0)
    assert shares(before, ahead) == Shares(others=0.0, stolen=0.1)


def test_no_shares_of_no_time():
    one = Counters(busy=1.0, idle=1.0, stolen=0.0, own=0.0)
    assert shares(one, one) is None
    assert shares(None, one) is None
    assert shares(one, None) is None
