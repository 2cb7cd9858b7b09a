"""One device's events in the order in which they ran, and which of them belong to a stretch of its kernels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.device_work import Positions
from maskprof.analysis.launched import Launched
from maskprof.analysis.period_rules import KernelSequence
from maskprof.traces.columns import Bools, Int64s
from maskprof.traces.pieces import Ints, column, positions, slices

# With fewer of the kernels on one device, the trace is of several devices at work together.
_ONE_DEVICE = 0.9
_LONGEST_NAME = 400

_ATTENDS = frozenset({"attention", "softmax", "recurrent"})
_LEADS = frozenset({"norm"})
# Of what a compiler fused, the name tells what is in it.
_FUSED = "fused"
_FUSED_ATTENDS = ("softmax", "attention")
_FUSED_LEADS = ("norm",)
_EDGE = ("indexselect", "vectorized_gather", "embedding", "arange", "argmax", "multinomial", "sampl")
_NO_EDGE = ("rotary", "rope")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KernelOrder:
    """The kernels of one device's main stream, the one with most of them, among all events by start.

    Attributes:
        sequence: these kernels.
        main: their positions in the work; shape (kernels,).
        launched: the work.
        device: code of the device's process id.
        stream: of the main stream, as in the work.
        leads_main: which calls launched any of these kernels; shape (calls,).
        shared: whether any call launched several events.
    """

    sequence: KernelSequence
    main: Ints
    launched: Launched
    device: int
    stream: int
    leads_main: Ints
    shared: bool

    @classmethod
    def of(cls, launched: Launched) -> "KernelOrder | str":
        """The order of the one device that a trace has at work; a sentence where there is none or are several."""
        work, events = launched.work, launched.trace.events
        counts = np.zeros((len(launched.trace.pids), work.streams), dtype=np.int64)
        for piece in slices(len(work)):
            is_kernel = work.kind[piece] == Kind.KERNEL
            np.add.at(counts, (events.pid[work.rows[piece][is_kernel]], work.stream[piece][is_kernel]), 1)
        of_device = counts.sum(axis=1)
        if not of_device.any():
            return "the trace has no kernels"
        if of_device.max() < _ONE_DEVICE * of_device.sum():
            devices = np.count_nonzero(of_device)
            return f"the trace has kernels of {devices} devices, whose orders cannot be told together"
        device = int(np.argmax(of_device))
        stream = int(np.argmax(counts[device]))

        def is_main(at: Positions) -> Bools:
            return np.equal(work.kind[at], Kind.KERNEL) & np.equal(work.stream[at], stream)

        main = positions(len(work), is_main)
        return cls(
            sequence=_sequence(launched, main),
            main=main,
            launched=launched,
            device=device,
            stream=stream,
            leads_main=launched.calls.sums(is_main),
            shared=bool(np.any(np.diff(launched.calls.bounds) > 1)),
        )

    def placed(self, ends: Int64s) -> Int64s:
        """For ends of stretches of the sequence, where they end among all events: before the next kernel."""
        size = len(self.main)
        at = np.minimum(ends, size - 1)
        return np.where(ends < size, self.main[at], len(self.launched.work)).astype(np.int64)

    def stretches(self, begins: Int64s, ends: Int64s) -> Ints:
        """The stretch of the sequence that each event of the work belongs to, or -1; shape (events,).

        Stretches are disjoint and ascending. Events of the main stream belong to one by their place, those of
        others by their start, unless they were launched by themselves: then they must have been launched while
        the stretch was. What prepares the next step meanwhile is no part of it.
        """
        work, calls = self.launched.work, self.launched.calls
        begin, end = self.main[begins].astype(np.int64), self.placed(ends)

        def by_place(piece: slice) -> Ints:
            here = np.arange(piece.start, piece.stop)
            found = np.searchsorted(begin, here, side="right") - 1
            found[(found >= 0) & (here >= end[found])] = -1
            found[self.launched.trace.events.pid[work.rows[piece]] != self.device] = -1
            return found

        found = column(len(work), by_place)
        first = np.full(len(begins), np.iinfo(np.int64).max)
        last = np.full(len(begins), np.iinfo(np.int64).min)
        any_apart = False
        for piece in slices(len(work)):
            any_apart = any_apart or bool(self._apart(piece).any())
            main = (work.kind[piece] == Kind.KERNEL) & (work.stream[piece] == self.stream)
            known = main & (found[piece] >= 0) & (work.call[piece] >= 0)
            starts = calls.starts(work.call[piece][known])
            np.minimum.at(first, found[piece][known], starts)
            np.maximum.at(last, found[piece][known], starts)
        if not any_apart:
            return found
        # Stretches are launched in their order; those without launches have nothing launched beside them.
        first = np.minimum.accumulate(first[::-1])[::-1]

        def by_launch(piece: slice) -> Ints:
            at = found[piece].copy()
            apart = np.flatnonzero(self._apart(piece))
            launch = calls.starts(work.call[piece][apart])
            stretch = np.searchsorted(first, launch, side="right") - 1
            at[apart] = np.where((stretch >= 0) & (launch <= last[stretch]), stretch, -1)
            return at

        return column(len(work), by_launch)

    def _apart(self, piece: slice) -> Bools:
        """Which events are of the device's other streams, with a launch that started none of the main stream's."""
        work = self.launched.work
        here = self.launched.trace.events.pid[work.rows[piece]] == self.device
        apart: Bools = here & (work.stream[piece] != self.stream) & (work.call[piece] >= 0)
        apart[apart] = self.leads_main[work.call[piece][apart]] == 0
        return apart


def _sequence(launched: Launched, main: Ints) -> KernelSequence:
    label, labels, work = launched.label, launched.labels, launched.work
    kinds = [
        (name[:_LONGEST_NAME].lower(), category)
        for name, category in zip(labels.names, labels.categories, strict=True)
    ]
    return KernelSequence(
        tokens=column(len(main), lambda piece: label[main[piece]]),
        time_ns=column(len(main), lambda piece: work.dur_ns[main[piece]]),
        attends=_flags(
            kind in _ATTENDS or (kind == _FUSED and _says(text, _FUSED_ATTENDS)) for text, kind in kinds
        ),
        edge=_flags(_says(text, _EDGE) and not _says(text, _NO_EDGE) for text, _ in kinds),
        leads=_flags(
            kind in _LEADS or (kind == _FUSED and _says(text, _FUSED_LEADS)) for text, kind in kinds
        ),
    )


def _says(text: str, tokens: tuple[str, ...]) -> bool:
    return any(token in text for token in tokens)


def _flags(flags: Iterable[bool]) -> Bools:
    return np.fromiter(flags, dtype=np.bool_)
