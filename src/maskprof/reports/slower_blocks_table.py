"""A comparison of blocks as a sentence and a table."""

from dataclasses import asdict
from typing import Any

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.escapes import markdown
from maskprof.reports.layout import Column, Table, to_markdown
from maskprof.results.slower_blocks import BlockChange, BlockComparison, PhaseResolution

_NAMED = 3
_TENTH = 0.1


def verdict(comparison: BlockComparison) -> str:
    """Which blocks changed: `Block 7 is 2.1 % slower in decode (1.4 to 2.8 %).`"""
    if all(change.interval is None for change in comparison.changes):
        return "Whether a block changed cannot be told: these traces are too few or too short."
    if not comparison.clear:
        return "No block changed by more than chance can explain."
    sentences = [_sentence(change) for change in comparison.clear[:_NAMED]]
    rest = len(comparison.clear) - len(sentences)
    return " ".join(sentences) + (f" {rest} more changed." if rest else "")


def resolution(comparison: BlockComparison) -> tuple[str, ...]:
    """What these traces could have shown, so that what they do not show is not taken for absent; one sentence each."""
    told = [(found, found.smallest) for found in comparison.resolutions if found.smallest is not None]
    untold = [found for found in comparison.resolutions if found.smallest is None]
    sentences = []
    if told:
        each = " or ".join(f"{_share(smallest)} in {found.phase}" for found, smallest in told)
        sentences.append(
            f"Resolution: a block slower by {each} would have been found {units.percent(told[0][0].power)} of the "
            "time; a smaller slowdown may be there unseen."
        )
    if untold:
        phases = " and ".join(found.phase for found in untold)
        sentences.append(
            f"Of {phases} nothing can be told from {count(untold[0].traces, 'trace')} of a side: record more."
        )
    if any(found.unit == "pieces" for found, _ in told):
        sentences.append(
            "That is by the spread inside of traces; from one recording to the next blocks differ by more than that. "
            "Record 3 traces of each side or more to have that counted."
        )
    sentences += [_needed(found) for found, _ in told if found.asked is not None]
    if comparison.alternating is False:
        sentences.append(
            "The sides were not recorded alternately: what changed on the machine in between is taken for a change of "
            "blocks."
        )
    return tuple(sentences)


def _needed(found: PhaseResolution) -> str:
    assert found.asked is not None
    have = count(found.traces, "trace")
    asked = f"To find {_share(found.asked)} in {found.phase} {units.percent(found.power)} of the time"
    if found.traces_needed is None:
        more = ": record more decode steps in each" if found.phase == "decode" else ""
        return f"{asked}, no number of traces like these is enough{more}."
    least = "at least" if found.unit == "pieces" else "about"
    if found.traces_needed <= found.traces:
        return f"{asked}, these {have} of each side are enough."
    return (
        f"{asked}, {least} {found.traces_needed} traces of each side like these are needed: an estimate from the "
        f"spread of the {have} here."
    )


def _share(share: float) -> str:
    if share >= 1:
        return f"a factor of {units.significant(1 + share, 2)}"
    return units.percent(share) if share >= _TENTH else f"{100 * share:.2g} %"


def comparison_table(comparison: BlockComparison) -> Table:
    """Every block in every phase."""
    changes = comparison.changes
    often = units.percent(comparison.resolutions[0].power) if comparison.resolutions else units.MISSING
    asked = sum(change.interval is not None for change in changes)
    marks = [("slower" if c.change > 0 else "faster") if c.is_clear else "" for c in changes]
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
            Column(key="resolution", title="finds", cells=tuple(map(_finds, changes)), rank=2, role="side"),
            Column(key="verdict", title="", cells=tuple(marks), justify="left"),
            Column(
                key="turns", title="turns", cells=tuple(str(c.turns) for c in changes), rank=3, role="side"
            ),
        ),
        notes=(
            "Change: beside the other blocks of the same step, so that a slower machine is none; trace by trace.",
            *(_notes_on_intervals(often, asked) if asked else ()),
        ),
        strong_rows=frozenset(row for row, change in enumerate(changes) if change.is_clear),
    )


def _notes_on_intervals(often: str, asked: int) -> tuple[str, str]:
    room = "1 question" if asked == 1 else f"{asked} questions at once"
    return (
        f"Finds: how much slower a block has to be to be found {often} of the time.",
        f"Intervals leave room for {room}: 95 % of such tables have no wrong one.",
    )


def comparison_rows(comparison: BlockComparison) -> list[dict[str, Any]]:
    """A row per block and phase, for CSV; the interval is two columns."""
    rows = []
    for change in comparison.changes:
        row = asdict(change)
        low, high = row.pop("interval") or (None, None)
        rows.append(row | {"change_low": low, "change_high": high, "clear": change.is_clear})
    return rows


def comparison_to_markdown(comparison: BlockComparison) -> str:
    """The sentences and the whole table."""
    parts = [
        *map(markdown, (verdict(comparison), *resolution(comparison))),
        to_markdown(comparison_table(comparison)),
    ]
    return "\n\n".join(parts)


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


def _finds(change: BlockChange) -> str:
    return units.MISSING if change.resolution is None else f"{100 * change.resolution:.2f} %"


def _percent(share: float) -> str:
    return f"{100 * share:+.2f} %"
