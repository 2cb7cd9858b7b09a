"""Blocks from kernels alone: the stretch that repeats, in traces of anybody, replayed graphs among them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.block_turns import category_times
from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.kernel_categories import device_categories
from maskprof.analysis.period_rules import KernelSequence
from maskprof.analysis.periods import Pattern, Repetition, find_repetition
from maskprof.results.trace_summary import BlockPhase, Blocks, BlockTime
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.links import Launches

Floats = NDArray[np.float64]

# With fewer of the kernels on one device, the trace is of several devices at work together.
_ONE_DEVICE = 0.9
_LONGEST_NAME = 400

_ATTENDS = re.compile(
    r"attention|attn|fmha|flash_fwd|flash::|flashattn|flash_api|sdpa|softmax|paged_?kv|mha|xqa|mla_|selective_scan|"
    r"chunk_scan|ssd_|state_passing|wkv|delta_rule|linear_attn|retention",
    re.IGNORECASE,
)
_EDGE = re.compile(r"indexselect|vectorized_gather|embedding|arange|argmax|multinomial|sampl", re.IGNORECASE)
_NO_EDGE = re.compile(r"rotary|rope", re.IGNORECASE)
_LEADS = re.compile(r"norm", re.IGNORECASE)
_TRAINS = ("autograd::engine", "Optimizer.")


def blocks_from_period(trace: Trace, launches: Launches) -> Blocks | str:
    """Blocks by the sequence of kernels that repeats, or a sentence on why there are none.

    Looked at are the kernels of the busiest stream of the one device, in the order in which they ran; kernels
    of its other streams belong to the block during which they start. A trace of training has none: a block's
    forward and backward kernels lie apart, and nothing joins them.
    """
    if not len(launches.device_rows):
        return "the trace has no device events, and no ranges or modules that tell blocks"
    if any(name.startswith(_TRAINS) for name in trace.names):
        return "the trace is of training: a block's forward and backward kernels lie apart, and nothing joins them"
    work = _Work.of(trace, launches)
    if isinstance(work, str):
        return work
    found = find_repetition(work.sequence)
    if isinstance(found, str):
        return f"no blocks could be told from the order of kernels: {found}"
    category, table = device_categories(trace, launches)
    category = category[work.events]
    names = ["all"] if len(found.patterns) == 1 else [f"pattern {i + 1}" for i in range(len(found.patterns))]
    return Blocks(
        source="period",
        phases=tuple(
            _phase(name, pattern, work, category, table)
            for name, pattern in zip(names, found.patterns, strict=True)
        ),
        note=_note(found, work),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """Device events of one device, by their start.

    Attributes:
        sequence: the kernels of the main stream.
        main: positions of these kernels among all of the events; shape (kernels,).
        events: positions of the events in the `Launches`; shape (events,).
        time_us, is_kernel, launch_rows: of the events; shape (events,).
        shared: whether any launch started several of them.
    """

    sequence: KernelSequence
    main: Int64s
    events: Int64s
    time_us: Floats
    is_kernel: Bools
    launch_rows: Int64s
    shared: bool

    @classmethod
    def of(cls, trace: Trace, launches: Launches) -> "_Work | str":
        events, rows = trace.events, launches.device_rows
        is_kernel = device_kinds(trace, rows) == Kind.KERNEL
        if not is_kernel.any():
            return "the trace has no kernels"
        devices, device = np.unique(events.pid[rows], return_inverse=True)
        counts = np.bincount(device[is_kernel], minlength=len(devices))
        if counts.max() < _ONE_DEVICE * counts.sum():
            return f"the trace has kernels of {np.count_nonzero(counts)} devices, whose orders cannot be told together"
        chosen = np.flatnonzero(device == np.argmax(counts))
        chosen = chosen[np.argsort(events.ts_ns[rows[chosen]], kind="stable")]
        rows, is_kernel = rows[chosen], is_kernel[chosen]
        streams, stream = np.unique(events.tid[rows], return_inverse=True)
        main = is_kernel & (stream == np.argmax(np.bincount(stream[is_kernel], minlength=len(streams))))
        names, tokens = np.unique(events.name[rows[main]], return_inverse=True)
        texts = [trace.names[name][:_LONGEST_NAME] for name in names]
        time_us = events.dur_ns[rows] / 1000.0
        launch_rows = launches.launch_rows[chosen]
        linked = launch_rows[launch_rows >= 0]
        return cls(
            sequence=KernelSequence(
                tokens=tokens.astype(np.int64),
                time_us=time_us[main],
                attends=_flags(bool(_ATTENDS.search(text)) for text in texts),
                edge=_flags(bool(_EDGE.search(text)) and not _NO_EDGE.search(text) for text in texts),
                leads=_flags(bool(_LEADS.search(text)) for text in texts),
            ),
            main=np.flatnonzero(main),
            events=chosen,
            time_us=time_us,
            is_kernel=is_kernel,
            launch_rows=launch_rows,
            shared=len(np.unique(linked)) < len(linked),
        )

    def placed(self, ends: Int64s) -> Int64s:
        """For ends of stretches of the sequence, where they end among all events: before the next kernel."""
        return np.append(self.main, len(self.events))[ends]


def _phase(
    name: str, pattern: Pattern, work: _Work, category: NDArray[np.int8], table: tuple[str, ...]
) -> BlockPhase:
    steps, blocks = pattern.borders.shape[0], pattern.borders.shape[1] - 1
    begin = work.main[pattern.borders[:, :-1]].ravel()
    end = work.placed(pattern.borders[:, 1:]).ravel()
    # Position of each event's stretch among all blocks of all steps, -1 outside.
    here = np.arange(len(work.events))
    stretch = np.searchsorted(begin, here, side="right") - 1
    inside = np.flatnonzero((stretch >= 0) & (here < end[stretch]))
    block = np.full(len(work.events), -1, dtype=np.int64)
    block[inside] = stretch[inside] % blocks
    kernels, copies = inside[work.is_kernel[inside]], inside[~work.is_kernel[inside]]

    def per_block(events: Int64s, weights: Floats | None = None) -> list[float]:
        totals = np.bincount(block[events], None if weights is None else weights[events], minlength=blocks)
        return [float(total) / steps for total in totals]

    device_us, kernel_count = per_block(kernels, work.time_us), per_block(kernels)
    copy_us, copy_count = per_block(copies, work.time_us), per_block(copies)
    launch_count = _launches(work, stretch, inside, blocks) / steps
    cell = block[kernels] * len(table) + category[kernels]
    cells = blocks, len(table)
    category_count = np.bincount(cell, minlength=blocks * len(table)).reshape(cells)
    category_us = np.bincount(cell, work.time_us[kernels], minlength=blocks * len(table)).reshape(cells)
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
                categories=category_times(table, category_count[number], category_us[number], steps),
            )
            for number in range(blocks)
        ),
    )


def _launches(work: _Work, stretch: Int64s, inside: Int64s, blocks: int) -> Int64s:
    """Launch calls per block, of those whose events all lie in one; shape (blocks,)."""
    where = np.full(len(stretch), -1, dtype=np.int64)
    where[inside] = stretch[inside]
    linked = np.flatnonzero(work.launch_rows >= 0)
    calls, call = np.unique(work.launch_rows[linked], return_inverse=True)
    lowest = np.full(len(calls), len(stretch), dtype=np.int64)
    highest = np.full(len(calls), -1, dtype=np.int64)
    np.minimum.at(lowest, call, where[linked])
    np.maximum.at(highest, call, where[linked])
    own = highest[(lowest == highest) & (highest >= 0)]
    return np.bincount(own % blocks, minlength=blocks).astype(np.int64)


def _note(found: Repetition, work: _Work) -> str:
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


def _flags(flags: Iterable[bool]) -> Bools:
    return np.fromiter(flags, dtype=np.bool_)
