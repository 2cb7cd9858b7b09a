"""Results as rows for a data frame: plain dictionaries, one unit per column and in its name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from maskprof.config.knobs import KNOBS
from maskprof.results.schema import Configuration, RunResult, Statistics
from maskprof.results.trace_comparison import TraceDiff
from maskprof.results.trace_summary import TraceSummary

Row = dict[str, Any]

_PHASES = ("vision", "prefill", "decode", "decode_per_token", "total")
RUN_TABLES = ("summary", "samples", "blocks", "skipping", "fits", "knob_fits", "failures")
TRACE_TABLES = ("kernels", "categories", "operators", "ranges", "blocks", "block_work", "roofline")
DIFF_TABLES = ("phases", "blocks", "block_work", "ranges", "categories", "operators", "kernels")


def run_rows(result: RunResult, table: str) -> list[Row]:
    """The rows of one of `RUN_TABLES`."""
    match table:
        case "summary":
            return _summary_rows(result)
        case "samples":
            return _sample_rows(result)
        case "blocks":
            return _block_rows(result)
        case "skipping":
            return _skipping_rows(result)
        case _:
            return [_flat(found) for found in getattr(result, table)]


def trace_rows(summary: TraceSummary, table: str) -> list[Row]:
    """The rows of one of `TRACE_TABLES`; none where the trace has nothing of the kind."""
    match table:
        case "ranges":
            return [_flat(found, but=("breakdown",)) for found in summary.ranges]
        case "blocks":
            phases = summary.blocks.phases if summary.blocks is not None else ()
            return [
                {"phase": phase.phase} | _flat(block, but=("categories", "work"))
                for phase in phases
                for block in phase.blocks
            ]
        case "block_work":
            phases = summary.blocks.phases if summary.blocks is not None else ()
            return [
                {"phase": phase.phase, "block": block.block} | work._asdict()
                for phase in phases
                for block in phase.blocks
                for work in block.work
            ]
        case "roofline":
            return [_flat(row) for row in (summary.roofline.rows if summary.roofline is not None else ())]
        case _:
            return [_flat(found) for found in getattr(summary.whole, table)]


def diff_rows(diff: TraceDiff, table: str) -> list[Row]:
    """The rows of one of `DIFF_TABLES`."""
    if table == "blocks":
        return [{"phase": phase} | _diff_row(row) for phase, rows in diff.blocks.items() for row in rows]
    if table == "block_work":
        return [
            {"phase": phase, "block": row.key} | _diff_row(work)
            for phase, rows in diff.blocks.items()
            for row in rows
            for work in row.work
        ]
    return [_diff_row(row) for row in getattr(diff, table)]


def _summary_rows(result: RunResult) -> list[Row]:
    rows = []
    for summary in result.summary:
        row = _identity(summary.configuration) | {"num_samples": summary.num_samples}
        for phase in _PHASES:
            statistics: Statistics | None = getattr(summary, phase)
            if statistics is not None:
                low, high = statistics.median_ci95 or (None, None)
                figures = {name: value for name, value in asdict(statistics).items() if name != "median_ci95"}
                figures |= {"p50_low95": low, "p50_high95": high}
                row |= {f"{phase}_{name}_ms": value for name, value in figures.items()}
        rows.append(row)
    return rows


def _sample_rows(result: RunResult) -> list[Row]:
    by_name = {configuration.name: configuration for configuration in result.configurations}
    rows = []
    for sample in result.samples:
        own = _flat(sample, but=("decode_step_ms", "host_ms"))
        own |= {"remainder_ms": sample.remainder_ms, "decode_per_token_ms": sample.decode_per_token_ms}
        rows.append(_identity(by_name[sample.configuration]) | own)
    return rows


def _block_rows(result: RunResult) -> list[Row]:
    return [
        {"configuration": item.configuration, "phase": cost.phase, "steps": cost.steps} | _flat(block)
        for item in result.attribution
        for cost in item.phases
        for block in cost.blocks
    ]


def _skipping_rows(result: RunResult) -> list[Row]:
    return [
        {"configuration": item.configuration} | _flat(closure)
        for item in result.attribution
        for closure in item.closure
    ]


def _identity(configuration: Configuration) -> Row:
    return {
        "configuration": configuration.name,
        "strategy": configuration.strategy,
        "num_active_blocks": configuration.num_active_blocks,
        "num_total_blocks": configuration.num_total_blocks,
        "mask": "".join("1" if active else "0" for active in configuration.active),
        "skip_mode": configuration.skip_mode,
        "dummy_cache": configuration.dummy_cache,
        "mask_on": configuration.mask_on,
        **{knob: configuration.knobs.value(knob) for knob in KNOBS},
    }


def _diff_row(row: Any) -> Row:
    return _flat(row, but=("work",)) | {"delta_us": row.delta_us}


def _flat(value: Any, but: Sequence[str] = ()) -> Row:
    """The fields of a dataclass; an interval is two columns, `..._low95` and `..._high95`, a fitted figure three."""
    row: Row = {}
    for field in fields(value):
        if field.name not in but:
            row |= _columns(field.name, getattr(value, field.name))
    return row


def _columns(name: str, value: Any) -> Row:
    if name.endswith("_ci95") or "_ci95_" in name:
        base = name.replace("_ci95", "")
        low, high = value or (None, None)
        return {f"{base}_low95": low, f"{base}_high95": high}
    if hasattr(value, "ci95"):
        low, high = value.ci95 or (None, None)
        return {name: value.value, f"{name}_low95": low, f"{name}_high95": high}
    if hasattr(value, "to_dict"):
        return {
            f"held_{knob}" if name == "held" else knob: setting for knob, setting in value.to_dict().items()
        }
    if isinstance(value, Mapping):
        return {f"{name}_{key}": inner for key, inner in value.items()}
    return {name: value}
