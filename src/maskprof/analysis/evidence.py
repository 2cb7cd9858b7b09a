"""Everything that a trace's breakdowns are summed from, found once and shared by all of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskprof.analysis.breakdowns import Labels
from maskprof.analysis.device_kinds import Kind
from maskprof.analysis.device_work import Calls, DeviceWork, device_work
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.host_ranges import HostRanges, find_host_ranges, joined, range_rows
from maskprof.analysis.kernel_categories import CATEGORY_TABLE, categorise
from maskprof.analysis.launches import queue_depths
from maskprof.analysis.narrow import Ints, narrowed, slices
from maskprof.analysis.operators import Operators, operator_rows, sum_operators
from maskprof.analysis.scope import in_scope, named_scope
from maskprof.traces.columns import Bools, Int32s, Int64s, Trace
from maskprof.traces.links import Launches

_COMMUNICATION = CATEGORY_TABLE.index("communication")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What the device did, who launched it, inside which ranges and operators.

    Attributes:
        work, calls: the device's events and the calls that launched them.
        depths: how many events are queued when each call begins; shape (calls,).
        ranges: the named ranges of the host.
        operators: their sums, and the innermost one around each call.
        category: of each device event of `work`, a code of `CATEGORY_TABLE`.
        label: of each device event, a code of `labels`.
    """

    trace: Trace
    axis: HostAxis
    work: DeviceWork
    calls: Calls
    depths: Int32s
    ranges: HostRanges
    operators: Operators
    category: NDArray[np.int8]
    label: Ints
    labels: Labels

    @property
    def is_communication(self) -> Bools:
        """Which device events are collectives or transfers between devices."""
        return np.equal(self.category, _COMMUNICATION)

    def operator_of(self, item: Int64s) -> Int32s:
        """The operator that launched each of some device events, a code of `operators.names`, or -1."""
        call = self.work.call[item]
        return np.where(call >= 0, _at(self.operators.of_call, call), -1)


def gather(trace: Trace, launches: Launches, within: str | None = None) -> Evidence:
    """Find all evidence in a trace.

    With `within`, only ranges that begin inside ranges of that name are kept, and behind them stand those
    together, as one range more.

    Raises:
        TraceError: if no range has that name.
    """
    ranges_at, operators_at = range_rows(trace), operator_rows(trace)
    calls_at = launches.launch_rows[launches.linked].astype(np.int32)
    axis = HostAxis.of(trace, (ranges_at, operators_at, calls_at))
    work, calls = device_work(trace, launches, axis)
    ranges = find_host_ranges(trace, axis, ranges_at)
    if within is not None:
        scope = named_scope(trace, ranges, within)
        inside = in_scope(scope, axis.group_of(ranges_at), axis.keys(ranges_at))
        ranges = joined(find_host_ranges(trace, axis, ranges_at[inside]), scope)
    operators = sum_operators(trace, axis, operators_at, ranges, calls)
    del operators_at, calls_at
    category = _categories(trace, work, operators)
    label, labels = _labels(trace, work, category)
    return Evidence(
        trace=trace,
        axis=axis,
        work=work,
        calls=calls,
        depths=queue_depths(work, calls),
        ranges=ranges,
        operators=operators,
        category=category,
        label=label,
        labels=labels,
    )


def _categories(trace: Trace, work: DeviceWork, operators: Operators) -> NDArray[np.int8]:
    def launched_by(positions: Int64s) -> Int32s:
        call = work.call[positions]
        operator = np.where(call >= 0, _at(operators.of_call, call), -1)
        return np.where(operator >= 0, _at(operators.name_codes, operator), -1)

    return categorise(trace, work.rows, launched_by)


def _labels(trace: Trace, work: DeviceWork, category: NDArray[np.int8]) -> tuple[Ints, Labels]:
    """A label for each pair of name and kind."""
    occurs = np.full((len(Kind), len(trace.names)), -1, dtype=np.int8)
    for piece in slices(len(work)):
        occurs[work.kind[piece], trace.events.name[work.rows[piece]]] = category[piece]
    kinds, names = np.nonzero(occurs >= 0)
    table = np.zeros(occurs.shape, dtype=narrowed(np.array([len(kinds)])).dtype)
    table[kinds, names] = np.arange(len(kinds))
    label = np.zeros(len(work), dtype=table.dtype)
    for piece in slices(len(work)):
        label[piece] = table[work.kind[piece], trace.events.name[work.rows[piece]]]
    return label, Labels(
        names=tuple(trace.names[name] for name in names.tolist()),
        kinds=tuple(kinds.tolist()),
        categories=tuple(CATEGORY_TABLE[code] for code in occurs[kinds, names].tolist()),
    )


def _at(table: Int32s, positions: Int32s) -> Int32s:
    """`table[positions]` where positions of -1 give anything."""
    return table[positions] if len(table) else np.full(len(positions), -1, dtype=np.int32)
