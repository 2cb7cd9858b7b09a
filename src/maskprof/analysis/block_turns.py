"""Blocks that take turns on the host: from ranges on a thread to time per block and phase.

Where the ranges come from does not matter here: our own ones, the profiler's module ranges, or a user's.
Device events belong to a block by where they were launched.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_work import BlockWorkSums, CellWork, sum_operators_in_blocks
from maskprof.analysis.bubbles import bubbles_us
from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.launched import Launched
from maskprof.results.trace_summary import BlockPhase, BlockSource, BlockTime
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.links import Nesting, innermost
from maskprof.traces.pieces import Ints, positions, row_column, slices

Floats = NDArray[np.float64]


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
    turn: Ints
    phase: Ints
    block: Ints
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


def phases_of_turns(launched: Launched, turns: HostTurns) -> tuple[BlockPhase, ...]:
    """Time per phase and block, as means per step.

    Host times are as recorded: recording's own cost is in them. Device times are of kernels; copies and
    memsets stand beside them. A phase's `device_us` is of the kernels whose innermost step it is: those of a
    vision tower are not the prefill's. Turns outside all phases are in no figure.
    """
    cells = _cells(turns)
    sums = _sum(launched, turns, cells)
    steps = np.repeat([phase.steps for phase in turns.phases], np.diff(cells.bounds))
    done = sums.by_name.per_step(steps)
    return tuple(_phase(number, turns, cells, sums, done) for number in range(len(turns.phases)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cells:
    """A number for each block in each phase, those of one phase side by side.

    Attributes:
        of: of a range that is a turn in a phase its cell, else -1; shape (ranges,).
        block: of each cell; shape (cells,).
        bounds: the cells of phase i are `[bounds[i], bounds[i + 1])`.
        phase: of a range that is a step the number of its phase, else -1; shape (ranges,).
    """

    of: Ints
    block: Int64s
    bounds: tuple[int, ...]
    phase: Ints

    def __len__(self) -> int:
        return len(self.block)


def _cells(turns: HostTurns) -> _Cells:
    every_turn = turns.turns
    of = np.full(len(turns.turn), -1, dtype=np.int32)
    phase_of = np.full(len(turns.turn), -1, dtype=np.int32)
    blocks, bounds = [np.zeros(0, dtype=np.int64)], [0]
    for number, phase in enumerate(turns.phases):
        inside = every_turn
        if phase.ranges is not None:
            phase_of[phase.ranges] = number
            inside = every_turn[np.isin(turns.phase[every_turn], phase.ranges)]
        found, block = np.unique(turns.block[inside], return_inverse=True)
        of[inside] = block + bounds[-1]
        blocks.append(found)
        bounds.append(bounds[-1] + len(found))
    return _Cells(of=of, block=np.concatenate(blocks), bounds=tuple(bounds), phase=phase_of)


@dataclass(slots=True, kw_only=True, eq=False)
class _Sums:
    """Sums by cell, of shape (cells,) each; times in nanoseconds.

    Attributes:
        skipped, computed: how many turns say that they were.
        phase_kernel_ns: time of the kernels launched in the steps of each phase; shape (phases,).
        all_kernel_ns: time of all kernels.
        by_name: what was done inside each block.
        with_device: whether the trace has device events at all.
    """

    host_ns: Floats
    skipped: Int64s
    computed: Int64s
    operators: Int64s
    bubble_us: Floats
    launches: Int64s
    phase_kernel_ns: Floats
    all_kernel_ns: int
    by_name: BlockWorkSums
    with_device: bool


def _sum(launched: Launched, turns: HostTurns, cells: _Cells) -> _Sums:
    trace, work, calls, count = launched.trace, launched.work, launched.calls, len(cells)
    nesting, every_turn = turns.nesting, turns.turns
    host_ns = row_column(nesting.rows[every_turn], lambda some: trace.events.dur_ns[some])
    skipped = every_turn[turns.active[every_turn] == 0]
    sums = _Sums(
        host_ns=_sums(cells.of[every_turn], count, host_ns),
        skipped=_counts(cells.of[skipped], count),
        computed=_counts(cells.of[every_turn[turns.active[every_turn] == 1]], count),
        operators=_operators(trace, turns, cells),
        bubble_us=_sums(cells.of[skipped], count, bubbles_us(launched, nesting.rows[skipped])),
        launches=np.zeros(count, dtype=np.int64),
        phase_kernel_ns=np.zeros(len(turns.phases)),
        all_kernel_ns=work.kernel_ns,
        with_device=len(work) > 0,
        by_name=BlockWorkSums(count, launched.labels)
        if len(work)
        else sum_operators_in_blocks(trace, nesting, _of_ranges(turns, cells), count, turns.ours),
    )
    around = innermost(trace.events, nesting, calls.rows)
    for piece, item, owner in calls.pieces():
        cell = _of_turn(turns, cells, around[piece])
        sums.launches += _counts(cell, count)
        phase = _at(cells.phase, _at(turns.phase, around[piece]))[owner]
        cell, dur_ns, is_kernel = cell[owner], work.dur_ns[item], np.equal(work.kind[item], Kind.KERNEL)
        sums.phase_kernel_ns += _sums(phase[is_kernel], len(turns.phases), dur_ns[is_kernel])
        sums.by_name.add(cell, launched.label[item], np.ones(len(item), dtype=np.int64), dur_ns)
    return sums


def _operators(trace: Trace, turns: HostTurns, cells: _Cells) -> Int64s:
    """How many operators start inside each turn, ranges left out; shape (cells,)."""
    name, category, operator = trace.events.name, trace.events.category, trace.categories_are((OPERATOR,))
    rows = positions(len(name), lambda piece: operator[category[piece]] & ~turns.ours[name[piece]])
    around = innermost(trace.events, turns.nesting, rows)
    found = np.zeros(len(cells), dtype=np.int64)
    for piece in slices(len(rows)):
        found += _counts(_of_turn(turns, cells, around[piece]), len(cells))
    return found


def _of_ranges(turns: HostTurns, cells: _Cells) -> Ints:
    """The cell of what lies inside each range, or -1; shape (ranges,)."""
    return _at(cells.of, turns.turn)


def _of_turn(turns: HostTurns, cells: _Cells, around: Ints) -> Ints:
    """The cells of the turns that ranges are or lie in, or -1."""
    return _at(cells.of, _at(turns.turn, around))


def _at(table: Ints, at: Ints) -> Ints:
    """`table[at]`, and -1 where `at` is -1."""
    return np.where(at >= 0, table[at], -1) if len(table) else np.full(len(at), -1)


def _phase(number: int, turns: HostTurns, cells: _Cells, sums: _Sums, done: list[CellWork]) -> BlockPhase:
    phase = turns.phases[number]
    within = range(cells.bounds[number], cells.bounds[number + 1])
    device_us = outside_us = None
    if sums.with_device:
        total_us = (sums.all_kernel_ns if phase.ranges is None else sums.phase_kernel_ns[number]) / 1000
        # A turn's kernels may lie in a phase within its own phase, and rounding is not exact.
        device_us = float(total_us) / phase.steps
        outside_us = max(0.0, device_us - sum(done[cell].kernel_us for cell in within))
    return BlockPhase(
        phase=phase.name,
        steps=phase.steps,
        host_us=None if phase.host_us is None else phase.host_us / phase.steps,
        device_us=device_us,
        outside_device_us=outside_us,
        blocks=tuple(
            _block(cell, int(cells.block[cell]), turns, sums, done[cell], steps=phase.steps)
            for cell in within
        ),
    )


def _block(cell: int, block: int, turns: HostTurns, sums: _Sums, done: CellWork, *, steps: int) -> BlockTime:
    computed, skipped = int(sums.computed[cell]), int(sums.skipped[cell])
    active = computed > skipped if computed or skipped else None
    return BlockTime(
        block=block,
        name=turns.names[block],
        active=active,
        host_us=float(sums.host_ns[cell]) / 1000 / steps,
        device_us=done.kernel_us if sums.with_device else None,
        kernel_count=done.kernel_count,
        launch_count=int(sums.launches[cell]) / steps,
        copy_us=done.copy_us,
        copy_count=done.copy_count,
        operator_count=int(sums.operators[cell]) / steps,
        bubble_us=float(sums.bubble_us[cell]) / steps if sums.with_device and active is False else None,
        categories=done.categories,
        work=done.work,
    )


def _sums(owner: Ints, count: int, values: NDArray[Any]) -> Floats:
    owned = owner >= 0
    return np.bincount(owner[owned], weights=values[owned], minlength=count).astype(np.float64)


def _counts(owner: Ints, count: int) -> Int64s:
    return np.bincount(owner[owner >= 0], minlength=count).astype(np.int64)
