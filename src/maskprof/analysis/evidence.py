"""Everything that a trace's breakdowns are summed from, found once and shared by all of them."""

from dataclasses import dataclass

import numpy as np

from maskprof.analysis.device_work import Calls, DeviceWork, device_work
from maskprof.analysis.host_axis import HostAxis
from maskprof.analysis.host_ranges import HostRanges, find_host_ranges, joined, range_rows
from maskprof.analysis.launched import Launched, launched_by, linked_calls, operator_around
from maskprof.analysis.launches import queue_depths
from maskprof.analysis.operators import Operators, operator_rows, sum_operators
from maskprof.analysis.scope import in_scope, named_scope
from maskprof.traces.columns import Bools, Trace
from maskprof.traces.links import Launches
from maskprof.traces.pieces import Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What the device did, who launched it, inside which ranges and operators.

    Attributes:
        launched: the device's events and the calls that launched them.
        depths: how many events are queued when each call begins; shape (calls,).
        ranges: the named ranges of the host.
        operators: their sums, and the innermost one around each call.
    """

    launched: Launched
    depths: Ints
    ranges: HostRanges
    operators: Operators

    @property
    def trace(self) -> Trace:
        """What all of it is of."""
        return self.launched.trace

    @property
    def work(self) -> DeviceWork:
        """The device's events."""
        return self.launched.work

    @property
    def calls(self) -> Calls:
        """The calls that launched them."""
        return self.launched.calls

    @property
    def is_communication(self) -> Bools:
        """Which device events are collectives or transfers between devices."""
        communicates = [category == "communication" for category in self.launched.labels.categories]
        return np.array(communicates, dtype=np.bool_)[self.launched.label]

    def operator_of(self, item: Ints) -> Ints:
        """The operator that launched each of some device events, a code of `operators.names`, or -1."""
        return operator_around(self.operators, self.work, item)


def gather(trace: Trace, launches: Launches, within: str | None = None) -> Evidence:
    """Find all evidence in a trace.

    With `within`, only ranges that begin inside ranges of that name are kept, and behind them stand those
    together, as one range more.

    Raises:
        TraceError: if no range has that name.
    """
    ranges_at, operators_at = range_rows(trace), operator_rows(trace)
    axis = HostAxis.of(trace, (ranges_at, operators_at, linked_calls(launches)))
    work, calls = device_work(trace, launches, axis)
    ranges = find_host_ranges(trace, axis, ranges_at)
    if within is not None:
        scope = named_scope(trace, ranges, within)
        inside = in_scope(scope, axis.group_of(ranges_at), axis.keys(ranges_at))
        ranges = joined(find_host_ranges(trace, axis, ranges_at[inside]), scope)
    operators = sum_operators(trace, axis, operators_at, ranges, calls)
    launched = launched_by(trace, work, calls, operators)
    return Evidence(
        launched=launched,
        depths=queue_depths(work, calls),
        ranges=ranges,
        operators=operators,
    )
