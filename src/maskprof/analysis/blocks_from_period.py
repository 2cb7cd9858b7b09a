"""Blocks from kernels alone: the stretch that repeats, in traces of anybody, replayed graphs among them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_work import BlockWorkSums, WorkLabels, kernel_categories_of
from maskprof.analysis.kernel_categories import device_categories
from maskprof.analysis.kernel_order import KernelOrder
from maskprof.analysis.periods import Pattern, Repetition, find_repetition
from maskprof.results.trace_summary import BlockPhase, Blocks, BlockTime
from maskprof.traces.columns import Int64s, Trace
from maskprof.traces.links import Launches

Floats = NDArray[np.float64]

_TRAINS = ("autograd::engine", "Optimizer.")


def blocks_from_period(trace: Trace, launches: Launches) -> Blocks | str:
    """Blocks by the sequence of kernels that repeats, or a sentence on why there are none.

    Looked at are the kernels of the busiest stream of the one device, in the order in which they ran; what
    its other streams do belongs to the block with which it was launched. A trace of training has none: a block's
    forward and backward kernels lie apart, and nothing joins them.
    """
    if not len(launches.device_rows):
        return "the trace has no device events, and no ranges or modules that tell blocks"
    if any(name.startswith(_TRAINS) for name in trace.names):
        return "the trace is of training: a block's forward and backward kernels lie apart, and nothing joins them"
    category, table = device_categories(trace, launches)
    work = KernelOrder.of(trace, launches, category, table)
    if isinstance(work, str):
        return work
    found = find_repetition(work.sequence)
    if isinstance(found, str):
        return f"the order of kernels does not tell them: {found}"
    rows = launches.device_rows[work.events]
    labels = WorkLabels.of_device(trace, rows, category[work.events])
    label = labels.of_events(trace, rows)
    dur_ns = trace.events.dur_ns[rows]

    def by_name(block: Int64s, blocks: int) -> BlockWorkSums:
        sums = BlockWorkSums(blocks, labels)
        sums.add(block, label, np.ones(len(label), dtype=np.int64), dur_ns)
        return sums

    names = ["all"] if len(found.patterns) == 1 else [f"pattern {i + 1}" for i in range(len(found.patterns))]
    return Blocks(
        source="period",
        phases=tuple(
            _phase(name, pattern, work, by_name) for name, pattern in zip(names, found.patterns, strict=True)
        ),
        note=_note(found, work),
    )


def _phase(
    name: str,
    pattern: Pattern,
    work: KernelOrder,
    by_name: Callable[[Int64s, int], BlockWorkSums],
) -> BlockPhase:
    """One phase; `by_name` gives the sums of what is in blocks, from the block of each event or -1."""
    steps, blocks = pattern.borders.shape[0], pattern.borders.shape[1] - 1
    # Position of each event's stretch among all blocks of all steps, -1 outside.
    stretch = work.stretches(pattern.borders[:, :-1].ravel(), pattern.borders[:, 1:].ravel())
    inside = np.flatnonzero(stretch >= 0)
    block = np.where(stretch >= 0, stretch % blocks, -1)
    kernels, copies = inside[work.is_kernel[inside]], inside[~work.is_kernel[inside]]

    def per_block(events: Int64s, weights: Floats | None = None) -> list[float]:
        totals = np.bincount(block[events], None if weights is None else weights[events], minlength=blocks)
        return [float(total) / steps for total in totals]

    device_us, kernel_count = per_block(kernels, work.time_us), per_block(kernels)
    copy_us, copy_count = per_block(copies, work.time_us), per_block(copies)
    launch_count = _launches(work, stretch, blocks) / steps
    sums = by_name(block, blocks)
    done = [sums.of(number, steps) for number in range(blocks)]
    kernel_time = np.cumsum(np.append(0.0, np.where(work.is_kernel, work.time_us, 0.0)))
    # What other streams do before the first kernel is the first step's.
    reach = np.where(pattern.reach > 0, work.placed(pattern.reach), 0)
    step_us = float((kernel_time[reach[:, 1]] - kernel_time[reach[:, 0]]).sum()) / steps
    return BlockPhase(
        phase=name,
        steps=steps,
        host_us=None,
        device_us=step_us,
        outside_device_us=max(0.0, step_us - sum(device_us)),
        blocks=tuple(
            BlockTime(
                block=number,
                name=f"period {number}",
                active=None,
                host_us=None,
                device_us=device_us[number],
                kernel_count=kernel_count[number],
                launch_count=float(launch_count[number]),
                copy_us=copy_us[number],
                copy_count=copy_count[number],
                operator_count=0.0,
                bubble_us=None,
                categories=kernel_categories_of(done[number]),
                work=done[number],
            )
            for number in range(blocks)
        ),
    )


def _launches(work: KernelOrder, stretch: Int64s, blocks: int) -> Int64s:
    """Launch calls per block, of those whose events all lie in one; shape (blocks,)."""
    linked = np.flatnonzero(work.launch_rows >= 0)
    calls, call = np.unique(work.launch_rows[linked], return_inverse=True)
    lowest = np.full(len(calls), len(stretch), dtype=np.int64)
    highest = np.full(len(calls), -1, dtype=np.int64)
    np.minimum.at(lowest, call, stretch[linked])
    np.maximum.at(highest, call, stretch[linked])
    own = highest[(lowest == highest) & (highest >= 0)]
    return np.bincount(own % blocks, minlength=blocks).astype(np.int64)


def _note(found: Repetition, work: KernelOrder) -> str:
    sentences = [
        "Blocks are stretches of kernels that repeat: host time and operators of a block are not known."
    ]
    if work.shared:
        sentences.append(
            "Launch calls whose kernels are of several blocks, such as those of graphs, count in none."
        )
    if len(found.patterns) > 1:
        sentences.append("Steps of other kernels are phases of their own.")
    if found.cut_blocks:
        sentences.append(
            f"{found.cut_blocks} more blocks are of steps that were not found whole, and are in no figure."
        )
    return " ".join(sentences)
