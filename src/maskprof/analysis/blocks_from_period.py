"""Blocks from kernels alone: the stretch that repeats, in traces of anybody, replayed graphs among them."""

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_work import BlockWorkSums
from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.kernel_order import KernelOrder
from maskprof.analysis.launched import Launched
from maskprof.analysis.periods import Pattern, Repetition, find_repetition
from maskprof.results.trace_summary import BlockPhase, Blocks, BlockTime
from maskprof.traces.columns import Int64s
from maskprof.traces.pieces import Ints, slices, sums_before

Floats = NDArray[np.float64]

_TRAINS = ("autograd::engine", "Optimizer.")


def blocks_from_period(launched: Launched) -> Blocks | str:
    """Blocks by the sequence of kernels that repeats, or a sentence on why there are none.

    Looked at are the kernels of the busiest stream of the one device, in the order in which they ran; what
    its other streams do belongs to the block with which it was launched. A trace of training has none: a block's
    forward and backward kernels lie apart, and nothing joins them.
    """
    if not len(launched.work):
        return "the trace has no device events, and no ranges or modules that tell blocks"
    if any(name.startswith(_TRAINS) for name in launched.trace.names):
        return "the trace is of training: a block's forward and backward kernels lie apart, and nothing joins them"
    order = KernelOrder.of(launched)
    if isinstance(order, str):
        return order
    found = find_repetition(order.sequence)
    if isinstance(found, str):
        return f"the order of kernels does not tell them: {found}"
    names = ["all"] if len(found.patterns) == 1 else [f"pattern {i + 1}" for i in range(len(found.patterns))]
    return Blocks(
        source="period",
        phases=tuple(
            _phase(name, pattern, order) for name, pattern in zip(names, found.patterns, strict=True)
        ),
        note=_note(found, order),
    )


def _phase(name: str, pattern: Pattern, order: KernelOrder) -> BlockPhase:
    steps, blocks = pattern.borders.shape[0], pattern.borders.shape[1] - 1
    # Each event's stretch among all blocks of all steps, -1 outside.
    stretch = order.stretches(pattern.borders[:, :-1].ravel(), pattern.borders[:, 1:].ravel())
    by_name, before = _work_by_name(order, stretch, blocks), _kernel_ns_before(order)
    # What other streams do before the first kernel is the first step's.
    reach = np.where(pattern.reach > 0, order.placed(pattern.reach), 0)
    step_us = float((before[reach[:, 1]] - before[reach[:, 0]]).sum()) / 1000 / steps
    done = by_name.per_step(np.full(blocks, steps))
    launches = _launches(order, stretch, blocks).tolist()
    return BlockPhase(
        phase=name,
        steps=steps,
        host_us=None,
        device_us=step_us,
        outside_device_us=max(0.0, step_us - sum(one.kernel_us for one in done)),
        blocks=tuple(
            BlockTime(
                block=number,
                name=f"period {number}",
                active=None,
                host_us=None,
                device_us=one.kernel_us,
                kernel_count=one.kernel_count,
                launch_count=launches[number] / steps,
                copy_us=one.copy_us,
                copy_count=one.copy_count,
                operator_count=0.0,
                bubble_us=None,
                categories=one.categories,
                work=one.work,
            )
            for number, one in enumerate(done)
        ),
    )


def _work_by_name(order: KernelOrder, stretch: Ints, blocks: int) -> BlockWorkSums:
    """What was done in each block, all steps together; `stretch` is of each event of the work."""
    launched, work = order.launched, order.launched.work
    by_name = BlockWorkSums(blocks, launched.labels)
    for piece in slices(len(work)):
        block = np.where(stretch[piece] >= 0, stretch[piece] % blocks, -1)
        ones = np.ones(len(block), dtype=np.int64)
        by_name.add(block, launched.label[piece], ones, work.dur_ns[piece])
    return by_name


def _kernel_ns_before(order: KernelOrder) -> Ints:
    """Time of the device's kernels before each event of the work, and of all; shape (events + 1,)."""
    work, pid = order.launched.work, order.launched.trace.events.pid

    def kernel_ns(piece: slice) -> Ints:
        is_here = (work.kind[piece] == Kind.KERNEL) & (pid[work.rows[piece]] == order.device)
        return np.where(is_here, work.dur_ns[piece], 0)

    return sums_before(len(work), kernel_ns)


def _launches(order: KernelOrder, stretch: Ints, blocks: int) -> Int64s:
    """Launch calls per block, of those whose events all lie in one; shape (blocks,)."""
    found = np.zeros(blocks, dtype=np.int64)
    for piece, item, owner in order.launched.calls.pieces():
        lowest = np.full(piece.stop - piece.start, np.iinfo(np.int64).max)
        highest = np.full(piece.stop - piece.start, -1)
        np.minimum.at(lowest, owner, stretch[item])
        np.maximum.at(highest, owner, stretch[item])
        own = highest[(lowest == highest) & (highest >= 0)]
        found += np.bincount(own % blocks, minlength=blocks)
    return found


def _note(found: Repetition, order: KernelOrder) -> str:
    sentences = [
        "Blocks are stretches of kernels that repeat: host time and operators of a block are not known."
    ]
    if order.shared:
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
