"""Blocks that take turns on the host: from ranges on a thread to time per block and phase.

Where the ranges come from does not matter here: our own ones, the profiler's module ranges, or a user's.
Device events belong to a block by where they were launched.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.bubbles import bubbles_us
from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.kernel_categories import device_categories
from maskprof.results.trace_summary import BlockPhase, BlockSource, BlockTime, CategoryTime
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Int32s, Int64s, Trace
from maskprof.traces.links import Launches, Nesting, innermost

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
    work = _work(trace, launches, turns)
    every_turn = turns.turns
    return tuple(
        _phase(
            phase,
            every_turn
            if phase.ranges is None
            else every_turn[np.isin(turns.phase[every_turn], phase.ranges)],
            turns,
            work,
        )
        for phase in turns.phases
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What was launched inside each turn; shape (ranges,), of no meaning where a range is no turn.

    Attributes:
        step_kernel_us: time of the kernels launched inside each step; shape (ranges,).
        kernel_turn, kernel_category, kernel_dur_us: of each kernel launched inside a turn: which turn's, a code of
            `categories`, how long it ran; shape (kernels,).
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
    kernel_turn: Int32s
    kernel_category: NDArray[Any]
    kernel_dur_us: Floats
    categories: tuple[str, ...]
    has_device: bool


def _work(trace: Trace, launches: Launches, turns: HostTurns) -> _Work:
    events, count = trace.events, len(turns.turn)
    kernel_flags = device_kinds(trace, launches.device_rows) == Kind.KERNEL
    all_us = events.dur_ns[launches.device_rows] / 1000.0
    linked = launches.linked
    # The calls are looked up once each: one launch of a graph starts thousands of events.
    calls, call_of = np.unique(launches.launch_rows[linked], return_inverse=True)
    call_turn, call_step = _owners(trace, turns, calls)
    turn, is_kernel, dur_us = call_turn[call_of], kernel_flags[linked], all_us[linked]
    kernel_us = np.where(is_kernel, dur_us, 0.0)

    operator_rows = trace.rows_in((OPERATOR,))
    operator_rows = operator_rows[~turns.ours[events.name[operator_rows]]]
    operator_turn, _ = _owners(trace, turns, operator_rows)

    skipped = turns.turns
    skipped = skipped[turns.active[skipped] == 0]
    bubble_us = np.zeros(count)
    bubble_us[skipped] = bubbles_us(trace, launches, turns.nesting.rows[skipped])

    category, names = device_categories(trace, launches)
    in_turn = is_kernel & (turn >= 0)
    return _Work(
        host_us=events.dur_ns[turns.nesting.rows] / 1000.0,
        kernel_us=_sums(turn, count, kernel_us),
        step_kernel_us=_sums(call_step[call_of], count, kernel_us),
        all_kernel_us=float(all_us[kernel_flags].sum()),
        kernels=_counts(turn[is_kernel], count),
        launches=_counts(call_turn, count),
        copy_us=_sums(turn[~is_kernel], count, dur_us[~is_kernel]),
        copies=_counts(turn[~is_kernel], count),
        operators=_counts(operator_turn, count),
        bubble_us=bubble_us,
        kernel_turn=turn[in_turn].astype(np.int32),
        kernel_category=category[linked][in_turn],
        kernel_dur_us=dur_us[in_turn],
        categories=names,
        has_device=len(launches.device_rows) > 0,
    )


def _owners(trace: Trace, turns: HostTurns, rows: Int64s) -> tuple[Int64s, Int64s]:
    """The turn and the step within which each row starts on its thread: positions, or -1."""
    inside = innermost(trace.events, turns.nesting, rows)
    if not len(turns.turn):
        return inside, inside
    return np.where(inside >= 0, turns.turn[inside], -1), np.where(inside >= 0, turns.phase[inside], -1)


def _phase(phase: TurnPhase, inside: Int64s, turns: HostTurns, work: _Work) -> BlockPhase:
    """One phase, with its blocks' turns at the positions `inside`."""
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
    kernel_block = owner[work.kernel_turn]
    cells, shape = blocks * len(work.categories), (blocks, len(work.categories))
    cell = np.where(kernel_block >= 0, kernel_block * len(work.categories) + work.kernel_category, -1)
    return _counts(cell, cells).reshape(shape), _sums(cell, cells, work.kernel_dur_us).reshape(shape)


def _block(
    block: int,
    at: Int64s,
    turns: HostTurns,
    work: _Work,
    *,
    steps: int,
    categories: tuple[CategoryTime, ...],
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


def _sums(owner: Int64s, count: int, values: Floats) -> Floats:
    owned = owner >= 0
    return np.bincount(owner[owned], weights=values[owned], minlength=count).astype(np.float64)


def _counts(owner: Int64s, count: int) -> Int64s:
    return np.bincount(owner[owner >= 0], minlength=count).astype(np.int64)
