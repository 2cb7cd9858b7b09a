"""A comparison of blocks as a sentence and a table."""

from maskprof.reports import units
from maskprof.reports.layout import Column, Table
from maskprof.results.slower_blocks import BlockChange, BlockComparison

_NAMED = 3
# So many turns tell a change of a few per cent.
_FEW = 100
_MORE = "Few turns: record more decode steps (--trace_steps) to tell small changes."


def verdict(comparison: BlockComparison) -> str:
    """Which blocks changed: `Block 7 is 2.1 % slower in decode (1.4 to 2.8 %).`"""
    if not comparison.clear:
        return "No block changed by more than chance can explain."
    sentences = [_sentence(change) for change in comparison.clear[:_NAMED]]
    rest = len(comparison.clear) - len(sentences)
    return " ".join(sentences) + (f" {rest} more changed." if rest else "")


def comparison_table(comparison: BlockComparison) -> Table:
    """Every block in every phase."""
    changes = comparison.changes
    marks = [("slower" if c.change > 0 else "faster") if c.is_clear else "" for c in changes]
    least = min(change.turns for change in changes)
    return Table(
        title="Blocks beside each other: device time"
        if comparison.device
        else "Blocks beside each other: host time",
        columns=(
            Column(key="phase", title="phase", cells=tuple(c.phase for c in changes), justify="left"),
            Column(key="block", title="block", cells=tuple(str(c.block) for c in changes)),
            Column(
                key="before", title="before us", cells=tuple(units.fixed(c.before_us, 1) for c in changes)
            ),
            Column(key="after", title="after us", cells=tuple(units.fixed(c.after_us, 1) for c in changes)),
            Column(key="change", title="change", cells=tuple(_percent(c.change) for c in changes)),
            Column(key="interval", title="interval", cells=tuple(map(_interval, changes)), rank=1),
            Column(key="verdict", title="", cells=tuple(marks), justify="left"),
            Column(
                key="turns", title="turns", cells=tuple(str(c.turns) for c in changes), rank=2, role="side"
            ),
        ),
        notes=(
            "Change: beside the other blocks of the same step, so that a slower machine is none; of lower quartiles.",
            f"Intervals leave room for {len(changes)} questions at once: 95 % of such tables have no wrong one.",
            *((_MORE,) if least < _FEW else ()),
        ),
        strong_rows=frozenset(row for row, change in enumerate(changes) if change.is_clear),
    )


def _sentence(change: BlockChange) -> str:
    direction = "slower" if change.change > 0 else "faster"
    much = units.percent(abs(change.change))
    return f"Block {change.block} is {much} {direction} in {change.phase} ({_bounds(change)})."


def _bounds(change: BlockChange) -> str:
    assert change.interval is not None
    low, high = sorted(map(abs, change.interval))
    return f"{units.percent(low)} to {units.percent(high)}"


def _interval(change: BlockChange) -> str:
    if change.interval is None:
        return units.MISSING
    return f"{_percent(change.interval[0])} to {_percent(change.interval[1])}"


def _percent(share: float) -> str:
    return f"{100 * share:+.2f} %"
