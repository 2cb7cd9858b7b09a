"""What every page of results has: the command, the machine, tables."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from maskprof.measuring.environment import describe_environment
from maskprof.serial import Interval

MACHINE_KEYS = ("device", "cpu_count", "threads", "os", "python", "torch", "transformers", "maskprof", "time")


def machine_lines(device: torch.device) -> list[str]:
    environment = describe_environment(device)
    load = os.getloadavg()[0]
    return [
        *(f"- {key}: {environment[key]}" for key in MACHINE_KEYS),
        f"- load average at the end: {load:.1f}",
    ]


def command_line() -> str:
    """The command that made this page, as typed."""
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> list[str]:
    """A Markdown table; the first columns are texts, the others figures."""
    alignment = [":---"] * text_columns + ["---:"] * (len(titles) - text_columns)
    return [f"| {' | '.join(row)} |" for row in (titles, alignment, *rows)]


def bounds(interval: Interval | None, decimals: int) -> str:
    return "-" if interval is None else f"{interval[0]:.{decimals}f} to {interval[1]:.{decimals}f}"


def percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    parser.add_argument("--quick", action="store_true", help="a smoke test: its figures say nothing")


def publish(text: str, output: Path | None) -> None:
    sys.stdout.write(text)
    if output is not None:
        output.write_text(text, encoding="utf-8")
