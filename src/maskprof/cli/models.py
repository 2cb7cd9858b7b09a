"""`maskprof models`: the presets, or whether masks are exact on architectures; as a table or as JSON."""

import argparse
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from maskprof.cli.outputs import STDOUT, add_output_flags, outputs_of
from maskprof.cli.verdicts import as_json, as_markdown, print_verdicts
from maskprof.counted_nouns import count
from maskprof.errors import ConfigError
from maskprof.reports.consoles import stderr_console
from maskprof.reports.units import significant

if TYPE_CHECKING:
    from maskprof.conformance import Verdict
    from maskprof.models.presets import Preset
    from maskprof.models.tiny import Architecture

_BILLION = 1e9
_MILLION = 1e6
_EVERYTHING = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `maskprof models`."""
    parser.add_argument(
        "--check",
        nargs="+",
        metavar="ARCH",
        help="try masks on a tiny random model of these architectures (model types of transformers, such as "
        "llama, or 'all', which takes minutes), and say whether they are exact",
    )
    add_output_flags(
        parser, json="a list instead of the table", csv=None, markdown="with --check: a page with the table"
    )


def run(args: argparse.Namespace) -> int:
    """Show the presets, or what a check found, on stdout.

    Returns:
        The exit code: 1 if a check found an architecture on which masks are not exact, else 0.
    """
    if args.check is not None:
        return _check(args)
    if args.markdown is not None:
        raise ConfigError("--markdown writes down what was checked: give --check too")
    # Imported here, since presets belong to the half that needs torch.
    from maskprof.models.presets import PRESETS  # noqa: PLC0415

    outputs_of(args, {}).write(
        json=lambda: f"{json.dumps([_as_json(preset) for preset in PRESETS.values()], indent=2)}\n",
        tables=lambda console: _print_table(PRESETS, console),
    )
    return 0


def _check(args: argparse.Namespace) -> int:
    from maskprof import conformance  # noqa: PLC0415 - needs torch
    from maskprof.models.tiny import architectures  # noqa: PLC0415

    chosen = _chosen(args.check, architectures())
    outputs = outputs_of(args, {})
    verdicts = _checked(chosen)

    def markdown() -> str:
        place = [] if args.markdown == STDOUT else [args.markdown]
        return as_markdown(
            verdicts,
            " ".join(["maskprof models --check", *args.check, "--markdown", *place]),
            blocks=conformance.BLOCKS,
            masks=len(conformance.masks_to_try()),
            masks_per_way=conformance.MASKS_PER_WAY,
        )

    outputs.write(
        json=lambda: f"{json.dumps([as_json(verdict) for verdict in verdicts], indent=2)}\n",
        markdown=markdown,
        tables=lambda console: print_verdicts(verdicts, console),
    )
    return 1 if any(verdict.outcome == "inexact" for verdict in verdicts) else 0


def _chosen(names: Sequence[str], known: "Sequence[Architecture]") -> "list[Architecture]":
    types = sorted({one.model_type for one in known})
    for name in names:
        if name != _EVERYTHING and name not in types:
            closest = get_close_matches(name, types, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"--check: transformers has no architecture {name!r}; the closest name is {closest!r}"
            )
    return [one for one in known if _EVERYTHING in names or one.model_type in names]


def _checked(chosen: "Sequence[Architecture]") -> "list[Verdict]":
    """A verdict for each, with a bar on stderr."""
    import torch  # noqa: PLC0415

    from maskprof.conformance import check  # noqa: PLC0415
    from maskprof.models.messages import quiet  # noqa: PLC0415

    stderr = stderr_console(highlight=False)
    if not stderr.is_terminal:
        stderr.print(f"checking {count(len(chosen), 'architecture')}")
    verdicts = []
    threads = torch.get_num_threads()
    # Handing out matrices this small to several threads takes longer than multiplying them.
    torch.set_num_threads(1)
    try:
        with quiet(), _bar(stderr) as progress:
            task = progress.add_task("", total=len(chosen))
            for architecture in chosen:
                progress.update(task, description=architecture.model_type)
                verdicts.append(check(architecture))
                progress.advance(task)
    finally:
        torch.set_num_threads(threads)
    return verdicts


def _bar(stderr: Console) -> Progress:
    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.description}", markup=False),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )


def _as_json(preset: "Preset") -> dict[str, Any]:
    return {
        "name": preset.name,
        "description": preset.description,
        "num_blocks": preset.num_blocks,
        "num_parameters": preset.num_parameters,
        "has_vision": preset.has_vision,
        "model_type": preset.model_type,
    }


def _print_table(presets: "Mapping[str, Preset]", console: Console) -> None:
    table = Table(
        title="Presets: true shapes, random weights", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("name", no_wrap=True)
    table.add_column("blocks", justify="right")
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("vision")
    table.add_column("what it is")
    for preset in presets.values():
        table.add_row(
            preset.name,
            str(preset.num_blocks),
            _parameters(preset.num_parameters),
            "yes" if preset.has_vision else "",
            escape(preset.description),
        )
    console.print(table)
    console.print("\nUse one by its name: maskprof run --model_path NAME", markup=False)


def _parameters(count: int) -> str:
    """Three digits are enough to tell models apart: 1.24 B, 494 M."""
    # 999.7 M would round to 1000 M.
    unit, name = (_BILLION, "B") if count >= 0.9995 * _BILLION else (_MILLION, "M")
    return f"{significant(count / unit)} {name}"
