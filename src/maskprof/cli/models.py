"""`maskprof models`: the presets, as a table or as JSON."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from maskprof.reports.units import significant

if TYPE_CHECKING:
    from maskprof.models.presets import Preset

_BILLION = 1e9
_MILLION = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `maskprof models`."""
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of the table")


def run(args: argparse.Namespace) -> int:
    """Show the presets on stdout."""
    # Imported here, since presets belong to the half that needs torch.
    from maskprof.models.presets import PRESETS  # noqa: PLC0415

    if args.json:
        sys.stdout.write(f"{json.dumps([_as_json(preset) for preset in PRESETS.values()], indent=2)}\n")
    else:
        _print_table(PRESETS)
    return 0


def _as_json(preset: "Preset") -> dict[str, Any]:
    return {
        "name": preset.name,
        "description": preset.description,
        "num_blocks": preset.num_blocks,
        "num_parameters": preset.num_parameters,
        "has_vision": preset.has_vision,
        "model_type": preset.model_type,
    }


def _print_table(presets: "Mapping[str, Preset]") -> None:
    from rich.console import Console  # noqa: PLC0415 - only this rendering needs rich
    from rich.table import Table  # noqa: PLC0415

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
            preset.description,
        )
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print("\nUse one by its name: maskprof run --model_path NAME")


def _parameters(count: int) -> str:
    """Three digits are enough to tell models apart: 1.24 B, 494 M."""
    # 999.7 M would round to 1000 M.
    unit, name = (_BILLION, "B") if count >= 0.9995 * _BILLION else (_MILLION, "M")
    return f"{significant(count / unit)} {name}"
