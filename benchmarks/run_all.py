"""Run every benchmark, and write one page that holds the machine and what each of them found.

    python benchmarks/run_all.py [NAME ...] [--only_page]

Each benchmark runs in a process of its own, one after the other, and writes its own page to docs/results/; the page of
all, docs/results/index.md, takes from each the rows that a target or a bound stands beside. `--only_page` runs
nothing and writes the page from what is there.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = RESULTS / "index.md"
# A column of one of these names makes a table one of verdicts.
VERDICTS = ("verdict", "target", "bound", "at most", "at least", "stated", "reached")

_HOW = """\
What each benchmark found where there is a target or a bound for it; its page has the rest, with the command, the
machine and the versions that its figures are from. Made by `make bench`."""
_TITLES = "| benchmark | question | made on | took |"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A script of this folder, the page that it writes, and what it asks."""

    script: str
    page: str
    asks: str

    @property
    def name(self) -> str:
        return self.script.removesuffix(".py")


BENCHMARKS = (
    Benchmark(script="mask_overhead.py", page="mask-overhead.md", asks="What does a mask itself cost?"),
    Benchmark(script="sweep.py", page="sweep.md", asks="Where does the time of a whole sweep go?"),
    Benchmark(
        script="trace_engine.py", page="trace-engine.md", asks="How fast are traces read and analyzed?"
    ),
    Benchmark(script="interval_coverage.py", page="validity.md", asks="Do intervals hold the truth?"),
    Benchmark(script="known_answers.py", page="known-answers.md", asks="Do known times come out?"),
    Benchmark(script="closure.py", page="closure.md", asks="Do clean and traced figures agree?"),
    Benchmark(script="planted.py", page="same-and-slower.md", asks="Is a block that is 2 % slower found?"),
    Benchmark(
        script="block_power.py", page="block-power.md", asks="How small a slowdown of a block can be told?"
    ),
    Benchmark(script="perturbation.py", page="perturbation.md", asks="What does recording cost?"),
    Benchmark(script="reference.py", page="peers.md", asks="Do others measure the same?"),
    Benchmark(script="research_semantics.py", page="../pitfalls.md", asks="How large is each pitfall?"),
    Benchmark(script="molmo.py", page="molmo-block.md", asks="Is our Molmo as fast as plain code?"),
    Benchmark(script="mutants.py", page="mutants.md", asks="Would a test notice a wrong line?"),
)


def run(benchmark: Benchmark) -> str:
    """Run one; how it went."""
    began_s = time.monotonic()
    # The page repeats the command, which is to be that of any checkout.
    command = [f"benchmarks/{benchmark.script}", "--output", os.path.relpath(RESULTS / benchmark.page, ROOT)]
    code = subprocess.run(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, check=False
    ).returncode
    took = f"{time.monotonic() - began_s:.0f} s"
    return took if code == 0 else f"failed with exit code {code} after {took}"


def page(times: dict[str, str]) -> str:
    """The page of all, from the pages that are there."""
    rows = [
        f"| [{b.name}]({b.page}) | {b.asks} | {made_on(b)} | {times.get(b.name, '')} |"
        for b in BENCHMARKS
        if (RESULTS / b.page).is_file()
    ]
    parts = ["# All benchmarks", _HOW, "\n".join([_TITLES, "| :--- | :--- | :--- | ---: |", *rows])]
    for benchmark in BENCHMARKS:
        path = RESULTS / benchmark.page
        if not path.is_file():
            continue
        tables = verdict_tables(path.read_text(encoding="utf-8"))
        if tables:
            parts += [f"## {benchmark.asks}", f"[{benchmark.name}]({benchmark.page})", *tables]
    return "\n\n".join(parts) + "\n"


def made_on(benchmark: Benchmark) -> str:
    """Machine, versions and time, as the benchmark's own page has them."""
    text = (RESULTS / benchmark.page).read_text(encoding="utf-8")
    found = dict(
        re.findall(r"^- (device|cpu|cpu_count|python|torch|transformers|time): (.+)$", text, re.MULTILINE)
    )
    device = found.get("device") or found.get("cpu") or ""
    versions = ", ".join(f"{key} {found[key]}" for key in ("torch", "transformers", "python") if key in found)
    cores = f" ({found['cpu_count']} processors)" if "cpu_count" in found else ""
    return "; ".join(filter(None, (f"{device}{cores}", versions, found.get("time", "")[:10])))


def verdict_tables(text: str) -> list[str]:
    """The tables of a page that have a column for a verdict."""
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    titles = [
        [cell.strip().lower() for cell in table.split("\n", 1)[0].strip("|").split("|")] for table in tables
    ]
    return [
        table.strip()
        for table, names in zip(tables, titles, strict=True)
        if any(name in VERDICTS for name in names)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {', '.join(names)}")
    parser.add_argument("--only_page", action="store_true", help="run nothing")
    parser.add_argument("--output", type=Path, default=PAGE, help="where the page of all goes")
    args = parser.parse_args()
    if unknown := set(args.names) - set(names):
        parser.error(f"there is no benchmark {min(unknown)!r}; there are {', '.join(names)}")
    times = {}
    for benchmark in BENCHMARKS:
        if not args.only_page and (not args.names or benchmark.name in args.names):
            print(f"{benchmark.name} ... ", end="", flush=True)
            times[benchmark.name] = run(benchmark)
            print(times[benchmark.name], flush=True)
    args.output.write_text(page(times), encoding="utf-8")
    print(os.path.relpath(args.output))
    if any("failed" in took for took in times.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
