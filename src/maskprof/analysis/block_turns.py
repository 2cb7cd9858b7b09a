"""Blocks that take turns on the host: from ranges on a thread to time per block and phase.

Where the ranges come from does not matter here: our own ones, the profiler's module ranges, or a user's.
Device events belong to a block by where they were launched.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_work import BlockWorkSums, WorkLabels, sum_operators_in_blocks
from maskprof.analysis.bubbles import bubbles_us
from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.kernel_categories import device_categories
from maskprof.analysis.narrow import slices
from maskprof.results.trace_summary import BlockPhase, BlockSource, BlockTime, BlockWork, CategoryTime
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Int32s, Int64s, Trace
from maskprof.traces.links import Launches, Nesting, innermost

Floats = NDArray[np.float64]

# So many events are dealt with at once.
_PIECE = 2**16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TurnPhase:
    """One phase: its name, and the steps of which its figures are means.

    Attributes:
        ranges: positions of the steps in the nesting; None where the phase is the whole trace.
        steps: how many there are.
        host_us: of all steps together; None where nothing says when they begin and end.
    """

    name: str
    ranges: Int64s | None
    steps: int
    host_us: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostTurns:
    """Every turn of every block, and the phases that they belong to; arrays have shape (ranges,).

    Attributes:
        nesting: the ranges' rows: turns, steps, and whatever else may come between.
        turn: position of the turn that the range is or lies in, or -1.
        phase: position of the step that the range is or lies in, or -1.
        block: of a turn, which block's it is.
        active: of a turn, 1 if the block was computed, 0 if it was skipped, -1 where the trace does not say.
        names: of the blocks, by their numbers.
        phases: in the order in which they are shown.
        ours: by name code: whether operators of this name are ranges, and no work; shape (names,).
        source, note: as in `Blocks`.
    """

    nesting: Nesting
    turn: Int64s
    phase: Int64s
    block: Int64s
    active: NDArray[np.int8]
    names: dict[int, str]
    phases: tuple[TurnPhase, ...]
    ours: Bools
    source: BlockSource
    note: str | None

    @property
    def turns(self) -> Int64s:
        """Positions of the turns, ascending."""
        return np.flatnonzero(self.turn == np.arange(len(self.turn)))


def phases_of_turns(trace: Trace, launches: Launches, turns: HostTurns) -> tuple[BlockPhase, ...]:
    """Time per phase and block, as means per step.

    Host times are as recorded: recording's own cost is in them. Device times are of kernels; copies and
    memsets stand beside them. A phase's `device_us` is of the kernels whose innermost step it is: those of a
    vision tower are not the prefill's. Turns outside all phases are in no figure.
    """
    every_turn = turns.turns
    inside = [
        every_turn if phase.ranges is None else every_turn[np.isin(turns.phase[every_turn], phase.ranges)]
        for phase in turns.phases
    ]
    cells = _Cells.of(turns, inside)
    work = _work(trace, launches, turns, cells)
    return tuple(
        _phase(phase, at, turns, work, first_cell=first)
        for phase, at, first in zip(turns.phases, inside, cells.first, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cells:
    """A number for each block of each phase: those of one phase follow one another by the blocks' numbers.

    Attributes:
        of_turn: of each turn, at its position in the nesting; -1 for other ranges; shape (ranges,).
        first: the first cell of each phase.
        count: how many there are.
    """

    of_turn: Int32s
    first: list[int]
    count: int

    @classmethod
    def of(cls, turns: HostTurns, inside: list[Int64s]) -> "_Cells":
        of_turn = np.full(len(turns.turn), -1, dtype=np.int32)
        first, count = [], 0
        for at in inside:
            numbers, block_of = np.unique(turns.block[at], return_inverse=True)
            of_turn[at] = count + block_of
            first.append(count)
            count += len(numbers)
        return cls(of_turn=of_turn, first=first, count=count)

    def of_range(self, turns: HostTurns) -> Int32s:
        """The cell of what lies inside each range, or -1; shape (ranges,)."""
        if not len(turns.turn):
            return self.of_turn
        return np.where(turns.turn >= 0, self.of_turn[turns.turn], -1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What was launched inside each turn; shape (ranges,), of no meaning where a range is no turn.

    Attributes:
        step_kernel_us: time of the kernels launched inside each step; shape (ranges,).
        kernels_in_turns: of kernels launched inside a turn, in pieces: which turn's, a code of `categories`, the
            duration in nanoseconds.
        by_name: what was done inside each block of each phase.
        has_device: whether the trace has device events at all.
    """

    host_us: Floats
    kernel_us: Floats
    step_kernel_us: Floats
    all_kernel_us: float
    kernels: Int64s
    launches: Int64s
    copy_us: Floats
    copies: Int64s
    operators: Int64s
    bubble_us: Floats
    kernels_in_turns: list[tuple[Int32s, NDArray[Any], NDArray[Any]]]
    categories: tuple[str, ...]
    by_name: BlockWorkSums
    has_device: bool


