"""One device's events in the order in which they ran, and which of them belong to a stretch of its kernels."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import Kind, device_kinds
from maskprof.analysis.period_rules import KernelSequence
from maskprof.traces.columns import Bools, Int64s, Trace
from maskprof.traces.links import Launches

Floats = NDArray[np.float64]

# With fewer of the kernels on one device, the trace is of several devices at work together.
_ONE_DEVICE = 0.9
_LONGEST_NAME = 400

_ATTENDS = frozenset({"attention", "softmax", "recurrent"})
_LEADS = frozenset({"norm"})
# Of what a compiler fused, the name tells what is in it.
_FUSED = "fused"
_FUSED_ATTENDS = re.compile(r"softmax|attention", re.IGNORECASE)
_FUSED_LEADS = re.compile(r"norm", re.IGNORECASE)
_EDGE = re.compile(r"indexselect|vectorized_gather|embedding|arange|argmax|multinomial|sampl", re.IGNORECASE)
_NO_EDGE = re.compile(r"rotary|rope", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelOrder:
    """Events of one device, by their start.

    Attributes:
        sequence: the kernels of the main stream, the one with most of them.
        main: positions of these kernels among all of the events; shape (kernels,).
        events: positions of the events in the `Launches`; shape (events,).
        time_us, is_kernel, launch_rows: of the events; shape (events,).
        launch_ns: when each was launched; shape (events,), of no meaning without a launch.
        apart: which events are of other streams, with a launch that started none of the main stream's kernels;
            shape (events,).
        shared: whether any launch started several of them.
    """

    sequence: KernelSequence
    main: Int64s
    events: Int64s
    time_us: Floats
    is_kernel: Bools
    launch_rows: Int64s
    launch_ns: Int64s
    apart: Bools
    shared: bool

    @classmethod
    def of(
        cls, trace: Trace, launches: Launches, category: NDArray[np.int8], table: tuple[str, ...]
    ) -> "KernelOrder | str":
        """The order of the one device that a trace has at work; a sentence where there is none or are several.

        `category` is of each device event, a code of `table`.
        """
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
        names, first, tokens = np.unique(events.name[rows[main]], return_index=True, return_inverse=True)
        kinds = [
            (trace.names[name][:_LONGEST_NAME], table[code])
            for name, code in zip(names.tolist(), category[chosen[main]][first].tolist(), strict=True)
        ]
        time_us = events.dur_ns[rows] / 1000.0
        launch_rows = launches.launch_rows[chosen]
        is_linked = launch_rows >= 0
        linked = launch_rows[is_linked]
        own_stream = stream == stream[main][0]
        return cls(
            sequence=KernelSequence(
                tokens=tokens.astype(np.int64),
                time_us=time_us[main],
                attends=_flags(
                    kind in _ATTENDS or (kind == _FUSED and bool(_FUSED_ATTENDS.search(text)))
                    for text, kind in kinds
                ),
                edge=_flags(bool(_EDGE.search(text)) and not _NO_EDGE.search(text) for text, _ in kinds),
                leads=_flags(
                    kind in _LEADS or (kind == _FUSED and bool(_FUSED_LEADS.search(text)))
                    for text, kind in kinds
                ),
            ),
            main=np.flatnonzero(main),
            events=chosen,
            time_us=time_us,
            is_kernel=is_kernel,
            launch_rows=launch_rows,
            launch_ns=events.ts_ns[launch_rows].astype(np.int64),
            apart=~own_stream & is_linked & ~np.isin(launch_rows, launch_rows[main & is_linked]),
            shared=len(np.unique(linked)) < len(linked),
        )

    def placed(self, ends: Int64s) -> Int64s:
        """For ends of stretches of the sequence, where they end among all events: before the next kernel."""
        return np.append(self.main, len(self.events))[ends]

    def stretches(self, begins: Int64s, ends: Int64s) -> Int64s:
        """The stretch of the sequence that each event belongs to, or -1; shape (events,).

        Stretches are disjoint and ascending. Events of the main stream belong to one by their place, those of
        others by their start, unless they were launched by themselves: then they must have been launched while
        the stretch was. What prepares the next step meanwhile is no part of it.
        """
        begin, end = self.main[begins], self.placed(ends)
        here = np.arange(len(self.events))
        found = np.searchsorted(begin, here, side="right") - 1
        found[(found >= 0) & (here >= end[found])] = -1
        apart = np.flatnonzero(self.apart)
        if not len(apart):
            return found
        known = self.main[(found[self.main] >= 0) & (self.launch_rows[self.main] >= 0)]
        first = np.full(len(begins), np.iinfo(np.int64).max)
        last = np.full(len(begins), np.iinfo(np.int64).min)
        np.minimum.at(first, found[known], self.launch_ns[known])
        np.maximum.at(last, found[known], self.launch_ns[known])
        # Stretches are launched in their order; those without launches have nothing launched beside them.
        first = np.minimum.accumulate(first[::-1])[::-1]
        at = np.searchsorted(first, self.launch_ns[apart], side="right") - 1
        found[apart] = np.where((at >= 0) & (self.launch_ns[apart] <= last[at]), at, -1)
        return found


def _flags(flags: Iterable[bool]) -> Bools:
    return np.fromiter(flags, dtype=np.bool_)
