"""Tables of sums to breakdowns: the same values for the whole trace and for every range."""

from dataclasses import dataclass

from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.device_time import DeviceSums
from maskprof.analysis.kernel_categories import operator_category
from maskprof.analysis.pair_sums import PairTable
from maskprof.analysis.work_labels import WorkLabels
from maskprof.results.trace_summary import (
    Breakdown,
    CategoryTime,
    DeviceTime,
    KernelTime,
    LaunchFacts,
    OperatorTime,
)
from maskprof.traces.columns import Int64s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """All sums by row: one row for the whole trace, or one for each range.

    Attributes:
        device: sums of device time, one for each row; None without device events.
        streams: how many streams had work, for each row.
        events: (row, label) -> (count, ns).
        operators: (row, operator) -> (count, total ns, self ns).
        launched: (row, operator) -> (kernels, ns) of the kernels whose innermost operator it is.
    """

    labels: WorkLabels
    operator_names: tuple[str, ...]
    device: DeviceSums | None
    streams: Int64s
    events: PairTable
    operators: PairTable
    launched: PairTable


def breakdowns(tables: Tables, launches: list[LaunchFacts | None]) -> list[Breakdown]:
    """One for each row; `launches` has as many."""
    operators = _operators(tables, len(launches))
    found = []
    for row, events in enumerate(tables.events.by_row(len(launches))):
        kernels, categories = _kernels(tables.labels, events)
        found.append(
            Breakdown(
                device=_device_time(tables.device, tables.streams, row) if events else None,
                kernels=kernels,
                categories=categories,
                launches=launches[row],
                operators=operators[row],
            )
        )
    return found


def _kernels(
    labels: WorkLabels, events: list[tuple[int, ...]]
) -> tuple[tuple[KernelTime, ...], tuple[CategoryTime, ...]]:
    """`events` are (label, count, ns) by falling time."""
    kernel_ns = sum(ns for label, _, ns in events if labels.kinds[label] == "kernel")
    all_ns = sum(ns for _, _, ns in events)
    by_category: dict[str, tuple[int, int]] = {}
    for label, count, ns in events:
        counted, spent = by_category.get(labels.categories[label], (0, 0))
        by_category[labels.categories[label]] = counted + count, spent + ns
    kernels = tuple(
        KernelTime(
            name=labels.names[label],
            category=labels.categories[label],
            count=count,
            total_us=ns / 1000,
            share=_share(ns, kernel_ns),
        )
        for label, count, ns in events
        if labels.kinds[label] == "kernel"
    )
    categories = tuple(
        CategoryTime(category=category, count=count, total_us=ns / 1000, share=_share(ns, all_ns))
        for category, (count, ns) in sorted(by_category.items(), key=lambda item: -item[1][1])
    )
    return kernels, categories


def _operators(tables: Tables, rows: int) -> list[tuple[OperatorTime, ...]]:
    names = tables.operator_names
    categories = [operator_category(name) for name in names]
    launched = {
        (row, code): (kernels, ns)
        for row, code, kernels, ns in zip(
            tables.launched.row.tolist(),
            tables.launched.code.tolist(),
            *(column.tolist() for column in tables.launched.sums),
            strict=True,
        )
    }
    found = []
    for row, operators in enumerate(tables.operators.by_row(rows)):
        found.append(
            tuple(
                OperatorTime(
                    name=names[code],
                    category=categories[code],
                    count=count,
                    total_us=total / 1000,
                    self_us=alone / 1000,
                    device_us=(work := launched.get((row, code), (0, 0)))[1] / 1000,
                    kernel_count=work[0],
                )
                for code, count, total, alone in operators
            )
        )
    return found


def _device_time(sums: DeviceSums | None, streams: Int64s, row: int) -> DeviceTime | None:
    if sums is None:
        return None
    span, launch, gap, other, elsewhere = (
        int(column[row])
        for column in (sums.span_ns, sums.launch_ns, sums.gap_ns, sums.other_ns, sums.elsewhere_ns)
    )
    count, time_ns = sums.count[row].tolist(), sums.time_ns[row].tolist()
    return DeviceTime(
        kernel_count=count[Kind.KERNEL],
        kernel_time_us=time_ns[Kind.KERNEL] / 1000,
        busy_us=(span - launch - gap - other - elsewhere) / 1000,
        span_us=span / 1000,
        idle_launch_us=launch / 1000,
        idle_gap_us=gap / 1000,
        idle_other_us=other / 1000,
        elsewhere_us=elsewhere / 1000,
        memcpy_count=count[Kind.COPY],
        memcpy_us=time_ns[Kind.COPY] / 1000,
        memset_count=count[Kind.MEMSET],
        memset_us=time_ns[Kind.MEMSET] / 1000,
        communication_us=int(sums.communication_ns[row]) / 1000,
        exposed_communication_us=int(sums.exposed_ns[row]) / 1000,
        streams=int(streams[row]),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
