"""What was found in traces, as the JSON of `maskprof analyze --json` and `maskprof diff --json`.

Names are those that scripts rely on; keys may be added, none renamed or dropped without a new schema version.
Names of kernels, operators and ranges stand there in full, as the trace has them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from maskprof.results.jsonvalues import to_text
from maskprof.results.trace_comparison import (
    BlockDiffRow,
    DiffRow,
    RankComparison,
    RankRow,
    SkippedChange,
    TraceDiff,
)
from maskprof.results.trace_summary import (
    BlockPhase,
    Blocks,
    BlockTime,
    Breakdown,
    CategoryTime,
    DeviceTime,
    KernelTime,
    OperatorTime,
    RangeTime,
    Roofline,
    TraceFacts,
    TraceSummary,
)

SCHEMA_VERSION = 1


def dump_summaries(
    summaries: Sequence[TraceSummary], ranks: RankComparison | None = None, *, as_list: bool | None = None
) -> str:
    """The text of `maskprof analyze --json`: an object for one trace, an array of objects for several.

    Args:
        summaries: one or several.
        ranks: each trace that is one of them has a `rank` section.
        as_list: an array whatever the number, as where several were asked for and one could be read.
    """
    entries = [summary_entry(summary, _rank_of(summary, ranks)) for summary in summaries]
    for entry in entries:
        if entry["rank"] is not None and ranks is not None:
            entry["rank"]["straggler"] = entry["rank"]["rank"] in ranks.stragglers
    several = len(entries) > 1 if as_list is None else as_list
    return f"{to_text(entries if several else entries[0], indent=2)}\n"


def dump_diff(diff: TraceDiff) -> str:
    """The text of `maskprof diff --json`."""
    return f"{to_text(diff_entry(diff), indent=2)}\n"


def summary_entry(summary: TraceSummary, rank: RankRow | None = None) -> dict[str, Any]:
    """One trace as plain values."""
    whole = _breakdown_entry(summary.whole)
    return {
        "schema_version": SCHEMA_VERSION,
        "trace": _facts_entry(summary.facts),
        "headline": list(summary.headline),
        **whole,
        "devices": [asdict(device) for device in summary.devices],
        "ranges": {found.name: _range_entry(found) for found in (*summary.ranges, *summary.own_ranges)},
        "blocks": None if summary.blocks is None else _blocks_entry(summary.blocks),
        "no_blocks": summary.no_blocks,
        "roofline": None if summary.roofline is None else _roofline_entry(summary.roofline),
        "rank": None if rank is None else asdict(rank),
        "account": asdict(summary.account),
    }


def diff_entry(diff: TraceDiff) -> dict[str, Any]:
    """Two traces side by side, as plain values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "a": _facts_entry(diff.a),
        "b": _facts_entry(diff.b),
        "headline": list(diff.headline),
        "phases": [_diff_row_entry(row) for row in diff.phases],
        "blocks": {phase: [_block_diff_entry(row) for row in rows] for phase, rows in diff.blocks.items()},
        "ranges": [_diff_row_entry(row) for row in diff.ranges],
        "categories": [_diff_row_entry(row) for row in diff.categories],
        "operators": [_diff_row_entry(row) for row in diff.operators],
        "kernels": [_diff_row_entry(row) for row in diff.kernels],
        "skipped_only_in_a": list(diff.skipped_only_in_a),
        "skipped_only_in_b": list(diff.skipped_only_in_b),
        "skipped": [_skipped_entry(row) for row in diff.skipped],
        "skipped_kernels": [_skipped_entry(row) for row in diff.skipped_kernels],
        "notes": list(diff.notes),
    }


def skipped_totals(phase: BlockPhase) -> dict[str, float | int | None]:
    """What remains of a phase's skipped blocks, summed over them, per step; a figure that no block has is None."""
    skipped = [block for block in phase.blocks if block.active is False]
    return {
        "blocks": len(skipped),
        "host_us": _sum([block.host_us for block in skipped]),
        "device_us": _sum([block.device_us for block in skipped]),
        "copy_us": _sum([block.copy_us for block in skipped]),
        "copy_count": _sum([block.copy_count for block in skipped]),
        "bubble_us": _sum([block.bubble_us for block in skipped]),
    }


