"""`maskprof view` in a process of its own, for as long as a test looks at what it shows."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.e2e.command import environment

_TIME_LIMIT_S = 60


@contextmanager
def viewing(*words: object, cwd: Path, **changes: str) -> Iterator[str]:
    """The address at which `maskprof view WORDS` answers; that Ctrl-C ends it well is checked."""
    command = [sys.executable, "-m", "maskprof", "view", "--port", "0", "--no_browser", *map(str, words)]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    try:
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", first)
        assert found, first + process.communicate(timeout=_TIME_LIMIT_S)[1]
        yield found[0]
        process.send_signal(signal.SIGINT)
        process.wait(_TIME_LIMIT_S)
        rest, errors = process.stdout.read(), process.stderr.read()
        assert (process.returncode, rest, errors) == (0, "Ctrl-C ends it.\n\n", "")
    finally:
        process.kill()
        # What it started may live on and hold the pipes.
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_TIME_LIMIT_S)
