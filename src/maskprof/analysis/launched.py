"""A trace with what its device did: events by start, the calls that launched them, and what its kernels are."""

from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_work import Calls, DeviceWork, device_work
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.host_ranges import HostRanges
from maskprof.analysis.kernel_categories import judge_kernels
from maskprof.analysis.operators import Operators, operator_rows, sum_operators
from maskprof.analysis.work_labels import WorkLabels, label_device_work
from maskprof.traces.columns import Trace
from maskprof.traces.links import Launches, link_launches
from maskprof.traces.pieces import Ints, positions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Launched:
    """What the device did, and who launched it. The calls' axis knows the operators' threads too.

    Attributes:
        label: of each device event, a position in `labels`; shape (device events,).
    """

    trace: Trace
    work: DeviceWork
    calls: Calls
    label: Ints
    labels: WorkLabels


def find_launched(trace: Trace) -> Launched:
    """Sort a trace's device events and calls, and judge its kernels."""
    launches, rows = link_launches(trace), operator_rows(trace)
    axis = HostAxis.of(trace, (rows, linked_calls(launches)))
    work, calls = device_work(trace, launches, axis)
    operators = sum_operators(trace, axis, rows, HostRanges.nothing(), calls)
    return launched_by(trace, work, calls, operators)


def launched_by(trace: Trace, work: DeviceWork, calls: Calls, operators: Operators) -> Launched:
    """The same where operators were summed already."""

    def names_of(item: Ints) -> Ints:
        operator = operator_around(operators, work, item)
        return np.where(operator >= 0, _at(operators.name_codes, operator), -1)

    by_name = judge_kernels(trace, work.rows, work.kind, names_of)
    label, labels = label_device_work(trace, work, by_name)
    return Launched(trace=trace, work=work, calls=calls, label=label, labels=labels)


def linked_calls(launches: Launches) -> Ints:
    """Rows of the calls that launched something, once for each event that they launched."""
    launch_rows = launches.launch_rows
    at = positions(len(launch_rows), lambda piece: launch_rows[piece] >= 0)
    return launch_rows[at]


def operator_around(operators: Operators, work: DeviceWork, item: Ints) -> Ints:
    """The operator that launched each of some device events, a code of `operators.names`, or -1."""
    call = work.call[item]
    return np.where(call >= 0, _at(operators.of_call, call), -1)


def _at(table: Ints, at: Ints) -> Ints:
    """`table[at]` where positions of -1 give anything."""
    return table[at] if len(table) else np.full(len(at), -1, dtype=np.int32)
