"""The `maskprof` command as a user runs it, and what it leaves behind."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

RESULT = "exp3_transformer_blocks_mask_results.json"
STATISTICS = ("P50", "P95", "P99", "mean", "std", "min", "max")
# One thread: the machine's cores are shared, and tiny models do not gain from more.
_SETTINGS = {"OMP_NUM_THREADS": "1", "COLUMNS": "80", "PYTHONUNBUFFERED": "1"}
_LEFT_OUT = ("NO_COLOR", "FORCE_COLOR", "CUDA_VISIBLE_DEVICES")
_TIME_LIMIT_S = 240


class Finished(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


def environment(**changes: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    return own | _SETTINGS | changes


def maskprof(*words: object, cwd: Path, **changes: str) -> Finished:
    """Run the command in a process of its own, with pipes for stdout and stderr."""
    return finished([sys.executable, "-m", "maskprof", *map(str, words)], cwd=cwd, **changes)


def finished(words: list[str], *, cwd: Path, **changes: str) -> Finished:
    process = subprocess.run(
        words,
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=_TIME_LIMIT_S,
    )
    return Finished(process.returncode, process.stdout, process.stderr)


def read_result(output_dir: Path) -> dict[str, Any]:
    return json.loads((output_dir / RESULT).read_text(encoding="utf-8"))


def read_journal(output_dir: Path) -> list[dict[str, Any]]:
    """The samples in a journal; a line that is still being written is left out."""
    path = output_dir / "journal.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.is_file() else []
    entries = [json.loads(line) for line in whole]
    return [entry["sample"] for entry in entries if "sample" in entry]


def traces_in(trace_dir: Path) -> dict[str, Path]:
    """The trace of each configuration's folder; each must hold exactly one."""
    found = {}
    for folder in sorted(trace_dir.iterdir()):
        if folder.name != "summary":
            (found[folder.name],) = folder.glob("*.pt.trace.json.gz")
    return found


def range_counts(trace: Path) -> Counter[str]:
    """How often each of our ranges is in a trace, parsed without any of our code."""
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    ours = [e["name"] for e in events if e.get("cat") in ("user_annotation", "cpu_op")]
    return Counter(name for name in ours if name.startswith(("block.", "phase.")))
