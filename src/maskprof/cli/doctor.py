"""`maskprof doctor`: look at the machine before a long run, and say what would spoil its figures."""

import argparse
import json
import os
import time
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import TYPE_CHECKING, Any

from maskprof.cli.outputs import add_output_flags, outputs_of
from maskprof.machine import activity, checks, nvml
from maskprof.machine.processor import Processor, current_mhz, read_processor
from maskprof.results.circumstances import Finding, MachineState

if TYPE_CHECKING:
    from rich.console import Console

EXIT_QUIET, EXIT_WARNINGS = 0, 1
_LOOK_EVERY_S = 0.05
_UNEVEN = 1.25
_GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `maskprof doctor`."""
    parser.add_argument(
        "--seconds", type=float, default=3.0, metavar="S", help="how long to watch the machine [3]"
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="what to look at [auto]"
    )
    add_output_flags(parser, json="what was found", csv=None, markdown=None)


def run(args: argparse.Namespace) -> int:
    """Look, and print what was found.

    Returns:
        0 where nothing would spoil a measurement, else 1.
    """
    outputs = outputs_of(args, {})
    gpus = () if args.device == "cpu" else nvml.open_gpus()
    processor = read_processor()
    states, unevenness = _watched(max(0.0, args.seconds), gpus)
    facts = [gpu.facts() for gpu in gpus]
    found = [
        *checks.of_processor(processor, _threads_of_torch(processor)),
        *checks.of_states(states, processor.logical),
        *_of_evenness(unevenness),
        *(finding for fact in facts for finding in checks.of_gpu(fact)),
        *(
            hot
            for gpu, fact in zip(gpus, facts, strict=True)
            if (hot := checks.near_limit(fact, gpu.state().temperature_c))
        ),
        *_of_gpus_missing(args.device, bool(gpus)),
    ]
    found = sorted(dict.fromkeys(found), key=lambda finding: not finding.is_warning)
    document = {
        "ok": not any(finding.is_warning for finding in found),
        "findings": [asdict(finding) for finding in found],
        "processor": asdict(processor),
        "torch_threads": _threads_of_torch(processor),
        "gpus": [asdict(fact) for fact in facts],
        "watched_s": args.seconds,
        "states": [asdict(state) for state in states],
        "versions": _versions(),
    }
    outputs.write(
        json=lambda: json.dumps(document, indent=2) + "\n",
        tables=lambda console: _print(document, processor, found, console),
    )
    return EXIT_QUIET if document["ok"] else EXIT_WARNINGS


def _watched(seconds: float, gpus: tuple[nvml.Gpu, ...]) -> tuple[list[MachineState], float]:
    """States of the machine over some seconds, and how uneven a fixed piece of arithmetic was."""
    begin, probes = time.perf_counter(), [activity.probe_us()]
    before, states = activity.read_counters(), list[MachineState]()
    while True:
        # Short of a third of the time a share is one of few ticks.
        until = begin + seconds * (len(states) + 1) / 3
        while time.perf_counter() < until:
            time.sleep(_LOOK_EVERY_S)
            probes.append(activity.probe_us())
        now = activity.read_counters()
        since = activity.shares(before, now)
        before = now
        states.append(
            MachineState(
                round=len(states),
                cpu_mhz=current_mhz(),
                probe_us=median(probes[-max(1, len(probes) // 3) :]),
                others_share=since.others if since else None,
                stolen_share=since.stolen if since else None,
                load=activity.load_average(),
                gpu=gpus[0].state() if gpus else None,
            )
        )
        if len(states) == 3:  # noqa: PLR2004 - thirds
            ordered = sorted(probes)
            return states, ordered[int(0.95 * (len(ordered) - 1))] / ordered[0]


def _of_evenness(unevenness: float) -> list[Finding]:
    if unevenness <= _UNEVEN:
        return []
    text = f"one in twenty tries of a fixed calculation took {unevenness:.2f} times as long as the fastest, or longer"
    return [
        Finding(
            topic="noise", is_warning=True, text=text, advice="expect wide intervals; take more --num_samples"
        )
    ]


def _of_gpus_missing(device: str, found: bool) -> list[Finding]:
    if device != "cuda" or found:
        return []
    text = "no NVIDIA driver was found, so neither clocks nor temperature of a GPU can be seen"
    return [Finding(topic="gpu", is_warning=True, text=text, advice="install the driver, or --device cpu")]


def _threads_of_torch(processor: Processor) -> int:
    """How many threads torch will compute with, by its own rules: OMP_NUM_THREADS, MKL_NUM_THREADS, or the cores."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0]
        if text.isdigit() and int(text) > 0:
            return int(text)
    return min(processor.physical or processor.usable, processor.usable)


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in ("maskprof", "torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _print(document: dict[str, Any], processor: Processor, found: list[Finding], console: "Console") -> None:
    from maskprof.reports.remarks import sentence  # noqa: PLC0415

    cores = f"{processor.physical} cores, " if processor.physical else ""
    memory = f", {processor.memory_bytes / _GIB:.0f} GiB" if processor.memory_bytes else ""
    machine = f"{processor.name}: {cores}{processor.logical} processors, {processor.usable} usable{memory}"
    console.print(machine, style="dim", highlight=False, markup=False)
    for gpu in document["gpus"]:
        console.print(f"{gpu['name']}, driver {gpu['driver']}", style="dim", highlight=False, markup=False)
    for finding in found:
        mark = "!" if finding.is_warning else "-"
        style = "yellow" if finding.is_warning else ""
        console.print(f"{mark} {sentence(finding)}", style=style, highlight=False, markup=False)
    count = sum(finding.is_warning for finding in found)
    if count:
        things = "one thing" if count == 1 else f"{count} things"
        console.print(
            f"{things[0].upper()}{things[1:]} here would spoil figures.", style="bold yellow", highlight=False
        )
    else:
        console.print("Nothing here would spoil figures.", style="bold green", highlight=False)
