"""One run at a time in a folder, and no lock outlives its holder."""

import os
import platform
import re
import signal
import subprocess
import sys
import threading

import pytest

from maskprof.errors import ConfigError
from maskprof.results import lock
from maskprof.results.lock import LOCK_NAME, locked

HOLDER = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from maskprof.results.lock import locked\n"
    "with locked([Path(sys.argv[1])]):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(100)\n"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_named(tmp_path, holder):
    with pytest.raises(ConfigError) as refused, locked([tmp_path]):
        pass
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path))} is in use by process {holder.pid} on '{re.escape(platform.node())}' "
        rf"since '{since}': wait for its end, or choose another folder",
        str(refused.value),
    )


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK_NAME).exists()
    with locked([tmp_path]):
        pass
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind_and_the_same_folder_is_locked_once(tmp_path):
    with locked([tmp_path, tmp_path / "." / "", tmp_path]):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_NAME]
    assert list(tmp_path.iterdir()) == []


def test_of_two_folders_none_stays_locked_where_one_is_taken(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with locked([tmp_path / "b"]):
        with (
            pytest.raises(ConfigError, match="b is in use by process"),
            locked([tmp_path / "a", tmp_path / "b"]),
        ):
            pass
        assert list((tmp_path / "a").iterdir()) == []
        assert len(list((tmp_path / "b").iterdir())) == 1


def test_a_holder_that_says_nothing_is_another_run(tmp_path):
    with locked([tmp_path]):
        os.truncate(tmp_path / LOCK_NAME, 0)
        with pytest.raises(ConfigError, match=r"is in use by another run: wait"), locked([tmp_path]):
            pass


def test_many_at_the_same_time_hold_it_one_by_one(tmp_path):
    inside, most, turns = [0], [0], [0]
    start = threading.Barrier(8)

    def take_turns():
        start.wait()
        while turns[0] < 50:
            try:
                with locked([tmp_path]):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    turns[0] += 1
                    inside[0] -= 1
            except ConfigError:
                continue

    threads = [threading.Thread(target=take_turns) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns[0] >= 50, list(tmp_path.iterdir())) == ([1], True, [])


def test_a_link_in_the_locks_place_is_not_followed(tmp_path):
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK_NAME).symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="out cannot be written to: "), locked([tmp_path / "out"]):
        pass
    assert elsewhere.read_text() == "mine"


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with locked([tmp_path]), locked([tmp_path]):
        pass
