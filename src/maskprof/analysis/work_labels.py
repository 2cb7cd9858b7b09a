"""A number for each name of what was done, by which everything is added up: kernels, copies, memsets; operators."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.device_kinds import KINDS, Kind
from maskprof.analysis.device_work import DeviceWork
from maskprof.analysis.kernel_categories import CATEGORY_TABLE, device_categories, operator_category
from maskprof.results.trace_summary import WorkKind
from maskprof.traces.columns import Trace
from maskprof.traces.pieces import Ints, column, slices

_KINDS: dict[int, WorkKind] = {Kind.KERNEL: "kernel", Kind.COPY: "copy", Kind.MEMSET: "memset"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkLabels:
    """What work is called; a label is a position in these lists.

    Attributes:
        names, kinds, categories: of each label. A name may have several, each of another kind.
    """

    names: tuple[str, ...]
    kinds: tuple[WorkKind, ...]
    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def label_device_work(trace: Trace, work: DeviceWork, by_name: NDArray[np.int8]) -> tuple[Ints, WorkLabels]:
    """The label of each device event, of shape (device events,), and what the labels stand for.

    `by_name` is what `judge_kernels` gives.
    """
    name = trace.events.name
    occurs = np.zeros((KINDS, len(trace.names)), dtype=np.bool_)
    for piece in slices(len(work)):
        occurs[work.kind[piece], name[work.rows[piece]]] = True
    kinds, names = np.nonzero(occurs)
    table = np.full(occurs.shape, -1, dtype=np.int32)
    table[kinds, names] = np.arange(len(kinds))
    label = column(len(work), lambda piece: table[work.kind[piece], name[work.rows[piece]]], at_least=np.int8)
    return label, WorkLabels(
        names=tuple(trace.names[code] for code in names.tolist()),
        kinds=tuple(_KINDS[kind] for kind in kinds.tolist()),
        categories=tuple(CATEGORY_TABLE[code] for code in device_categories(kinds, by_name[names]).tolist()),
    )


def label_operators(trace: Trace, rows: Ints) -> tuple[Ints, WorkLabels]:
    """By name code, the label of operators of this name, or -1, of shape (names,); and what the labels stand for."""
    codes = np.flatnonzero(trace.names_of(rows))
    table = np.full(len(trace.names), -1, dtype=np.int32)
    table[codes] = np.arange(len(codes))
    names = tuple(trace.names[code] for code in codes.tolist())
    kind: WorkKind = "operator"
    return table, WorkLabels(
        names=names,
        kinds=(kind,) * len(names),
        categories=tuple(operator_category(name) for name in names),
    )
