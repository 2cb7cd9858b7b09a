"""Where the time of a whole sweep goes, from the first word on the command line to the last file.

    python benchmarks/sweep.py --output docs/results/sweep.md

`maskprof run` runs in a process of its own, as a user runs it: the built-in model with every default, and
SmolLM2-135M at a few depths where it has been fetched. Around its parts stand clocks, which are read some
thousand times in all; what they do not cover is shown as the rest. A sweep of more samples and one of more
configurations follow, on a small model, to see whether memory grows with them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET_SHARE = 0.8
# A process's memory moves by this much with nothing to show for it.
MEMORY_NOISE_MB = 8.0
DEFAULT_SMOLLM2 = Path(".cache/smollm2")
SMALL_MODEL = (
    "--model_path",
    "molmoe-tiny",
    "--image",
    "none",
    "--prompt_tokens",
    "8",
    "--max_new_tokens",
    "2",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the sweep, in the order of happening; indented ones lie inside the one above."""

    name: str
    key: str
    inside: bool = False


PARTS = (
    Part(name="start-up: Python, torch, transformers, maskprof", key="start-up"),
    Part(name="loading: model, inputs, masks checked", key="loading"),
    Part(name="warm-up", key="warm-up"),
    Part(name="measured forwards", key="measured"),
    Part(name="of these, references with the blocks removed", key="references", inside=True),
    Part(name="between them: masks on and off, choosing, clocks", key="between"),
    Part(name="journal", key="journal"),
    Part(name="progress", key="progress"),
    Part(name="tracing", key="tracing"),
    Part(name="of this, the traced passes and the profiler", key="session", inside=True),
    Part(name="of this, compressing and writing", key="trace files", inside=True),
    Part(name="reading the traces, statistics, result files", key="results"),
    Part(name="tables and TensorBoard", key="reports"),
    Part(name="end of the process", key="end"),
    Part(name="the rest", key="rest"),
)
OUTERMOST = [part.key for part in PARTS if not part.inside]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One run, taken apart: seconds of each part, and memory in MB by the number of samples."""

    title: str
    command: str
    wall_s: float
    seconds: dict[str, float]
    samples: int
    configurations: int
    memory_mb: list[tuple[int, float]]
    environment: dict[str, Any]

    @property
    def share_after_loading(self) -> float:
        """Measured forwards in what comes after start-up and loading, which do not depend on what is asked for."""
        return self.seconds["measured"] / (self.wall_s - self.seconds["start-up"] - self.seconds["loading"])

    @property
    def share_of_all(self) -> float:
        return self.seconds["measured"] / self.wall_s


class Clocks:
    """Runs inside the process of the sweep: adds up what its parts take."""

    def __init__(self, began_s: float) -> None:
        self.began_s, self.seconds = (
            began_s,
            dict.fromkeys((*OUTERMOST, "references", "session", "trace files"), 0.0),
        )
        self.memory: list[tuple[int, float]] = []
        self.samples = 0
        self.measuring_s = 0.0

    def around(self, owner: Any, name: str, key: str) -> None:
        """Add what a function takes to a part."""
        original: Callable[..., Any] = getattr(owner, name)

        def clocked(*words: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*words, **options)
            finally:
                self.seconds[key] += time.perf_counter() - begin

        setattr(owner, name, clocked)

    def watch_samples(self, collected: Any) -> None:
        original = collected.on_sample

        def on_sample(this: Any, sample: Any) -> None:
            self.seconds["measured"] += sample.total_ms / 1e3
            self.seconds["references"] += sample.total_ms / 1e3 if sample.reference else 0.0
            self.samples += 1
            if self.samples % 25 == 1:
                self.memory.append((self.samples, resident_mb()))
            original(this, sample)

        collected.on_sample = on_sample

    def install(self) -> None:
        """Put clocks around the parts of a sweep."""
        from maskprof import experiment
        from maskprof.measuring.runner import Runner
        from maskprof.recording import session
        from maskprof.reports import console, progress, tensorboard
        from maskprof.results.journal import Journal
        from maskprof.sweep import in_process
        from maskprof.sweep.collecting import Collected

        self.around(in_process, "set_up", "loading")
        self.around(Runner, "_warm_up", "warm-up")
        self.around(Runner, "measure", "between")
        self.around(Journal, "_append", "journal")
        self.around(progress.ProgressDisplay, "advance", "progress")
        self.around(in_process, "trace", "tracing")
        self.around(session, "_run_session", "session")
        self.around(session, "_finished", "trace files")
        self.around(experiment, "assemble", "results")
        self.around(experiment.ResultStore, "save", "results")
        self.around(console, "print_result", "reports")
        self.around(tensorboard, "write_events", "reports")
        self.watch_samples(Collected)

    def finish(self) -> dict[str, Any]:
        seconds = self.seconds
        seconds["between"] -= sum(seconds[key] for key in ("measured", "warm-up", "journal", "progress"))
        return {"ended_s": time.time(), "seconds": seconds, "memory_mb": self.memory, "samples": self.samples}


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def inside(words: Sequence[str], began_s: float, report: Path) -> None:
    """The process of a sweep: the command, with clocks around its parts."""
    from maskprof.cli import run as command
    from maskprof.cli.main import main
    from maskprof.measuring.garbage import without_collection

    clocks = Clocks(began_s)
    start = command._run

    def run(*args: Any) -> int:
        # What the command would import now, in its way, so that the clocks can be put around it.
        with without_collection():
            import maskprof.experiment
            import maskprof.reports.tensorboard  # noqa: F401

            clocks.install()
        clocks.seconds["start-up"] = time.time() - began_s
        return start(*args)

    command._run = run
    code = main(words)
    report.write_text(json.dumps(clocks.finish()))
    sys.exit(code)


def swept(title: str, words: Sequence[str]) -> Sweep:
    """Run `maskprof run` with these words, and take it apart."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        began_s = time.time()
        given = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--inside",
            str(began_s),
            str(report),
            "run",
            *words,
        ]
        done = subprocess.run(given, cwd=folder, capture_output=True, text=True, check=False)
        wall_s = time.time() - began_s
        if done.returncode:
            raise SystemExit(f"{title} ended with {done.returncode}: {done.stderr}")
        found = json.loads(report.read_text())
        (result,) = Path(folder).rglob("exp3_transformer_blocks_mask_results.json")
        document = json.loads(result.read_text())
    seconds = found["seconds"]
    seconds["end"] = began_s + wall_s - found["ended_s"]
    seconds["rest"] = wall_s - sum(seconds[key] for key in OUTERMOST if key != "rest")
    return Sweep(
        title=title,
        command=" ".join(
            ("maskprof run", *(Path(word).name if word.startswith("/") else word for word in words))
        ),
        wall_s=wall_s,
        seconds=seconds,
        samples=found["samples"],
        configurations=len(document["configurations"]),
        memory_mb=[(count, megabytes) for count, megabytes in found["memory_mb"]],
        environment=document["environment"],
    )