def _facts_entry(facts: TraceFacts) -> dict[str, Any]:
    return {
        "path": facts.path,
        "events": facts.events,
        "span_us": facts.span_us,
        "device_names": list(facts.devices),
        "ranks": list(facts.ranks),
        "world_size": facts.world_size,
        "shapes": facts.shapes,
        "stacks": facts.stacks,
        "modules": facts.modules,
    }


def _breakdown_entry(breakdown: Breakdown) -> dict[str, Any]:
    launches = breakdown.launches
    return {
        "gpu": None if breakdown.device is None else _device_entry(breakdown.device),
        "kernels": [_kernel_entry(kernel) for kernel in breakdown.kernels],
        "categories": [_category_entry(category) for category in breakdown.categories],
        "launches": None if launches is None else asdict(launches),
        "operators": [_operator_entry(operator) for operator in breakdown.operators],
    }


def _device_entry(device: DeviceTime) -> dict[str, Any]:
    return {**asdict(device), "idle_us": device.idle_us, "idle_pct": device.idle_pct}


def _kernel_entry(kernel: KernelTime) -> dict[str, Any]:
    return {
        "name": kernel.name,
        "category": kernel.category,
        "count": kernel.count,
        "total_us": kernel.total_us,
        "mean_us": kernel.mean_us,
        "share": kernel.share,
    }


def _category_entry(category: CategoryTime) -> dict[str, Any]:
    return asdict(category)


def _operator_entry(operator: OperatorTime) -> dict[str, Any]:
    return {
        "name": operator.name,
        "category": operator.category,
        "count": operator.count,
        "total_us": operator.total_us,
        "mean_us": operator.total_us / operator.count if operator.count else 0.0,
        "self_us": operator.self_us,
        "device_us": operator.device_us,
        "kernel_count": operator.kernel_count,
    }


def _range_entry(found: RangeTime) -> dict[str, Any]:
    return {
        "count": found.count,
        "host_us": found.host_us,
        "device_us": found.device_us,
        "kernel_count": found.kernel_count,
        "launch_count": found.launch_count,
        "elsewhere_kernel_count": found.elsewhere_kernel_count,
        "elsewhere_device_us": found.elsewhere_device_us,
        **_breakdown_entry(found.breakdown),
    }


def _blocks_entry(blocks: Blocks) -> dict[str, Any]:
    return {
        "source": blocks.source,
        "note": blocks.note,
        "phases": {phase.phase: _phase_entry(phase) for phase in blocks.phases},
    }


def _phase_entry(phase: BlockPhase) -> dict[str, Any]:
    return {
        "steps": phase.steps,
        "host_us": phase.host_us,
        "device_us": phase.device_us,
        "outside_device_us": phase.outside_device_us,
        "skipped": skipped_totals(phase),
        "blocks": [_block_entry(block) for block in phase.blocks],
    }


def _block_entry(block: BlockTime) -> dict[str, Any]:
    return {**asdict(block), "work": [work._asdict() for work in block.work]}


def _roofline_entry(roofline: Roofline) -> dict[str, Any]:
    return {**asdict(roofline), "without_figure": roofline.without_figure}


def _skipped_entry(row: SkippedChange) -> dict[str, Any]:
    return {**asdict(row), "elsewhere_count": row.elsewhere_count, "elsewhere_us": row.elsewhere_us}


def _block_diff_entry(row: BlockDiffRow) -> dict[str, Any]:
    return {**_diff_row_entry(row), "work": [_diff_row_entry(work) for work in row.work]}


def _diff_row_entry(row: DiffRow) -> dict[str, Any]:
    # Only means per step are no whole numbers.
    counts = {
        key: int(count) if count.is_integer() else count
        for key, count in (("count_a", row.count_a), ("count_b", row.count_b))
    }
    return {**asdict(row), **counts, "delta_us": row.delta_us}


def _rank_of(summary: TraceSummary, ranks: RankComparison | None) -> RankRow | None:
    rows = () if ranks is None else ranks.rows
    return next((row for row in rows if row.path == summary.facts.path), None)


def _sum(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) if present else None
