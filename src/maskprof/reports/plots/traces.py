"""What one trace holds, or two side by side, as plots: operators, blocks, what changed."""

from collections.abc import Sequence

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.charts.blocks import BlockBar, BlockBarsPlot, draw_block_bars
from maskprof.reports.charts.rows import Bar, BarsPlot, Part, Row, RowsPlot, Value, draw_bars, draw_rows
from maskprof.reports.charts.shapes import MARKS
from maskprof.reports.plots.gpu import category_plot, device_plot, roofline_plot
from maskprof.reports.plots.plot import Key, Plot, figures, slug
from maskprof.results.trace_comparison import DiffRow, TraceDiff
from maskprof.results.trace_summary import BlockPhase, BlockTime, TraceSummary
from maskprof.terminal_cells import cut_middle

_SHOWN = 12
_NAME_WIDTH = 44


def trace_plots(summary: TraceSummary) -> tuple[Plot, ...]:
    """Every plot that has something to show: categories, device, roofline, blocks, operators."""
    name = summary.facts.path.rsplit("/", 1)[-1]
    found = [category_plot({name: summary}, {name: "trace"}), device_plot({name: summary}, {name: "trace"})]
    if summary.roofline is not None:
        found.append(roofline_plot(name, summary.roofline))
    if summary.blocks is not None:
        found += [_block_plot(phase) for phase in summary.blocks.phases]
    found.append(operator_plot(summary))
    return tuple(plot for plot in found if plot is not None)


def operator_plot(summary: TraceSummary) -> Plot | None:
    """The operators with the most host time of their own."""
    shown = sorted(summary.whole.operators, key=lambda operator: -operator.self_us)[:_SHOWN]
    if not shown:
        return None
    unit = units.time_unit(operator.self_us for operator in shown)
    factor = units.time_factor(unit)
    heading = "Operators by host time of their own"
    bars = tuple(
        Bar(
            name=cut_middle(operator.name, _NAME_WIDTH),
            parts=(
                Part(
                    length=operator.self_us / factor,
                    colour="active",
                    text=f"{units.duration_us(operator.self_us)}, {count(operator.count, 'call')}",
                    place=0,
                ),
            ),
        )
        for operator in shown
    )
    columns = [
        ("operator", [operator.name for operator in shown]),
        ("self us", [units.fixed(operator.self_us, 1) for operator in shown]),
        ("total us", [units.fixed(operator.total_us, 1) for operator in shown]),
        ("calls", [str(operator.count) for operator in shown]),
    ]
    return Plot(
        name="operators",
        heading=heading,
        drawing=draw_bars(BarsPlot(title=heading, axis=f"{unit} on the host", bars=bars)),
        table=figures(heading, columns),
    )


def diff_plots(diff: TraceDiff) -> tuple[Plot, ...]:
    """The largest changes of phases, blocks, categories, kernels and operators, A beside B."""
    groups = [("phases", "Phases, per step", diff.phases)]
    groups += [
        (f"blocks-{slug(phase)}", f"Blocks in {phase}, per step", rows) for phase, rows in diff.blocks.items()
    ]
    groups += [
        ("categories", "Categories of device work", diff.categories),
        ("kernels", "Kernels", diff.kernels),
        ("operators", "Operators", diff.operators),
    ]
    return tuple(_diff_plot(name, heading, rows) for name, heading, rows in groups if rows)


def _diff_plot(name: str, heading: str, rows: Sequence[DiffRow]) -> Plot:
    shown = sorted(rows, key=lambda row: -abs(row.delta_us))[:_SHOWN]
    if name.startswith("blocks"):
        shown = [row for row in rows if row in shown]
    unit = units.time_unit(us for row in shown for us in (row.us_a, row.us_b))
    factor = units.time_factor(unit)

    def value(row: DiffRow, place: int) -> Value:
        us = (row.us_a, row.us_b)[place]
        text = f"{row.key}\n{'AB'[place]}: {units.duration_us(us)}\n{row.status}"
        return Value(at=us / factor, text=text, place=place)

    more = f", the {len(shown)} largest changes of {len(rows)}" if len(shown) < len(rows) else ""
    columns: list[tuple[str, list[str]]] = [
        ("name", [row.key for row in shown]),
        ("A us", [units.fixed(row.us_a, 1) for row in shown]),
        ("B us", [units.fixed(row.us_b, 1) for row in shown]),
        ("change us", [units.fixed(row.delta_us, 1) for row in shown]),
        ("status", [str(row.status) for row in shown]),
    ]
    plot = RowsPlot(
        title=f"{heading}, A beside B{more}",
        axis=unit,
        rows=tuple(
            Row(name=cut_middle(row.key, _NAME_WIDTH), values=(value(row, 0), value(row, 1)), key=row.key)
            for row in shown
        ),
        colours=("s0", "s1"),
        hollow=frozenset((1,)),
    )
    return Plot(
        name=name,
        heading=f"{heading}{more}",
        drawing=draw_rows(plot),
        table=figures(f"{heading}{more}", columns),
        legend=(
            Key(colour="s0", label="A", place=0, mark=MARKS[0]),
            Key(colour="s1", label="B", place=1, mark=MARKS[1], hollow=True),
        ),
    )


def _block_plot(phase: BlockPhase) -> Plot | None:
    with_device = any(block.device_us is not None for block in phase.blocks)
    times = [(block.device_us if with_device else block.host_us) or 0.0 for block in phase.blocks]
    if not times:
        return None
    unit = units.time_unit(times)
    factor = units.time_factor(unit)
    clock = "device" if with_device else "host"
    heading = f"Blocks in {phase.phase}, {clock} time per step"
    return Plot(
        name=f"blocks-{slug(phase.phase)}",
        heading=heading,
        drawing=draw_block_bars(
            BlockBarsPlot(
                title=heading,
                axis=f"{clock}, {unit}",
                numbers=tuple(block.block for block in phase.blocks),
                bars=tuple(
                    BlockBar(
                        parts=(("rest" if block.active is False else "active", us / factor),),
                        skipped=block.active is False,
                        text=_block_text(block),
                    )
                    for block, us in zip(phase.blocks, times, strict=True)
                ),
            )
        ),
        table=figures(
            heading,
            [
                ("block", [str(block.block) for block in phase.blocks]),
                ("turn", [_turn(block) for block in phase.blocks]),
                ("host us", [units.fixed(block.host_us, 1) for block in phase.blocks]),
                ("device us", [units.fixed(block.device_us, 1) for block in phase.blocks]),
            ],
        ),
    )


def _turn(block: BlockTime) -> str:
    return {True: "active", False: "skipped", None: units.MISSING}[block.active]


def _block_text(block: BlockTime) -> str:
    return (
        f"{block.name}: host {units.duration_us(block.host_us)}, device {units.duration_us(block.device_us)}"
    )
