"""What was done inside each block, by name: kernels, copies and memsets; in a trace without a device, operators."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.kernel_categories import CATEGORY_TABLE, operator_category
from maskprof.analysis.launched import Launched
from maskprof.analysis.operators import weights_of, windows
from maskprof.analysis.pair_sums import PairSums
from maskprof.results.trace_summary import BlockWork, CategoryTime, WorkKind
from maskprof.traces.categories import OPERATOR
from maskprof.traces.columns import Bools, Trace
from maskprof.traces.links import Nesting, innermost
from maskprof.traces.pieces import Ints, positions, slices

_COPIES = ("copy", "memset")
_KINDS: dict[int, WorkKind] = {Kind.KERNEL: "kernel", Kind.COPY: "copy", Kind.MEMSET: "memset"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkLabels:
    """A code for each name of work that occurs: shape (labels,) where not said otherwise.

    Attributes:
        table: kind and name code of an event -> its label; shape (kinds, names).
        names, kinds, categories: of each label.
    """

    table: Ints
    names: tuple[str, ...]
    kinds: tuple[WorkKind, ...]
    categories: tuple[str, ...]

    @classmethod
    def of_device(cls, launched: Launched) -> "WorkLabels":
        """Labels of the device's events."""
        trace, work = launched.trace, launched.work
        occurs = np.full((len(Kind), len(trace.names)), -1, dtype=np.int8)
        for piece in slices(len(work)):
            rows = work.rows[piece]
            occurs[work.kind[piece], trace.events.name[rows]] = launched.categories.of(rows)
        return cls._of(
            trace,
            occurs >= 0,
            kinds=_KINDS,
            categories=lambda kind, name: CATEGORY_TABLE[occurs[kind, name]],
        )

    @classmethod
    def of_operators(cls, trace: Trace, rows: Ints) -> "WorkLabels":
        """Labels of operators; the table has one kind."""
        return cls._of(
            trace,
            trace.names_of(rows)[np.newaxis],
            kinds={0: "operator"},
            categories=lambda _, name: operator_category(trace.names[name]),
        )

    @classmethod
    def _of(
        cls,
        trace: Trace,
        occurs: Bools,
        *,
        kinds: dict[int, WorkKind],
        categories: Callable[[int, int], str],
    ) -> "WorkLabels":
        kind_codes, name_codes = (codes.tolist() for codes in np.nonzero(occurs))
        table = np.full(occurs.shape, -1, dtype=np.int32)
        table[kind_codes, name_codes] = np.arange(len(name_codes))
        return cls(
            table=table,
            names=tuple(trace.names[name] for name in name_codes),
            kinds=tuple(kinds[kind] for kind in kind_codes),
            categories=tuple(
                categories(kind, name) for kind, name in zip(kind_codes, name_codes, strict=True)
            ),
        )

    def of_work(self, launched: Launched, item: Ints | slice) -> Ints:
        """The labels of some of the device's events."""
        work = launched.work
        return self.table[work.kind[item], launched.trace.events.name[work.rows[item]]]


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
        self._labels = labels
        self._sums = PairSums(rows=cells, codes=len(labels.names), weights=2)
        self._found: dict[int, list[tuple[int, int, int]]] | None = None

    def add(self, cell: Ints, label: Ints, count: Ints, dur_ns: Ints) -> None:
        """Add what is in a cell; -1 says that an event is in none. All arrays have one shape."""
        inside = cell >= 0
        if inside.any():
            self._sums.add(cell[inside], label[inside], count[inside], dur_ns[inside])

    def of(self, cell: int, steps: int) -> CellWork:
        """What is in one cell. Nothing may be added any more."""
        if self._found is None:
            self._found = self._by_cell()
        found = self._found.get(cell, [])
        names, kinds, categories = self._labels.names, self._labels.kinds, self._labels.categories
        kernels = [one for one in found if kinds[one[0]] == "kernel"]
        others = [one for one in found if kinds[one[0]] in _COPIES]
        work = [
            BlockWork(
                name=names[code],
                kind=kinds[code],
                category=categories[code],
                count=count / steps,
                total_us=total_ns / 1000.0 / steps,
            )
            for code, count, total_ns in found
        ]
        return CellWork(
            work=tuple(work),
            categories=_categories(self._labels, kernels, steps),
            kernel_us=sum(ns for _, _, ns in kernels) / 1000 / steps,
            kernel_count=sum(count for _, count, _ in kernels) / steps,
            copy_us=sum(ns for _, _, ns in others) / 1000 / steps,
            copy_count=sum(count for _, count, _ in others) / steps,
        )

    def _by_cell(self) -> dict[int, list[tuple[int, int, int]]]:
        table = self._sums.table()
        names = np.argsort(np.argsort(self._labels.names, kind="stable"), kind="stable")
        by_time = np.lexsort((names[table.code], -table.sums[1], table.row))
        columns = (column[by_time].tolist() for column in (table.row, table.code, *table.sums))
        found: dict[int, list[tuple[int, int, int]]] = {}
        for row, code, count, total_ns in zip(*columns, strict=True):
            if count:
                found.setdefault(row, []).append((code, count, total_ns))
        return found


def _categories(
    labels: WorkLabels, kernels: list[tuple[int, int, int]], steps: int
) -> tuple[CategoryTime, ...]:
    """Of (label, count, ns), by falling time."""
    everything = sum(ns for _, _, ns in kernels)
    sums: dict[str, tuple[int, int]] = {}
    for code, count, ns in kernels:
        counted, spent = sums.get(labels.categories[code], (0, 0))
        sums[labels.categories[code]] = counted + count, spent + ns
    return tuple(
        CategoryTime(
            category=category,
            count=count / steps,
            total_us=ns / 1000 / steps,
            share=ns / everything if everything else 0.0,
        )
        for category, (count, ns) in sorted(sums.items(), key=lambda one: (-one[1][1], one[0]))
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
    labels = WorkLabels.of_operators(trace, rows)
    sums = BlockWorkSums(cells, labels)
    for window in windows(trace, HostAxis.of(trace, (rows,)), rows):
        count, _, self_ns = weights_of(window)
        inside = innermost(trace.events, nesting, window.rows)
        cell = np.where(inside >= 0, cell_of_range[inside], -1) if len(cell_of_range) else inside
        sums.add(cell, labels.table[0, trace.events.name[window.rows]], count, self_ns)
    return sums