def _work(trace: Trace, launches: Launches, turns: HostTurns, cells: _Cells) -> _Work:
    events, count = trace.events, len(turns.turn)
    skipped = turns.turns
    skipped = skipped[turns.active[skipped] == 0]
    bubble_us = np.zeros(count)
    bubble_us[skipped] = bubbles_us(trace, launches, turns.nesting.rows[skipped])

    # The calls are looked up once each: one launch of a graph starts thousands of events.
    calls = np.unique(launches.launch_rows[launches.linked].astype(np.int32))
    call_turn, call_step = np.full((2, len(calls)), -1, dtype=np.int32)
    for piece in slices(len(calls), _PIECE):
        call_turn[piece], call_step[piece] = _owners(trace, turns, calls[piece].astype(np.int64))

    category, names = device_categories(trace, launches)
    us = {name: np.zeros(count) for name in ("kernels", "step_kernels", "copies")}
    kernels, copies = np.zeros((2, count), dtype=np.int64)
    all_kernel_us = 0.0
    has_device = len(launches.device_rows) > 0
    cell_of_range = cells.of_range(turns)
    if has_device:
        labels = WorkLabels.of_device(trace, launches.device_rows, category)
        by_name = BlockWorkSums(cells.count, labels)
    else:
        by_name = sum_operators_in_blocks(trace, turns.nesting, cell_of_range, cells.count, turns.ours)
    in_turns: list[tuple[Int32s, NDArray[Any], NDArray[Any]]] = []
    for piece in slices(len(launches.device_rows), _PIECE):
        rows, launch = launches.device_rows[piece], launches.launch_rows[piece]
        is_kernel, dur_us = device_kinds(trace, rows) == Kind.KERNEL, events.dur_ns[rows] / 1000.0
        all_kernel_us += float(dur_us[is_kernel].sum())
        at = np.where(launch >= 0, np.searchsorted(calls, launch), -1)
        turn, step = (
            np.where(at >= 0, owner[at], -1) if len(calls) else at for owner in (call_turn, call_step)
        )
        us["kernels"] += _sums(turn, count, np.where(is_kernel, dur_us, 0.0))
        us["step_kernels"] += _sums(step, count, np.where(is_kernel, dur_us, 0.0))
        us["copies"] += _sums(turn, count, np.where(is_kernel, 0.0, dur_us))
        kernels += _counts(turn[is_kernel], count)
        copies += _counts(turn[~is_kernel], count)
        chosen = is_kernel & (turn >= 0)
        in_turns.append((turn[chosen].astype(np.int32), category[piece][chosen], events.dur_ns[rows[chosen]]))
        owned = np.flatnonzero(turn >= 0)
        one = np.ones(len(owned), dtype=np.int64)
        label = labels.of_events(trace, rows[owned])
        by_name.add(cell_of_range[turn[owned]], label, one, events.dur_ns[rows[owned]])
    del category
    return _Work(
        host_us=events.dur_ns[turns.nesting.rows] / 1000.0,
        kernel_us=us["kernels"],
        step_kernel_us=us["step_kernels"],
        all_kernel_us=all_kernel_us,
        kernels=kernels,
        launches=_counts(call_turn, count),
        copy_us=us["copies"],
        copies=copies,
        operators=_operators(trace, turns),
        bubble_us=bubble_us,
        kernels_in_turns=in_turns,
        categories=names,
        by_name=by_name,
        has_device=has_device,
    )


def _operators(trace: Trace, turns: HostTurns) -> Int64s:
    """How many operators start inside each turn, ranges left out; shape (ranges,)."""
    rows = trace.rows_in((OPERATOR,))
    found = np.zeros(len(turns.turn), dtype=np.int64)
    for piece in slices(len(rows), _PIECE):
        chosen = rows[piece]
        chosen = chosen[~turns.ours[trace.events.name[chosen]]]
        turn, _ = _owners(trace, turns, chosen)
        found += _counts(turn, len(found))
    return found


