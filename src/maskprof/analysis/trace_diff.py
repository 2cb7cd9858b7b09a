"""Two traces side by side: what was added and removed, what takes longer and what shorter."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from maskprof.analysis.trace_diff_skipped import skipped_kernels, skipped_rows
from maskprof.analysis.trace_diff_words import headline, notes
from maskprof.ranges import parse_phase
from maskprof.results.trace_comparison import BlockDiffRow, DiffRow, DiffStatus, TraceDiff
from maskprof.results.trace_summary import BlockPhase, BlockTime, TraceSummary

RELATIVE = 0.05
LEAST_US = 1.0

_NUMBERED = re.compile(r"#\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """When two times count as the same: less than `relative` of the longer apart, or less than `least_us`."""

    relative: float = RELATIVE
    least_us: float = LEAST_US

    def same(self, a_us: float, b_us: float) -> bool:
        """Whether the two do not differ in earnest."""
        distance = abs(a_us - b_us)
        return distance < self.least_us or distance <= self.relative * max(a_us, b_us)


_DEFAULT = Threshold()


def diff(a: TraceSummary, b: TraceSummary, *, threshold: Threshold = _DEFAULT) -> TraceDiff:
    """Compare two traces by phase, block, range, category, operator and kernel.

    A full run beside a masked one shows the skipped blocks as `removed`, and their kernels as `removed` or
    `fewer`.
    """
    has_device = [side.whole.device is not None for side in (a, b)]
    with_device = all(has_device)
    # Where one side has no blocks, nothing says that they do not run there.
    runs_a, runs_b = (_running(a), _running(b)) if a.blocks and b.blocks else (set[int](), set[int]())
    comparison = _Comparison(
        with_device=with_device, mixed=any(has_device) and not with_device, threshold=threshold
    )
    phases = comparison.phases(a, b)
    found = TraceDiff(
        a=a.facts,
        b=b.facts,
        headline=(),
        phases=phases,
        blocks=comparison.blocks(a, b),
        ranges=comparison.ranges(a, b),
        categories=comparison.totals(
            *([(c.category, c.count, c.total_us) for c in side.whole.categories] for side in (a, b))
        ),
        operators=comparison.totals(
            *([(o.name, o.count, o.self_us) for o in side.whole.operators] for side in (a, b))
        ),
        kernels=comparison.totals(
            *([(k.name, k.count, k.total_us) for k in side.whole.kernels] for side in (a, b))
        ),
        skipped_only_in_a=tuple(sorted(runs_b - runs_a)),
        skipped_only_in_b=tuple(sorted(runs_a - runs_b)),
        skipped=skipped_rows(a, b, runs_a ^ runs_b),
        skipped_kernels=skipped_kernels(a, b, runs_a ^ runs_b),
    )
    return replace(
        found,
        headline=headline(a, b, found),
        notes=notes(a, b, found, relative=threshold.relative, least_us=threshold.least_us),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """`mixed`: only one side has a device, so that blocks' kernels would stand beside operators."""

    with_device: bool
    mixed: bool
    threshold: Threshold

    def phases(self, a: TraceSummary, b: TraceSummary) -> tuple[DiffRow, ...]:
        """Phases of both, by their order in A; counts are steps, times per step."""
        sides = [
            {p.phase: (float(p.steps), self._time_of_phase(p)) for p in _phases(side)} for side in (a, b)
        ]
        return tuple(self._row(key, *_pair(sides, key), by_calls=False) for key in _keys_in_order(*sides))

    def blocks(self, a: TraceSummary, b: TraceSummary) -> dict[str, tuple[BlockDiffRow, ...]]:
        """Per phase that both have, the blocks of both with their work; counts and times are per step."""
        phases_b = {phase.phase: phase for phase in _phases(b)}
        found = {}
        for phase in _phases(a):
            if phase.phase in phases_b:
                found[phase.phase] = tuple(self._blocks_of(phase, phases_b[phase.phase]))
        return found

    def ranges(self, a: TraceSummary, b: TraceSummary) -> tuple[DiffRow, ...]:
        """Users' ranges, the same name with different step numbers as one; totals."""
        sides = []
        for side in (a, b):
            sums: dict[str, tuple[float, float]] = {}
            for found in side.ranges:
                if parse_phase(found.name) is not None:
                    continue
                key = _NUMBERED.sub("", found.name)
                count, us = sums.get(key, (0.0, 0.0))
                sums[key] = count + found.count, us + (found.device_us if self.with_device else found.host_us)
            sides.append(sums)
        return tuple(self._row(key, *_pair(sides, key)) for key in _keys_in_order(*sides))

    def totals(self, *sides: Iterable[tuple[str, float, float]]) -> tuple[DiffRow, ...]:
        """Rows of (name, count, total us) on both sides, the largest change first."""
        named = [{name: (float(count), us) for name, count, us in side} for side in sides]
        rows = [self._row(key, *_pair(named, key)) for key in _keys_in_order(*named)]
        return tuple(sorted(rows, key=lambda row: -abs(row.delta_us)))

    def _blocks_of(self, a: BlockPhase, b: BlockPhase) -> Iterable[BlockDiffRow]:
        blocks_a = {block.block: block for block in a.blocks}
        blocks_b = {block.block: block for block in b.blocks}
        for number in sorted(blocks_a.keys() | blocks_b.keys()):
            one, other = blocks_a.get(number), blocks_b.get(number)
            row = self._row(str(number), self._of_block(one), self._of_block(other))
            yield BlockDiffRow(
                key=row.key,
                count_a=row.count_a,
                count_b=row.count_b,
                us_a=row.us_a,
                us_b=row.us_b,
                status=_turned(one, other) or row.status,
                work=self.totals(*(self._work_of(side) for side in (one, other))),
            )

    def _work_of(self, block: BlockTime | None) -> list[tuple[str, float, float]]:
        work = () if block is None or self.mixed else block.work
        return [(one.name, one.count, one.total_us) for one in work]

    def _of_block(self, block: BlockTime | None) -> tuple[float, float]:
        if block is None:
            return 0.0, 0.0
        if self.with_device:
            return block.kernel_count, (block.device_us or 0.0) + block.copy_us
        return block.operator_count, block.host_us or 0.0

    def _time_of_phase(self, phase: BlockPhase) -> float:
        return (phase.device_us if self.with_device else phase.host_us) or 0.0

    def _row(
        self, key: str, a: tuple[float, float], b: tuple[float, float], *, by_calls: bool = True
    ) -> DiffRow:
        return DiffRow(
            key=key,
            count_a=a[0],
            count_b=b[0],
            us_a=a[1],
            us_b=b[1],
            status=self._status(a, b, by_calls=by_calls),
        )

    def _status(self, a: tuple[float, float], b: tuple[float, float], *, by_calls: bool) -> DiffStatus:
        (count_a, us_a), (count_b, us_b) = a, b
        if not count_a and count_b:
            return "added"
        if count_a and not count_b:
            return "removed"
        if by_calls and count_a != count_b:
            # What the other number of calls explains, against what longer or shorter calls do.
            by_number = (count_b - count_a) * us_a / count_a
            by_length = us_b - us_a - by_number
            if abs(by_number) >= abs(by_length) or self.threshold.same(us_a, us_b):
                return "more" if count_b > count_a else "fewer"
        if self.threshold.same(us_a, us_b):
            return "same"
        return "slower" if us_b > us_a else "faster"


def _phases(summary: TraceSummary) -> Sequence[BlockPhase]:
    return () if summary.blocks is None else summary.blocks.phases


def _running(summary: TraceSummary) -> set[int]:
    """Blocks that are said to run. Others are skipped, or not there: some ways to skip leave no trace of them."""
    return {block.block for phase in _phases(summary) for block in phase.blocks if block.active}


def _turned(a: BlockTime | None, b: BlockTime | None) -> DiffStatus | None:
    """`removed` or `added` for a block that only one of the two runs."""
    if a is None or b is None or a.active is None or b.active is None or a.active == b.active:
        return None
    return "removed" if a.active else "added"


def _pair(
    sides: Sequence[dict[str, tuple[float, float]]], key: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    return sides[0].get(key, (0.0, 0.0)), sides[1].get(key, (0.0, 0.0))


def _keys_in_order(a: Iterable[str], b: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*a, *b]))
