"""What skipping itself costs: measured clean beside what the traces attribute, and the parts of a skipped turn."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.charts.rows import Bar, BarsPlot, Part, Row, RowsPlot, Value, draw_bars, draw_rows
from maskprof.reports.charts.shapes import MARKS
from maskprof.reports.cost_tables import closure_table, overhead_table
from maskprof.reports.plots.blocks import PHASE_NAMES
from maskprof.reports.plots.labels import short_names
from maskprof.reports.plots.plot import Key, Plot
from maskprof.results.schema import BlockCost, Closure, RunResult

CLEAN, TRACED = 0, 1
# The axis reaches this many times as far as the usual interval.
_PAST_USUAL = 4
LEGEND = (
    Key(
        colour="s0",
        label="clean: masked minus removed, with its 95 % interval",
        place=CLEAN,
        mark=MARKS[CLEAN],
    ),
    Key(colour="s1", label="as the traces attribute it", place=TRACED, mark=MARKS[TRACED], hollow=True),
)
_PARTS: tuple[tuple[str, str, Callable[[BlockCost], float]], ...] = (
    ("check", "mask check", lambda block: block.mask_check_us or 0.0),
    ("cache", "cache work", lambda block: block.cache_us or 0.0),
    (
        "rest",
        "rest of the turn",
        lambda block: block.host_us - (block.mask_check_us or 0.0) - (block.cache_us or 0.0),
    ),
)


def closure_plots(result: RunResult) -> tuple[Plot, ...]:
    """Per phase: the cost of one skipped block in every configuration, measured twice."""
    table, names = closure_table(result), short_names(result)
    if table is None:
        return ()
    plots = []
    for phase, phase_name in PHASE_NAMES.items():
        rows = [
            Row(name=names.get(item.configuration, item.configuration), values=values, key=item.configuration)
            for item in result.attribution
            for closure in item.closure
            if closure.phase == phase and (values := _values(closure))
        ]
        if not rows:
            continue
        heading = f"A skipped block in {phase_name}"
        reach_us = _reach_us(rows)
        unit = units.time_unit([reach_us])
        factor = units.time_factor(unit)
        cut = any(
            abs(b) > reach_us
            for row in rows
            for v in row.values
            for b in (v.at, v.low, v.high)
            if b is not None
        )
        drawing = draw_rows(
            RowsPlot(
                title=f"{heading}: cost in {unit}, measured twice",
                axis=f"{unit} per skipped block{'; what reaches the edge goes on' if cut else ''}",
                rows=tuple(_scaled(row, factor) for row in rows),
                colours=("s0", "s1"),
                hollow=frozenset((TRACED,)),
                reach=reach_us / factor,
            )
        )
        plots.append(Plot(name=f"skip-{phase}", heading=heading, drawing=drawing, table=table, legend=LEGEND))
    return tuple(plots)


def turn_plots(result: RunResult) -> tuple[Plot, ...]:
    """Per phase: the parts of a skipped block's turn on the host, median over the skipped blocks, from the traces."""
    table, names = overhead_table(result), short_names(result)
    if table is None:
        return ()
    plots = []
    for phase, phase_name in PHASE_NAMES.items():
        bars = []
        for item in result.attribution:
            blocks = [b for cost in item.phases if cost.phase == phase for b in cost.blocks if not b.active]
            if blocks:
                name = names.get(item.configuration, item.configuration)
                bars.append(Bar(name=name, parts=_parts(name, blocks), key=item.configuration))
        if not bars:
            continue
        heading = f"A skipped block's turn in {phase_name}"
        drawing = draw_bars(
            BarsPlot(title=f"{heading}, from the traces", axis="us on the host", bars=tuple(bars))
        )
        legend = tuple(Key(colour=c, label=label, place=n) for n, (c, label, _) in enumerate(_PARTS))
        plots.append(Plot(name=f"turn-{phase}", heading=heading, drawing=drawing, table=table, legend=legend))
    return tuple(plots)


def _parts(name: str, blocks: list[BlockCost]) -> tuple[Part, ...]:
    found = []
    for place, (colour, label, figure) in enumerate(_PARTS):
        length = max(0.0, median(map(figure, blocks)))
        text = (
            f"{name}\n{label}: {units.duration_us(length)}\nmedian of {count(len(blocks), 'skipped block')}"
        )
        found.append(Part(length=length, colour=colour, text=text, place=place))
    return tuple(found)


def _reach_us(rows: Sequence[Row]) -> float:
    """How far the axis goes: some way past most intervals, so that one wild one does not flatten the others."""
    figures = [abs(value.at) for row in rows for value in row.values]
    ends = [abs(b) for row in rows for v in row.values for b in (v.low, v.high) if b is not None]
    usual = _PAST_USUAL * median(ends) if ends else 0.0
    return min(max([*figures, *ends]), max(usual, median(figures) * _PAST_USUAL)) or 1.0


def _scaled(row: Row, factor: float) -> Row:
    def value(found: Value) -> Value:
        low = None if found.low is None else found.low / factor
        high = None if found.high is None else found.high / factor
        return replace(found, at=found.at / factor, low=low, high=high)

    return replace(row, values=tuple(map(value, row.values)))


def _values(closure: Closure) -> tuple[Value, ...]:
    blocks = closure.skipped_blocks
    found = []
    if blocks and closure.clean_us is not None and closure.clean_ci95_us is not None:
        low, high = (bound / blocks for bound in closure.clean_ci95_us)
        text = (
            f"clean {units.duration_us(closure.clean_us / blocks)} per skipped block\n"
            f"{units.duration_us(low)} to {units.duration_us(high)} (95 %), {count(closure.pairs, 'pair')}"
        )
        found.append(Value(at=closure.clean_us / blocks, low=low, high=high, text=text, place=CLEAN))
    if blocks and closure.attributed_us is not None:
        each = closure.attributed_us / blocks
        found.append(Value(at=each, text=f"traced {units.duration_us(each)} per skipped block", place=TRACED))
    return tuple(found)