def _owners(trace: Trace, turns: HostTurns, rows: Int64s) -> tuple[Int64s, Int64s]:
    """The turn and the step within which each row starts on its thread: positions, or -1."""
    inside = innermost(trace.events, turns.nesting, rows)
    if not len(turns.turn):
        return inside, inside
    return np.where(inside >= 0, turns.turn[inside], -1), np.where(inside >= 0, turns.phase[inside], -1)


def _phase(phase: TurnPhase, inside: Int64s, turns: HostTurns, work: _Work, *, first_cell: int) -> BlockPhase:
    """One phase, with its blocks' turns at the positions `inside`, and their cells from `first_cell` on."""
    numbers, block_of = np.unique(turns.block[inside], return_inverse=True)
    counts, category_us = _by_category(inside, block_of, len(numbers), work)
    device_us = outside_us = None
    if work.has_device:
        total = work.all_kernel_us if phase.ranges is None else float(work.step_kernel_us[phase.ranges].sum())
        # A turn's kernels may lie in a phase within its own phase, and rounding is not exact.
        device_us = total / phase.steps
        outside_us = max(0.0, total - float(work.kernel_us[inside].sum())) / phase.steps
    return BlockPhase(
        phase=phase.name,
        steps=phase.steps,
        host_us=None if phase.host_us is None else phase.host_us / phase.steps,
        device_us=device_us,
        outside_device_us=outside_us,
        blocks=tuple(
            _block(
                int(number),
                inside[block_of == at],
                turns,
                work,
                steps=phase.steps,
                categories=category_times(work.categories, counts[at], category_us[at], phase.steps),
                by_name=work.by_name.of(first_cell + at, phase.steps),
            )
            for at, number in enumerate(numbers)
        ),
    )


def _by_category(inside: Int64s, block_of: Int64s, blocks: int, work: _Work) -> tuple[Int64s, Floats]:
    """Number and time of the kernels of each block and category; shape (blocks, categories).

    `block_of` says which block's each of the turns `inside` is.
    """
    owner = np.full(len(work.host_us), -1, dtype=np.int32)
    owner[inside] = block_of
    cells = blocks * len(work.categories)
    counts, total_us = np.zeros(cells, dtype=np.int64), np.zeros(cells)
    for turn, category, dur_ns in work.kernels_in_turns:
        block = owner[turn].astype(np.int64)
        cell = np.where(block >= 0, block * len(work.categories) + category, -1)
        counts += _counts(cell, cells)
        total_us += _sums(cell, cells, dur_ns / 1000.0)
    shape = (blocks, len(work.categories))
    return counts.reshape(shape), total_us.reshape(shape)


def _block(
    block: int,
    at: Int64s,
    turns: HostTurns,
    work: _Work,
    *,
    steps: int,
    categories: tuple[CategoryTime, ...],
    by_name: tuple[BlockWork, ...],
) -> BlockTime:
    """One block over its turns at the positions `at`."""
    said = turns.active[at]
    said = said[said >= 0]
    active = bool(2 * np.count_nonzero(said) > len(said)) if len(said) else None

    def per_step(values: Floats | Int64s) -> float:
        return float(values[at].sum()) / steps

    return BlockTime(
        block=block,
        name=turns.names[block],
        active=active,
        host_us=per_step(work.host_us),
        device_us=per_step(work.kernel_us) if work.has_device else None,
        kernel_count=per_step(work.kernels),
        launch_count=per_step(work.launches),
        copy_us=per_step(work.copy_us),
        copy_count=per_step(work.copies),
        operator_count=per_step(work.operators),
        bubble_us=per_step(work.bubble_us) if work.has_device and active is False else None,
        categories=categories,
        work=by_name,
    )


def category_times(
    names: tuple[str, ...], counts: Int64s, total_us: Floats, steps: int
) -> tuple[CategoryTime, ...]:
    """The categories that occur, by falling time, as means per step; arrays have shape (categories,)."""
    everything = float(total_us.sum())
    found = [
        CategoryTime(
            category=name,
            count=count / steps,
            total_us=us / steps,
            share=us / everything if everything > 0 else 0.0,
        )
        for name, count, us in zip(names, counts.tolist(), total_us.tolist(), strict=True)
        if count
    ]
    return tuple(sorted(found, key=lambda category: (-category.total_us, category.category)))


def _sums(owner: NDArray[Any], count: int, values: Floats) -> Floats:
    owned = owner >= 0
    return np.bincount(owner[owned], weights=values[owned], minlength=count).astype(np.float64)


def _counts(owner: NDArray[Any], count: int) -> Int64s:
    return np.bincount(owner[owner >= 0], minlength=count).astype(np.int64)
