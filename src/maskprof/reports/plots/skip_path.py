"""What skipping itself costs: measured clean beside what the traces attribute, and the parts of a skipped turn."""

from collections.abc import Callable
from statistics import median

from maskprof.reports import units
from maskprof.reports.charts.rows import Bar, BarsPlot, Part, Row, RowsPlot, Value, draw_bars, draw_rows
from maskprof.reports.cost_tables import closure_table, overhead_table
from maskprof.reports.plots.blocks import PHASE_NAMES
from maskprof.reports.plots.labels import short_names
from maskprof.reports.plots.plot import Key, Plot
from maskprof.results.schema import BlockCost, Closure, RunResult

CLEAN, TRACED = 0, 1
LEGEND = (
    Key(colour="s0", label="clean: masked minus removed, with its 95 % interval", place=CLEAN),
    Key(colour="s1", label="as the traces attribute it", place=TRACED),
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
        drawing = draw_rows(
            RowsPlot(
                title=f"{heading}: cost in us, measured twice",
                axis="us per skipped block",
                rows=tuple(rows),
                colours=("s0", "s1"),
                hollow=frozenset((TRACED,)),
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
        text = f"{name}\n{label}: {units.duration_us(length)}\nmedian of {units.count(len(blocks), 'skipped block')}"
        found.append(Part(length=length, colour=colour, text=text, place=place))
    return tuple(found)


def _values(closure: Closure) -> tuple[Value, ...]:
    blocks = closure.skipped_blocks
    found = []
    if blocks and closure.clean_us is not None and closure.clean_ci95_us is not None:
        low, high = (bound / blocks for bound in closure.clean_ci95_us)
        reach = f"{units.significant(low)} to {units.significant(high)} us" 
        text = f"clean {units.significant(closure.clean_us / blocks)} us per skipped block\n{reach} (95 %), {units.count(closure.pairs, 'pair')}"
        found.append(Value(at=closure.clean_us / blocks, low=low, high=high, text=text, place=CLEAN))
    if blocks and closure.attributed_us is not None:
        each = closure.attributed_us / blocks
        text = f"traced {units.significant(each)} us per skipped block"
        found.append(Value(at=each, text=text, place=TRACED))
    return tuple(found)
