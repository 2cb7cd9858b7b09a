"""What went with blocks that only one of two traces skips, and what else changed: by category, and by kernel."""

from collections.abc import Iterable, Iterator
from typing import TypedDict

from maskprof.results.trace_comparison import SkippedKernel, SkippedRow
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
        SkippedRow(category=category, **changes)
        for category, changes in _changes((inside_a, inside_b), (whole_a, whole_b))
    ]
    changed = [row for row in rows if row.inside_count or row.whole_count]
    return tuple(sorted(changed, key=lambda row: -abs(row.inside_us)))


def skipped_kernels(a: TraceSummary, b: TraceSummary, blocks: Iterable[int]) -> tuple[SkippedKernel, ...]:
    """Per kernel whose number changed, inside `blocks` or in the whole trace: the changes; B minus A.

    The largest change inside the blocks first. Operators where no side has a device; nothing where only one has, or
    where the traces have other numbers of steps.
    """
    chosen = frozenset(blocks)
    with_device = a.whole.device is not None
    if not chosen or with_device != (b.whole.device is not None) or _steps(a) != _steps(b):
        return ()
    kind = "kernel" if with_device else "operator"
    inside_a, inside_b = (_inside_by_name(side, chosen, kind) for side in (a, b))
    whole_a, whole_b = (_whole_by_name(side, with_device=with_device) for side in (a, b))
    rows = [
        SkippedKernel(name=name, **changes)
        for name, changes in _changes((inside_a, inside_b), (whole_a, whole_b))
    ]
    changed = [row for row in rows if row.inside_count or row.whole_count]
    return tuple(sorted(changed, key=lambda row: (-abs(row.inside_us), -abs(row.whole_us))))


def _inside_by_name(summary: TraceSummary, chosen: frozenset[int], kind: str) -> _Sums:
    sums: _Sums = {}
    for phase in summary.blocks.phases if summary.blocks is not None else ():
        for block in phase.blocks:
            for work in block.work if block.block in chosen else ():
                if work.kind == kind:
                    entry = sums.setdefault(work.name, [0.0, 0.0])
                    entry[0] += work.count * phase.steps
                    entry[1] += work.total_us * phase.steps
    return sums


def _whole_by_name(summary: TraceSummary, *, with_device: bool) -> _Sums:
    if with_device:
        return {kernel.name: [kernel.count, kernel.total_us] for kernel in summary.whole.kernels}
    return {operator.name: [operator.count, operator.self_us] for operator in summary.whole.operators}


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


class _Changes(TypedDict):
    """Of one key, inside the blocks and in the whole trace."""

    inside_count: int
    inside_us: float
    whole_count: int
    whole_us: float


def _changes(inside: tuple[_Sums, _Sums], whole: tuple[_Sums, _Sums]) -> Iterator[tuple[str, _Changes]]:
    """For each key of either side: B minus A."""
    for key in dict.fromkeys([*whole[0], *whole[1]]):
        yield (
            key,
            {
                "inside_count": round(_change(*inside, key, 0)),
                "inside_us": _change(*inside, key, 1),
                "whole_count": round(_change(*whole, key, 0)),
                "whole_us": _change(*whole, key, 1),
            },
        )


def _change(a: _Sums, b: _Sums, category: str, place: int) -> float:
    nothing = [0.0, 0.0]
    return b.get(category, nothing)[place] - a.get(category, nothing)[place]
