"""What the traces attribute, to and from `attribution.json`, and flat to `attribution.csv`."""

import csv
import io
from dataclasses import asdict, fields
from typing import Any

from maskprof.config.knobs import KNOBS
from maskprof.errors import ResultError
from maskprof.results.jsonvalues import (
    from_text,
    number,
    optional_number,
    optional_pair,
    optional_text,
    to_text,
    typed,
    whole,
)
from maskprof.results.schema import (
    Attribution,
    BlockCost,
    Closure,
    Configuration,
    InstrumentCost,
    PhaseCost,
    RunResult,
)

_BLOCK_KEYS = tuple(field.name for field in fields(BlockCost))
_CONFIGURATION_KEYS = ("num_active_blocks", "num_total_blocks", "skip_mode", "dummy_cache", "mask_on")
CSV_COLUMNS = ("configuration", *_CONFIGURATION_KEYS, *KNOBS, "phase", "steps", *_BLOCK_KEYS)


def dump_attribution(result: RunResult) -> str:
    """The text of `attribution.json`: a list of configurations, each with phases, each with blocks."""
    by_name = {configuration.name: configuration for configuration in result.configurations}
    return (
        to_text([_entry(item, by_name.get(item.configuration)) for item in result.attribution], indent=2)
        + "\n"
    )


def dump_attribution_csv(result: RunResult) -> str:
    """The text of `attribution.csv`: a row per configuration, phase and block; an unknown figure is empty."""
    by_name = {configuration.name: configuration for configuration in result.configurations}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for item in result.attribution:
        configuration = by_name.get(item.configuration)
        facts = [_cell(value) for value in _facts(configuration).values()]
        for phase in item.phases:
            for block in phase.blocks:
                figures = [_cell(getattr(block, key)) for key in _BLOCK_KEYS]
                writer.writerow([item.configuration, *facts, phase.phase, phase.steps, *figures])
    return text.getvalue()


def load_attribution(text: str, origin: str) -> tuple[Attribution, ...]:
    """The attribution that the text of `attribution.json` holds; `origin` names the file in errors.

    Raises:
        ResultError: no JSON, or not in this format.
    """
    entries = from_text(text, origin)
    if not isinstance(entries, list):
        raise ResultError(f"{origin} is no attribution file of maskprof: it should hold a list")
    try:
        return tuple(_attribution(entry) for entry in entries)
    except KeyError as error:
        raise ResultError(f"{origin} is damaged: an entry lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ResultError(f"{origin} is damaged: {error}") from None


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or value != value else value  # noqa: PLR0124 - NaN alone differs from itself


def _entry(item: Attribution, configuration: Configuration | None) -> dict[str, Any]:
    return {
        "configuration": item.configuration,
        **({} if configuration is None else _facts(configuration)),
        "trace": item.trace,
        "phases": {phase.phase: _phase_entry(phase) for phase in item.phases},
        "instrument": None if item.instrument is None else asdict(item.instrument),
        "closure": [asdict(closure) for closure in item.closure],
        "account": item.account,
    }


def _facts(configuration: Configuration | None) -> dict[str, Any]:
    if configuration is None:
        return dict.fromkeys((*_CONFIGURATION_KEYS, *KNOBS))
    return {key: getattr(configuration, key) for key in _CONFIGURATION_KEYS} | configuration.knobs.to_dict()


def _phase_entry(phase: PhaseCost) -> dict[str, Any]:
    entry = asdict(phase)
    del entry["phase"]
    return entry


def _attribution(entry: dict[str, Any]) -> Attribution:
    return Attribution(
        configuration=typed(entry, "configuration", str),
        trace=optional_text(entry, "trace"),
        phases=tuple(_phase(name, phase) for name, phase in typed(entry, "phases", dict).items()),
        instrument=None if entry["instrument"] is None else _instrument(entry["instrument"]),
        closure=tuple(_closure(item) for item in typed(entry, "closure", list)),
        account={key: whole(entry["account"], key) for key in typed(entry, "account", dict)},
    )


def _phase(name: str, entry: dict[str, Any]) -> PhaseCost:
    return PhaseCost(
        phase=name,
        steps=whole(entry, "steps"),
        host_us=number(entry, "host_us"),
        device_us=optional_number(entry, "device_us"),
        blocks=tuple(_block(item) for item in typed(entry, "blocks", list)),
    )


def _block(entry: dict[str, Any]) -> BlockCost:
    return BlockCost(
        block=whole(entry, "block"),
        active=typed(entry, "active", bool),
        host_us=number(entry, "host_us"),
        device_us=optional_number(entry, "device_us"),
        mask_check_us=optional_number(entry, "mask_check_us"),
        cache_us=optional_number(entry, "cache_us"),
        kernel_count=number(entry, "kernel_count"),
    )


def _instrument(entry: dict[str, Any]) -> InstrumentCost:
    times = ("inner_us", "inner_total_us", "turn_us", "inner_resolution_us")
    return InstrumentCost(
        samples=whole(entry, "samples"),
        **{key: number(entry, key) for key in times},
        # Files of before have none.
        next_turn_us=optional_number(entry, "next_turn_us") if "next_turn_us" in entry else None,
        next_inner_total_us=(
            optional_number(entry, "next_inner_total_us") if "next_inner_total_us" in entry else None
        ),
    )


def _closure(entry: dict[str, Any]) -> Closure:
    return Closure(
        phase=typed(entry, "phase", str),
        skipped_blocks=whole(entry, "skipped_blocks"),
        clean_us=optional_number(entry, "clean_us"),
        clean_ci95_us=optional_pair(entry, "clean_ci95_us"),
        pairs=whole(entry, "pairs"),
        attributed_us=optional_number(entry, "attributed_us"),
        note=optional_text(entry, "note"),
    )
