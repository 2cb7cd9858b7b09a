"""What was done inside each block, by name: kernels, copies and memsets; in a trace without a device, operators."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.operators import weights_of, windows
from maskprof.analysis.pair_sums import PairSums, PairTable
from maskprof.analysis.work_labels import WorkLabels, label_operators
from maskprof.results.trace_summary import BlockWork, CategoryTime
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Trace
from maskprof.traces.links import Nesting, innermost
from maskprof.traces.pieces import Ints, positions

_COPIES = ("copy", "memset")
# (code, count, ns), by falling time.
_Sums: TypeAlias = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellWork:
    """What was done in one cell, as means per step.

    Attributes:
        work: by falling time.
        kernel_us, kernel_count: of its kernels; `categories` are theirs, by falling time.
        copy_us, copy_count: of its copies and memsets.
    """

    work: tuple[BlockWork, ...]
    categories: tuple[CategoryTime, ...]
    kernel_us: float
    kernel_count: float
    copy_us: float
    copy_count: float


class BlockWorkSums:
    """Number and time of each name's events per cell: a block in one of the phases."""

    def __init__(self, cells: int, labels: WorkLabels) -> None:
        self._cells = cells
        self._labels = labels
        self._sums = PairSums(rows=cells, codes=len(labels), weights=2)

    def add(self, cell: Ints, label: Ints, count: Ints, dur_ns: Ints) -> None:
        """Add what is in a cell; -1 says that an event is in none. All arrays have one shape."""
        inside = cell >= 0
        if inside.any():
            self._sums.add(cell[inside], label[inside], count[inside], dur_ns[inside])

    def per_step(self, steps: Ints) -> list[CellWork]:
        """What is in each cell, as means over the `steps` of its phase; shape (cells,)."""
        labels, table = self._labels, self._sums.table()
        alphabetical = sorted(range(len(labels)), key=labels.names.__getitem__)
        by_name = table.by_row(self._cells, np.argsort(alphabetical))
        categories = sorted(set(labels.categories))
        by_category = self._by_category(table, categories).by_row(self._cells)
        return [
            self._cell(work, kernels, categories, of_cell)
            for work, kernels, of_cell in zip(by_name, by_category, steps.tolist(), strict=True)
        ]

    def _by_category(self, table: PairTable, categories: list[str]) -> PairTable:
        """Number and time of the kernels of each category per cell, of the sums by name."""
        labels = self._labels
        is_kernel = np.array([kind == "kernel" for kind in labels.kinds], dtype=np.bool_)[table.code]
        category = np.array([categories.index(one) for one in labels.categories], dtype=np.int64)[table.code]
        sums = PairSums(rows=self._cells, codes=len(categories), weights=2)
        sums.add(table.row[is_kernel], category[is_kernel], *(total[is_kernel] for total in table.sums))
        return sums.table()

    def _cell(self, work: _Sums, kernels: _Sums, categories: list[str], steps: int) -> CellWork:
        """Of the (label, count, ns) of all that is in a cell, and the (category, count, ns) of its kernels."""
        labels = self._labels
        kernel_ns = sum(ns for _, _, ns in kernels)
        copies = [(count, ns) for label, count, ns in work if labels.kinds[label] in _COPIES]
        return CellWork(
            work=tuple(
                BlockWork(
                    labels.names[label],
                    labels.kinds[label],
                    labels.categories[label],
                    count / steps,
                    ns / 1000 / steps,
                )
                for label, count, ns in work
            ),
            categories=tuple(
                CategoryTime(
                    category=categories[code],
                    count=count / steps,
                    total_us=ns / 1000 / steps,
                    share=ns / kernel_ns if kernel_ns else 0.0,
                )
                for code, count, ns in kernels
            ),
            kernel_us=kernel_ns / 1000 / steps,
            kernel_count=sum(count for _, count, _ in kernels) / steps,
            copy_us=sum(ns for _, ns in copies) / 1000 / steps,
            copy_count=sum(count for count, _ in copies) / steps,
        )


def sum_operators_in_blocks(
    trace: Trace, nesting: Nesting, cell_of_range: Ints, cells: int, ours: Bools
) -> BlockWorkSums:
    """Operators by the range within which they start, each with its self time.

    Args:
        trace: the trace.
        nesting: ranges, among them the blocks' turns.
        cell_of_range: of each range the cell that its inside belongs to, or -1; shape (ranges,).
        cells: how many there are.
        ours: by name code, which operators are ranges of ours, and no work; shape (names,).
    """
    name, category, operator = trace.events.name, trace.events.category, trace.categories_are((OPERATOR,))
    rows = positions(len(name), lambda piece: operator[category[piece]] & ~ours[name[piece]])
    label, labels = label_operators(trace, rows)
    sums = BlockWorkSums(cells, labels)
    for window in windows(trace, HostAxis.of(trace, (rows,)), rows):
        count, _, self_ns = weights_of(window)
        inside = innermost(trace.events, nesting, window.rows)
        cell = np.where(inside >= 0, cell_of_range[inside], -1) if len(cell_of_range) else inside
        sums.add(cell, label[trace.events.name[window.rows]], count, self_ns)
    return sums
