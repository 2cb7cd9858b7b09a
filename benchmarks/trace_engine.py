"""How fast and in how much memory traces are read and analysed, beside HolisticTraceAnalysis and plain decoding.

    python benchmarks/trace_engine.py [FILE ...] --output docs/results/trace-engine.md

Readers take their turns on each file in shuffled rounds, so that what the machine does in the meantime hits all of
them; ratios are taken within a round. Twice: inside a process that has imported all it needs (`load` and
`analysis`), and as a whole process from start to end, with its peak memory. FILEs are real traces; without any,
those in the folder that MASKPROF_TRACES names. Traces generated at several sizes show how cost grows.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trace_readers import READERS, text_bytes

HERE = Path(__file__).parent
PACKAGES = ("HolisticTraceAnalysis", "pandas", "orjson", "msgspec", "numpy")
TITLES = {
    "maskprof": "maskprof",
    "hta": "HolisticTraceAnalysis",
    "bare": "bare decode",
    "orjson": "orjson",
}
MOST_OF_BARE, LEAST_OF_HTA, MOST_OF_PROCESS, MOST_MB = 1.5, 8.0, 0.25, 150.0
MB = 1_000_000
_HOW = """\
Made by `{command}`: {rounds} shuffled rounds a file ({large_rounds} where it has more than \
{large_mb:g} MB of text), medians with the range from lowest to highest. *maskprof* loads and does the whole analysis; \
*HolisticTraceAnalysis* (HTA) loads and breaks down by kernel; *bare decode* turns the whole text at once into typed \
objects (msgspec) and those into ten columns; *orjson* turns it into dictionaries. Unpacking gzip is in all of them. \
Ratios are of the same round."""


@dataclass(slots=True)
class Measured:
    """All rounds of all readers on one file; seconds and MB. The readers of a round are at the same index."""

    path: Path
    text_mb: float
    load: dict[str, list[float]] = field(default_factory=dict)
    total: dict[str, list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    peak_mb: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Server:
    """A reader that waits in a process of its own, with everything imported."""

    def __init__(self, reader: str) -> None:
        command = [sys.executable, str(HERE / "trace_readers.py"), reader, "--serve"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def read(self, path: Path) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args[2]} ended early")
        return line


def inside(measured: Measured, readers: Sequence[str], rounds: int) -> None:
    """Time the readers in running processes; the first round is for the caches and does not count."""
    servers = {reader: Server(reader) for reader in readers}
    try:
        for number in range(rounds + 1):
            for reader in random.sample(readers, len(readers)):
                if reader in measured.failed:
                    continue
                parts = servers[reader].read(measured.path)
                if "failed" in parts:
                    measured.failed[reader] = parts["failed"]
                elif number:
                    measured.load.setdefault(reader, []).append(parts["load"])
                    measured.total.setdefault(reader, []).append(sum(parts.values()))
    finally:
        for server in servers.values():
            server.close()


def whole(measured: Measured, readers: Sequence[str], rounds: int) -> None:
    """Time whole processes: the command of maskprof, a script of two lines for the others."""
    for _ in range(rounds):
        for reader in random.sample(readers, len(readers)):
            script = [sys.executable, str(HERE / "trace_readers.py"), reader, str(measured.path)]
            command = [sys.executable, "-m", "maskprof", "analyze", str(measured.path)]
            start = time.perf_counter()
            with Path(os.devnull).open("w") as nowhere:
                process = subprocess.Popen(command if reader == "maskprof" else script, stdout=nowhere)
                _, status, usage = os.wait4(process.pid, 0)
            measured.wall.setdefault(reader, []).append(time.perf_counter() - start)
            # Linux counts in kB, macOS in bytes.
            unit = 1024 if sys.platform != "darwin" else 1
            measured.peak_mb.setdefault(reader, []).append(usage.ru_maxrss * unit / MB)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"{reader} failed on {measured.path}")


def measure(path: Path, text_mb: float, readers: Sequence[str], rounds: int) -> Measured:
    measured = Measured(path=path, text_mb=text_mb)
    inside(measured, readers, rounds)
    whole(measured, [reader for reader in readers if reader not in measured.failed], rounds)
    for reader, error in measured.failed.items():
        print(f"{reader} failed on {path.name}: {error[:200]}", file=sys.stderr)
    print(f"measured {path.name}", file=sys.stderr)
    return measured


def ratios(of: dict[str, list[float]], a: str, by: dict[str, list[float]], b: str) -> list[float]:
    return [x / y for x, y in zip(of.get(a, ()), by.get(b, ()), strict=False)]


def spread(values: Sequence[float], decimals: int, scale: float = 1.0) -> str:
    if not values:
        return "-"
    low, middle, high = (scale * f(values) for f in (min, statistics.median, max))
    return f"{middle:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    alignment = [":---", *["---:"] * (len(titles) - 1)]
    return [f"| {' | '.join(row)} |" for row in (titles, alignment, *rows)]


def inside_table(files: Sequence[Measured]) -> list[str]:
    rows = [
        [
            one.path.name,
            f"{one.text_mb:.1f}",
            spread(one.load["maskprof"], 1, 1000),
            spread(one.total["maskprof"], 1, 1000),
            spread(one.load.get("bare", []), 1, 1000),
            spread(one.total.get("hta", []), 1, 1000),
            spread(one.load.get("orjson", []), 1, 1000),
            spread(ratios(one.total, "maskprof", one.load, "bare"), 2),
            spread(ratios(one.total, "hta", one.total, "maskprof"), 1),
        ]
        for one in files
    ]
    titles = (
        "trace", "MB of text", "maskprof: load", "load and analysis", "bare decode", "HTA: load and breakdown",
        "orjson", "maskprof : bare", "HTA : maskprof",
    )  # fmt: skip
    return table(titles, rows)


def whole_table(files: Sequence[Measured]) -> list[str]:
    rows = [
        [
            one.path.name,
            f"{one.text_mb:.1f}",
            *(
                f"{spread(one.wall.get(reader, []), 2)}<br>{spread(one.peak_mb.get(reader, []), 0)}"
                if reader in one.wall
                else ("failed" if reader in one.failed else "not run")
                for reader in TITLES
            ),
            spread(ratios(one.wall, "maskprof", one.wall, "hta"), 2),
        ]
        for one in files
    ]
    return table(("trace", "MB of text", *TITLES.values(), "maskprof : HTA"), rows)


def verdicts(files: Sequence[Measured]) -> list[str]:
    """One row for each claim, with the file on which it is furthest from true."""
    rows = []

    def claim(
        what: str, from_mb: float, values: Callable[[Measured], list[float]], limit: float, unit: str = ""
    ) -> None:
        medians = {
            f.path.name: statistics.median(v) for f in files if f.text_mb >= from_mb and (v := values(f))
        }
        if medians:
            at_least = limit == LEAST_OF_HTA
            name = (min if at_least else max)(medians, key=lambda key: medians[key])
            met = medians[name] >= limit if at_least else medians[name] <= limit
            of = f", of {from_mb:g} MB of text and more" if from_mb else ""
            target = f"{'at least' if at_least else 'at most'} {limit:g}{unit}"
            rows.append(
                (what + of, f"{medians[name]:.2f}{unit}", name, target, "reached" if met else "missed")
            )

    claim(
        "load and analysis : bare decode",
        4,
        lambda f: ratios(f.total, "maskprof", f.load, "bare"),
        MOST_OF_BARE,
    )
    claim("HTA's load and breakdown : load and analysis", 0, lambda f: ratios(f.total, "hta", f.total, "maskprof"),
          LEAST_OF_HTA)  # fmt: skip
    claim("the whole command : HTA's process", 30, lambda f: ratios(f.wall, "maskprof", f.wall, "hta"),
          MOST_OF_PROCESS)  # fmt: skip
    claim("peak memory of the command", 0, lambda f: f.peak_mb["maskprof"], MOST_MB, " MB")
    return table(("what", "at worst", "on", "target", "verdict"), rows)


def growth(grown: Sequence[Measured]) -> list[str]:
    if len(grown) < 2:
        return []
    small, large = grown[-2], grown[-1]
    more = statistics.median(large.peak_mb["maskprof"]) - statistics.median(small.peak_mb["maskprof"])
    per_gb = more / (large.text_mb - small.text_mb) * 1000
    sentence = (
        f"From {small.text_mb:.0f} to {large.text_mb:.0f} MB of text, peak memory of the command grows by "
        f"{per_gb:.0f} MB per GB. What is as long as the trace is in temporary files; of their pages, those in "
        "use at the same time count."
    )
    return ["", sentence]


def page(real: Sequence[Measured], grown: Sequence[Measured], args: argparse.Namespace) -> str:
    lines = [
        "# Reading and analysing traces: time and memory",
        "",
        _HOW.format(
            command=command_line(), rounds=args.rounds, large_rounds=args.large_rounds, large_mb=args.large_mb
        ),
        "",
        *(f"- {key}: {value}" for key, value in machine().items()),
        "",
        "## What was to be reached",
        "",
        *verdicts([*real, *grown]),
        *growth(grown),
        "",
        "## In a running process, ms",
        "",
        *inside_table([*real, *grown]),
        "",
        "## As a whole process, seconds and peak MB",
        "",
        "`maskprof analyze FILE` to the end, tables included; a script of two lines for the others.",
        "",
        *whole_table([*real, *grown]),
        "",
    ]
    return "\n".join(lines)


def machine() -> dict[str, str]:
    return {
        "cpu": cpu_name(),
        "cpu_count": str(os.cpu_count()),
        "os": platform.platform(),
        "python": platform.python_version(),
        **{package: version_of(package) for package in PACKAGES},
        "time": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "load average when this was measured": f"{os.getloadavg()[0]:.1f}",
    }


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed, hence left out (dependency group bench)"


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", help="real traces; none: those in MASKPROF_TRACES")
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    parser.add_argument(
        "--sizes", type=float, nargs="*", default=[10, 100, 1000, 4000], help="MB, to generate"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--large_mb", type=float, default=50, help="larger files have other numbers of rounds"
    )
    parser.add_argument("--large_rounds", type=int, default=3)
    parser.add_argument(
        "--peers_up_to_mb", type=float, default=200, help="HTA and orjson read no larger ones"
    )
    parser.add_argument(
        "--bare_up_to_mb",
        type=float,
        default=2000,
        help="bare decode, which holds all objects, no larger ones",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a smoke test: its figures say nothing")
    args = parser.parse_args()
    folder = os.environ.get("MASKPROF_TRACES")
    if not args.files and folder:
        args.files = sorted(Path(folder).glob("*.json.gz"))
    if args.quick:
        args.sizes, args.rounds, args.large_rounds = [0.5, 1], 1, 1
    return args


def command_line() -> str:
    """The command that made this page, as typed; where it names no files, those of MASKPROF_TRACES were read."""
    return " ".join(["python", "benchmarks/trace_engine.py", *sys.argv[1:]])


def main() -> None:
    args = arguments()
    random.seed(args.seed)

    def measured(path: Path) -> Measured:
        text_mb = text_bytes(str(path)) / MB
        peers = [peer for peer in ("hta", "orjson") if find_spec(peer) and text_mb <= args.peers_up_to_mb]
        if text_mb <= args.bare_up_to_mb:
            peers.append("bare")
        readers = [reader for reader in READERS if reader in ("maskprof", *peers)]
        return measure(path, text_mb, readers, args.large_rounds if text_mb > args.large_mb else args.rounds)

    real = [measured(path) for path in args.files]
    grown = []
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            path = Path(folder, f"generated-{size:g}MB.json")
            # In a process of its own: what this one has in memory would count for those that it starts.
            writer = [sys.executable, str(HERE / "generated_traces.py"), str(path), str(size * MB)]
            subprocess.run(writer, check=True)
            grown.append(measured(path))
            path.unlink()
    text = page(real, grown, args)
    sys.stdout.write(text)
    if args.output is not None:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