def growth_mb(sweep: Sweep) -> float:
    """Memory at the end less memory after a tenth of the samples, when caches and pools are filled."""
    early = [megabytes for count, megabytes in sweep.memory_mb if count >= sweep.samples / 10]
    return early[-1] - early[0]


def page(sweeps: Sequence[Sweep], growths: Sequence[Sweep], load: float) -> str:
    first = sweeps[0]
    lines = [
        "# Where the time of a sweep goes",
        "",
        "From the first word on the command line to the end of the process. Made by `python benchmarks/sweep.py`.",
        "",
        *(
            f"- {key}: {first.environment.get(key)}"
            for key in ("device", "cpu_count", "threads", "os", "python", "torch", "transformers", "time")
        ),
        f"- load average when this was begun: {load:.1f}",
        "",
    ]
    for sweep in sweeps:
        lines += part_table(sweep)
    lines += memory_table(growths)
    return "\n".join(lines) + "\n"


def part_table(sweep: Sweep) -> list[str]:
    share = sweep.share_after_loading
    verdict = "reached" if share >= TARGET_SHARE else "missed"
    return [
        f"## {sweep.title}",
        "",
        f"`{sweep.command}`: {sweep.configurations} configurations, {sweep.samples} samples, {sweep.wall_s:.1f} s.",
        "",
        "| part | s | share |",
        "| :--- | ---: | ---: |",
        *(
            f"| {'&nbsp;&nbsp;' if part.inside else ''}{part.name} | {sweep.seconds[part.key]:.2f} "
            f"| {sweep.seconds[part.key] / sweep.wall_s:.1%} |"
            for part in PARTS
        ),
        "",
        (
            f"Measured forwards are {share:.1%} of what comes after start-up and loading (target: at least "
            f"{TARGET_SHARE:.0%}: {verdict}), and {sweep.share_of_all:.1%} of everything. Traced passes and warm-up "
            "are not among them."
        ),
        "",
    ]


def memory_table(growths: Sequence[Sweep]) -> list[str]:
    return [
        "## Memory",
        "",
        "Resident memory of the process, from a tenth of the samples on, when pools and caches are filled.",
        "",
        "| sweep | configurations | samples | MB then | growth to the end, MB | verdict |",
        "| :--- | ---: | ---: | ---: | ---: | ---: |",
        *map(memory_row, growths),
        "",
    ]


def memory_row(sweep: Sweep) -> str:
    growth, then = growth_mb(sweep), sweep.memory_mb[-1][1] - growth_mb(sweep)
    verdict = "does not grow" if growth < MEMORY_NOISE_MB else "grows"
    return f"| {sweep.title} | {sweep.configurations} | {sweep.samples} | {then:.0f} | {growth:+.1f} | {verdict} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the page here instead of to the terminal")
    parser.add_argument(
        "--num_samples", type=int, default=50, help="of the default sweep; less is for trying out"
    )
    parser.add_argument("--smollm2", type=Path, help=f"a GGUF file [the one in {DEFAULT_SMOLLM2}]")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    samples = ("--num_samples", str(given.num_samples))
    sweeps = [swept("The built-in model, every default", samples if given.num_samples != 50 else ())]
    gguf = given.smollm2 or next(iter(sorted(DEFAULT_SMOLLM2.glob("*.gguf"))), None)
    if gguf is not None:
        words = ("--model_path", str(gguf.resolve()), "--num_active_blocks", "10", "20", "30", *samples)
        sweeps.append(swept("SmolLM2-135M, three depths", words))
    growths = [
        swept("few", (*SMALL_MODEL, "--num_active_blocks", "4", "8", "--num_samples", "50", "--no_trace")),
        swept(
            "more samples",
            (*SMALL_MODEL, "--num_active_blocks", "4", "8", "--num_samples", "1000", "--no_trace"),
        ),
        swept(
            "more configurations",
            (*SMALL_MODEL, "--num_samples", "100", "--no_trace", "--skip_mode", "mask", "remove"),
        ),
    ]
    text = page(sweeps, growths, load)
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.write_text(text, encoding="utf-8")
        print(f"written to {given.output}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[4:], float(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
