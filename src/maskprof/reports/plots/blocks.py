"""Where each block's time goes: all configurations at a glance, and one configuration block by block."""

from collections.abc import Callable, Mapping
from itertools import zip_longest
from statistics import median

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.charts.blocks import (
    BlockBar,
    BlockBarsPlot,
    HeatPlot,
    HeatRow,
    draw_block_bars,
    draw_heat,
)
from maskprof.reports.cost_tables import block_table
from maskprof.reports.layout import Table
from maskprof.reports.plots.labels import short_names
from maskprof.reports.plots.plot import Key, Plot, figures, slug
from maskprof.results.schema import Attribution, BlockCost, PhaseCost, RunResult

PHASE_NAMES = {"prefill": "prefill", "decode": "decode, per step"}
# The scale of the cells ends here, so that one slow block leaves shades for the others, and blocks that are all
# alike are not all of the darkest shade.
_SCALE_QUANTILE = 0.95
_PAST_MEDIAN = 1.5
HOST_LEGEND = (
    Key(colour="active", label="the block's own work"),
    Key(colour="check", label="mask check"),
    Key(colour="cache", label="cache work"),
    Key(colour="rest", label="rest of a skipped block's turn"),
    Key(colour="skipped", label="skipped"),
)

_Clock = Callable[[BlockCost], float | None]
_CLOCKS: tuple[tuple[str, str, _Clock], ...] = (
    ("host", "host time", lambda block: block.host_us),
    ("device", "device time", lambda block: block.device_us),
)


def overview_plots(result: RunResult) -> tuple[Plot, ...]:
    """Per phase and clock: a row per configuration, a cell per block, of a stronger shade for more time."""
    names = short_names(result)
    plots = []
    for clock, clock_name, figure in _CLOCKS:
        for phase, phase_name in PHASE_NAMES.items():
            found = [
                (item, cost) for item in result.attribution for cost in item.phases if cost.phase == phase
            ]
            values = [
                v for _, cost in found for b in cost.blocks if b.active and (v := figure(b)) is not None
            ]
            if not values:
                continue
            usual = sorted(values)[min(len(values) - 1, int(_SCALE_QUANTILE * len(values)))]
            most = max(usual, _PAST_MEDIAN * median(values))
            heading = f"{clock_name.capitalize()}, {phase_name}"
            plots.append(
                Plot(
                    name=f"blocks-{clock}-{phase}",
                    heading=heading,
                    drawing=draw_heat(
                        HeatPlot(
                            title=f"{heading}: blocks of every configuration",
                            rows=tuple(_heat_row(item, cost, names, figure) for item, cost in found),
                            most=most,
                            legend=f"{units.duration_us(most)} and more",
                        )
                    ),
                    table=_overview_table(heading, found, figure),
                )
            )
    return tuple(plots)


def block_plots(item: Attribution) -> tuple[Plot, ...]:
    """One configuration: host time per block with its parts, the skipped ones again on a scale of their own, and
    device time where there was a device.
    """
    if block_table(item) is None:
        return ()
    plots = []
    for cost in item.phases:
        phase = PHASE_NAMES.get(cost.phase, cost.phase)
        base = f"blocks-{slug(item.configuration)}-{slug(cost.phase)}"
        skipped = [block for block in cost.blocks if not block.active]
        plots.append(_bars(f"{base}-host", f"Host time, {phase}", cost, cost.blocks, item))
        if skipped and len(skipped) < len(cost.blocks):
            heading = f"The skipped blocks alone, {phase}"
            plots.append(_bars(f"{base}-skipped", heading, cost, tuple(skipped), item))
        if any(block.device_us is not None for block in cost.blocks):
            heading = f"Device time, {phase}"
            plots.append(_bars(f"{base}-device", heading, cost, cost.blocks, item, device=True))
    return tuple(plots)


def _bars(
    name: str,
    heading: str,
    cost: PhaseCost,
    blocks: tuple[BlockCost, ...],
    of: Attribution,
    *,
    device: bool = False,
) -> Plot:
    table = block_table(of)
    assert table is not None
    parts = [_device_parts(block) if device else _host_parts(block) for block in blocks]
    unit = units.time_unit(sum(length for _, length in of_block) for of_block in parts)
    factor = units.time_factor(unit)
    return Plot(
        name=name,
        heading=heading,
        drawing=draw_block_bars(
            BlockBarsPlot(
                title=f"{heading}: {count(len(blocks), 'block')} of {of.configuration}",
                axis=f"{'device' if device else 'host'}, {unit}",
                numbers=tuple(block.block for block in blocks),
                bars=tuple(
                    BlockBar(
                        parts=tuple((colour, length / factor) for colour, length in of_block),
                        skipped=not block.active,
                        text=_block_text(block, cost),
                        key=f"{of.configuration}/{block.block}",
                    )
                    for block, of_block in zip(blocks, parts, strict=True)
                ),
            )
        ),
        table=table,
    )


def _host_parts(block: BlockCost) -> list[tuple[str, float]]:
    check, cache = block.mask_check_us or 0.0, block.cache_us or 0.0
    if block.active:
        return [("active", max(0.0, block.host_us - check)), ("check", max(0.0, check))]
    return [
        ("check", max(0.0, check)),
        ("cache", max(0.0, cache)),
        ("rest", max(0.0, block.host_us - check - cache)),
    ]


def _device_parts(block: BlockCost) -> list[tuple[str, float]]:
    return [("active" if block.active else "rest", max(0.0, block.device_us or 0.0))]


def _block_text(block: BlockCost, cost: PhaseCost) -> str:
    lines = [f"block {block.block}, {'active' if block.active else 'skipped'}"]
    share = f" ({units.percent(block.host_us / cost.host_us)} of the phase)" if cost.host_us > 0 else ""
    lines.append(f"host {units.duration_us(block.host_us)}{share}")
    for label, value in (
        ("device", block.device_us),
        ("mask check", block.mask_check_us),
        ("cache", block.cache_us),
    ):
        if value is not None:
            lines.append(f"{label} {units.duration_us(value)}")
    kind = "kernels" if block.device_us is not None else "operators"
    return "\n".join([*lines, f"{units.significant(block.kernel_count)} {kind}"])


def _heat_row(item: Attribution, cost: PhaseCost, names: Mapping[str, str], figure: _Clock) -> HeatRow:
    short = names.get(item.configuration, item.configuration)
    return HeatRow(
        name=short,
        values=tuple(figure(block) for block in cost.blocks),
        skipped=tuple(not block.active for block in cost.blocks),
        texts=tuple(_block_text(block, cost) for block in cost.blocks),
        key=item.configuration,
    )


def _overview_table(heading: str, found: list[tuple[Attribution, PhaseCost]], figure: _Clock) -> Table:
    columns = [("block", [str(n) for n in range(max(len(cost.blocks) for _, cost in found))])]
    for item, cost in found:
        cells = [
            "" if block is None else f"{units.fixed(figure(block), 1)}{'' if block.active else ' (skipped)'}"
            for _, block in zip_longest(columns[0][1], cost.blocks)
        ]
        columns.append((f"{item.configuration}, us", cells))
    return figures(f"{heading}, us per block", columns)
