"""What went with blocks that only one of two traces skips, and what else changed, category by category."""

from collections.abc import Iterable

from maskprof.results.trace_comparison import SkippedRow
from maskprof.results.trace_summary import TraceSummary

# A block's copies and memsets are known together, so that their categories are compared as one.
_COPIES = frozenset({"copy", "memcpy", "memset"})
COPIES = "copy, memset"

_Sums = dict[str, list[float]]


def skipped_rows(a: TraceSummary, b: TraceSummary, blocks: Iterable[int]) -> tuple[SkippedRow, ...]:
    """Per category of device work: the change inside `blocks`, and in the whole trace; B minus A.

    The largest change inside them first. None where a side has no device or no blocks, or other numbers of steps.
    """
    chosen = frozenset(blocks)
    if not chosen or a.whole.device is None or b.whole.device is None or _steps(a) != _steps(b):
        return ()
    inside_a, inside_b = _inside(a, chosen), _inside(b, chosen)
    whole_a, whole_b = _whole(a), _whole(b)
    rows = [
        SkippedRow(
            category=category,
            inside_count=round(_change(inside_a, inside_b, category, 0)),
            inside_us=_change(inside_a, inside_b, category, 1),
            whole_count=round(_change(whole_a, whole_b, category, 0)),
            whole_us=_change(whole_a, whole_b, category, 1),
        )
        for category in dict.fromkeys([*whole_a, *whole_b])
    ]
    changed = [row for row in rows if row.inside_count or row.whole_count]
    return tuple(sorted(changed, key=lambda row: -abs(row.inside_us)))


def _steps(summary: TraceSummary) -> dict[str, int]:
    return {} if summary.blocks is None else {phase.phase: phase.steps for phase in summary.blocks.phases}


def _inside(summary: TraceSummary, chosen: frozenset[int]) -> _Sums:
    sums: _Sums = {}
    for phase in summary.blocks.phases if summary.blocks is not None else ():
        for block in phase.blocks:
            if block.block in chosen:
                for found in block.categories:
                    _add(sums, found.category, found.count * phase.steps, found.total_us * phase.steps)
                _add(sums, COPIES, block.copy_count * phase.steps, block.copy_us * phase.steps)
    return sums


def _whole(summary: TraceSummary) -> _Sums:
    sums: _Sums = {}
    for found in summary.whole.categories:
        _add(sums, found.category, found.count, found.total_us)
    return sums


def _add(sums: _Sums, category: str, count: float, us: float) -> None:
    entry = sums.setdefault(COPIES if category in _COPIES else category, [0.0, 0.0])
    entry[0] += count
    entry[1] += us


def _change(a: _Sums, b: _Sums, category: str, place: int) -> float:
    nothing = [0.0, 0.0]
    return b.get(category, nothing)[place] - a.get(category, nothing)[place]
