"""The blocks of a traced model: proportional bars per block, and what remains of skipped ones."""

from collections.abc import Sequence

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_columns import bar_columns, count_column, listed, name_columns, time_column
from maskprof.results.serialize_trace import skipped_totals
from maskprof.results.trace_summary import BlockPhase, Blocks, BlockTime

_SOURCES = {
    "ranges": "by maskprof's ranges",
    "modules": "by the ranges of the model's modules",
    "annotations": "by ranges that are named as a list of blocks",
    "period": "by the sequence of kernels that repeats",
}
_TURNS = {True: "active", False: "skipped", None: units.MISSING}
_BAR_WIDTHS = (32, 24, 16, 10)
# The same for all phases, so that what goes in one goes in all.
_RANKS = {"time": 0, "bar": 1, "host": 2, "kernels": 3, "copies": 4, "launches": 5, "longer_bar": 19}


def blocks_table(blocks: Blocks | None) -> Table | None:
    """Block by block, per phase: a bar as long as its time, device and host time, kernels."""
    if blocks is None or not any(phase.blocks for phase in blocks.phases):
        return None
    phases = [phase for phase in blocks.phases if phase.blocks]
    numbers = sorted({block.block for phase in phases for block in phase.blocks})
    found = [{block.block: block for block in phase.blocks} for phase in phases]
    first = [next(by_number[n] for by_number in found if n in by_number) for n in numbers]
    skipped = [block.active is False for block in first]
    columns = _identity(first)
    for place, (phase, by_number) in enumerate(zip(phases, found, strict=True)):
        rows = [by_number.get(number) for number in numbers]
        columns += _phase_columns(phase, rows, skipped, place)
    notes = [_steps_note(phases)]
    with_device = any(phase.device_us is not None for phase in phases)
    notes.append(
        f"Bars: {'device' if with_device else 'host'} time, full length for the phase's longest block"
        f"{'; skipped blocks light' if any(skipped) else ''}."
    )
    outside = [
        f"{units.duration_us(phase.outside_device_us)} of {units.duration_us(phase.device_us)}"
        f"{'' if phase.phase == 'all' else f' in {visible(phase.phase)}'}"
        for phase in phases
        if phase.outside_device_us is not None
    ]
    if outside:
        notes.append(f"Device time in no block: {listed(outside)}.")
    if blocks.note:
        notes.append(visible(blocks.note))
    active = sum(block.active is True for block in first)
    which = f", {active} active" if any(skipped) else ""
    return Table(
        title=f"Blocks: {len(numbers)}{which} (found {_SOURCES[blocks.source]})",
        columns=tuple(columns),
        notes=tuple(notes),
    )


def skipped_table(blocks: Blocks | None) -> Table | None:
    """What remains of the skipped blocks, per phase: all of them, and the mean of one."""
    phases = [] if blocks is None else [p for p in blocks.phases if skipped_totals(p)["blocks"]]
    if not phases:
        return None
    totals = [skipped_totals(phase) for phase in phases]
    number = [int(total["blocks"] or 0) for total in totals]
    columns = [
        Column(key="phase", title="\nphase", cells=tuple(visible(p.phase) for p in phases), justify="left"),
        count_column("blocks", "skipped\nblocks", number),
    ]
    parts = (
        ("host_us", "host", 0),
        ("device_us", "kernels", 2),
        ("copy_us", "copies", 1),
        ("bubble_us", "bubble", 0),
    )
    for key, title, rank in parts:
        values = [total[key] for total in totals]
        if any(value is not None for value in values) and (
            key != "copy_us" or phases[0].device_us is not None
        ):
            columns.append(time_column(key, title, values, rank=rank))
            each = [None if v is None else v / n for v, n in zip(values, number, strict=True)]
            columns.append(time_column(f"{key}_each", f"{title}\neach", each, rank=rank + 5))
    notes = ["Summed over the skipped blocks, per step; each: the mean of one."]
    if any(total["bubble_us"] is not None for total in totals):
        notes.append(
            "Kernels, copies (memsets too): device work left in them. Bubble: idle time of the device around them."
        )
    return Table(title="What remains of skipped blocks", columns=tuple(columns), notes=tuple(notes))


def _identity(blocks: Sequence[BlockTime]) -> list[Column]:
    columns = [Column(key="block", title="\nblock", cells=tuple(str(b.block) for b in blocks))]
    if any(block.active is not None for block in blocks):
        cells = tuple(_TURNS[block.active] for block in blocks)
        columns.append(Column(key="turn", title="\nturn", cells=cells, justify="left"))
    elif any(str(block.block) not in block.name or " " not in block.name for block in blocks):
        columns += name_columns("name", "\nname", [block.name for block in blocks], least_rank=20)
    return columns


def _phase_columns(
    phase: BlockPhase, rows: Sequence[BlockTime | None], skipped: Sequence[bool], place: int
) -> list[Column]:
    label = "" if phase.phase == "all" else visible(phase.phase)
    key = f"{place}_"
    device = [None if row is None else row.device_us for row in rows]
    host = [None if row is None else row.host_us for row in rows]
    with_device = any(value is not None for value in device)
    measured = device if with_device else host
    # A skipped block's copies are all that it has on the device.
    lengths = [
        None if row is None or value is None else value + (row.copy_us if with_device else 0.0)
        for row, value in zip(rows, measured, strict=True)
    ]
    longest = max((value for value in lengths if value is not None), default=0.0)
    shares = [None if value is None or longest <= 0 else value / longest for value in lengths]
    columns = bar_columns(
        f"{key}bar", f"{label}\n", shares, rank=_RANKS["longer_bar"], last_rank=_RANKS["bar"], widths=_BAR_WIDTHS,
        faint=skipped,
    )  # fmt: skip
    if with_device:
        columns.append(_time(f"{key}device", label, "device", device, rank=_RANKS["time"]))
    if any(value is not None for value in host):
        rank = _RANKS["host"] if with_device else 0
        columns.append(_time(f"{key}host", label, "host", host, rank=rank))
    if with_device:
        counts = [None if row is None else row.kernel_count for row in rows]
        columns.append(count_column(f"{key}kernels", f"{label}\nkernels", counts, rank=_RANKS["kernels"]))
        if any(row is not None and row.copy_count for row in rows):
            copies = [None if row is None else row.copy_count for row in rows]
            columns.append(count_column(f"{key}copies", f"{label}\ncopies", copies, rank=_RANKS["copies"]))
        launches = [None if row is None else row.launch_count for row in rows]
        columns.append(
            count_column(f"{key}launches", f"{label}\nlaunches", launches, rank=_RANKS["launches"])
        )
    else:
        counts = [None if row is None else row.operator_count for row in rows]
        columns.append(count_column(f"{key}ops", f"{label}\noperators", counts, rank=_RANKS["kernels"]))
    return columns


def _steps_note(phases: Sequence[BlockPhase]) -> str:
    steps = [
        count(phase.steps, "step")
        if phase.phase == "all"
        else f"{count(phase.steps, 'step')} of {visible(phase.phase)}"
        for phase in phases
    ]
    return f"Means per step: {listed(steps)}."


def _time(key: str, label: str, what: str, values_us: Sequence[float | None], *, rank: int) -> Column:
    """A column whose title is the phase and, below, what is measured and its unit."""
    return time_column(key, f"{label}\n{what}", values_us, rank=rank)
