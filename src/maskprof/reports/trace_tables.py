"""What was found in a trace, as tables of text: the device's time, kernels, operators, ranges, launches."""

from collections.abc import Sequence
from heapq import nlargest

from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_account import account_table
from maskprof.reports.trace_blocks import blocks_table, skipped_table
from maskprof.reports.trace_columns import (
    BEFORE_NAMES,
    bar_columns,
    count_column,
    kernel_columns,
    name_columns,
    plain_names,
    share_column,
    time_column,
)
from maskprof.reports.trace_roofline import roofline_table
from maskprof.results.trace_summary import Breakdown, DeviceTime, LaunchFacts, RangeTime, TraceSummary

DEFAULT_TOP = 10
_CATEGORY_WIDTH = 20
_SEVERAL = 2


def time_tables(summary: TraceSummary, *, top: int = DEFAULT_TOP) -> tuple[Table, ...]:
    """Where the time went, by cause, category, kernel, operator and range; long tables with their `top` rows."""
    whole = summary.whole
    tables = (
        device_table(whole, devices=len(summary.devices)),
        devices_table(summary),
        category_table(whole),
        kernel_table(whole, top=top),
        operator_table(whole, top=top),
        range_table(summary.ranges, top=top),
    )
    return tuple(table for table in tables if table is not None)


def block_tables(summary: TraceSummary) -> tuple[Table, ...]:
    """The blocks, and what remains of skipped ones; a flame belongs before them."""
    tables = (blocks_table(summary.blocks), skipped_table(summary.blocks))
    return tuple(table for table in tables if table is not None)


def other_tables(summary: TraceSummary, *, top: int = DEFAULT_TOP) -> tuple[Table, ...]:
    """Roofline, launches, and the account of the file."""
    tables = (
        roofline_table(summary.roofline, top=top),
        launch_table(summary.whole.launches),
        account_table(summary),
    )
    return tuple(table for table in tables if table is not None)


def subject(summary: TraceSummary) -> str:
    """`trace.json.gz · NVIDIA H100 · 12080 events · 48.2 ms`."""
    return f"{visible(summary.facts.path)} · {recorded(summary)}"


def recorded(summary: TraceSummary) -> str:
    """`NVIDIA H100 · 12080 events · 48.2 ms`."""
    facts = summary.facts
    parts = []
    devices = list(dict.fromkeys(facts.devices))
    parts += [
        name if facts.devices.count(name) == 1 else f"{facts.devices.count(name)} x {name}"
        for name in devices
    ]
    if not devices and summary.whole.device is None:
        parts.append("no device")
    if facts.ranks and facts.world_size != 1:
        ranks = f"{'rank' if len(facts.ranks) == 1 else 'ranks'} {', '.join(map(str, facts.ranks))}"
        parts.append(ranks if facts.world_size is None else f"{ranks} of {facts.world_size}")
    parts += [count(facts.events, "event"), units.duration_us(facts.span_us)]
    return " · ".join(visible(part) for part in parts if part)


def device_table(whole: Breakdown, *, devices: int = 1) -> Table | None:
    """Where the time of the device, or of so many together, went: busy, and idle by its cause."""
    device = whole.device
    if device is None:
        return None
    rows: list[tuple[str, float, int | None]] = [
        ("busy" if devices < _SEVERAL else "busy: at least one", device.busy_us, None),
        ("idle: waiting for the host", device.idle_launch_us, None),
        ("idle: between launched kernels", device.idle_gap_us, None),
        ("idle: launch not in the trace", device.idle_other_us, None),
        ("busy with work from outside", device.elsewhere_us, None),
    ]
    rows = [row for row in rows if row[1] > 0 or row is rows[0]]
    shares = [_ratio(us, device.span_us) for _, us, _ in rows]
    what = "Device time" if devices < _SEVERAL else "Time of all devices together"
    return Table(
        title=f"{what}: {units.duration_us(device.span_us)} from the first event to the last",
        columns=(
            Column(key="part", title="\npart", cells=tuple(name for name, _, _ in rows), justify="left"),
            time_column("time", "time", [us for _, us, _ in rows]),
            share_column("share", "of\nspan", shares),
            *bar_columns("bar", "", shares, rank=9, last_rank=3),
        ),
        notes=_device_notes(device),
        strong_rows=frozenset({0}),
    )


def devices_table(summary: TraceSummary) -> Table | None:
    """Each of several devices by itself."""
    devices, whole = summary.devices, summary.whole.device
    if len(devices) < _SEVERAL or whole is None:
        return None
    shares = [_ratio(device.busy_us, whole.span_us) for device in devices]
    names = [device.name for device in devices]
    told = [device.name != f"device {device.device}" for device in devices]
    return Table(
        title="Each device by itself",
        columns=(
            Column(key="number", title="\ndevice", cells=tuple(visible(str(d.device)) for d in devices)),
            *(name_columns("name", "\nname", names) if any(told) else ()),
            count_column("kernels", "\nkernels", [device.kernel_count for device in devices], rank=2),
            time_column("busy", "busy", [device.busy_us for device in devices]),
            share_column("share", "of\nspan", shares),
            *bar_columns("bar", "", shares, rank=9, last_rank=3),
        ),
    )


def category_table(whole: Breakdown) -> Table | None:
    """Kernels, copies and memsets by what they are for."""
    if not whole.categories:
        return None
    shares = [category.share for category in whole.categories]
    return Table(
        title="Categories of device work",
        columns=(
            *name_columns("name", "\ncategory", [category.category for category in whole.categories]),
            count_column("count", "\ncount", [category.count for category in whole.categories], rank=2),
            time_column("total", "total", [category.total_us for category in whole.categories]),
            share_column("share", "\nshare", shares),
            *bar_columns("bar", "", shares, rank=9, last_rank=3),
        ),
    )


def kernel_table(whole: Breakdown, *, top: int) -> Table | None:
    """The kernels that took most time."""
    if not whole.kernels:
        return None
    shown = whole.kernels[:top]
    rest = whole.kernels[top:]
    notes = []
    if rest:
        share = units.percent(sum(kernel.share for kernel in rest))
        notes.append(f"{count(len(rest), 'other kernel')} with {share} of the kernel time.")
    return Table(
        title=_top_title("Kernels", len(shown), len(whole.kernels)),
        columns=(
            *kernel_columns([kernel.name for kernel in shown]),
            Column(
                key="category",
                title="\ncategory",
                cells=plain_names([visible(kernel.category) for kernel in shown], _CATEGORY_WIDTH),
                justify="left",
                rank=BEFORE_NAMES + 1,
                role="side",
            ),
            count_column("count", "\ncount", [kernel.count for kernel in shown], rank=2),
            time_column("total", "total", [kernel.total_us for kernel in shown]),
            time_column("mean", "mean", [kernel.mean_us for kernel in shown], rank=BEFORE_NAMES),
            share_column("share", "\nshare", [kernel.share for kernel in shown]),
        ),
        notes=tuple(notes),
    )


def operator_table(whole: Breakdown, *, top: int) -> Table | None:
    """The operators that took most time: on the host, by their own; with a device, by that of their kernels."""
    if not whole.operators:
        return None
    with_device = any(operator.device_us > 0 for operator in whole.operators)
    ordered = nlargest(
        top, whole.operators, key=lambda o: (o.device_us if with_device else 0.0, o.self_us, o.total_us)
    )
    self_us = sum(operator.self_us for operator in whole.operators)
    columns = [
        *name_columns("name", "\noperator", [operator.name for operator in ordered]),
        count_column("count", "\ncalls", [operator.count for operator in ordered], rank=2),
    ]
    if with_device:
        columns += [
            time_column("device", "device", [operator.device_us for operator in ordered]),
            count_column("kernels", "\nkernels", [operator.kernel_count for operator in ordered], rank=3),
        ]
    columns += [
        time_column("self", "self", [operator.self_us for operator in ordered], rank=1 if with_device else 0),
        time_column("total", "total", [operator.total_us for operator in ordered], rank=4),
        share_column(
            "share",
            "of all\nself",
            [_ratio(o.self_us, self_us) for o in ordered],
            rank=5 if with_device else 0,
        ),
    ]
    notes = ["Self: host time without the operators called inside."]
    if with_device:
        notes = [
            "Device: kernels launched by the operator itself. Self: host time without operators called inside."
        ]
    return Table(
        title=_top_title("Operators", len(ordered), len(whole.operators)),
        columns=tuple(columns),
        notes=tuple(notes),
    )


def range_table(ranges: Sequence[RangeTime], *, top: int) -> Table | None:
    """The named ranges on the host, in order of appearance; of many, those that took most."""
    if not ranges:
        return None
    chosen = {
        id(found) for found in nlargest(top, ranges, key=lambda found: (found.host_us, found.device_us))
    }
    shown = [found for found in ranges if id(found) in chosen]
    devices = [found.breakdown.device for found in shown]
    with_device = any(found.kernel_count or found.device_us for found in shown)
    columns = [
        *name_columns("name", "\nrange", [found.name for found in shown]),
        count_column("count", "\ncount", [found.count for found in shown]),
        time_column("host", "host", [found.host_us for found in shown]),
    ]
    if with_device:
        busy = [None if device is None else _ratio(device.busy_us, device.span_us) for device in devices]
        columns += [
            time_column("device", "device", [found.device_us for found in shown]),
            share_column("busy", "device\nbusy", busy, rank=1),
            count_column("kernels", "\nkernels", [found.kernel_count for found in shown], rank=2),
            count_column("launches", "\nlaunches", [found.launch_count for found in shown], rank=3),
        ]
    notes = []
    if with_device:
        notes.append(
            "Device: kernels launched inside, whenever they ran. Nested ranges each count what is inside them."
        )
    others = [found.elsewhere_device_us for found in shown]
    if any(others):
        # Where others launch more than the range's own thread, the range looks empty without this.
        telling = any(found.elsewhere_device_us > found.device_us for found in shown)
        columns.append(time_column("others", "by other\nthreads", others, rank=0 if telling else 4))
        if telling:
            notes.append(
                "By other threads: kernels that these launched while the range was open, as in a backward pass."
            )
    return Table(
        title=_top_title("Ranges", len(shown), len(ranges)), columns=tuple(columns), notes=tuple(notes)
    )


def launch_table(launches: LaunchFacts | None) -> Table | None:
    """How launches reach the device: their number, delay and the queue that they meet."""
    if launches is None or not launches.count:
        return None
    rows = (
        ("launch calls", str(launches.count)),
        ("host time in them", units.duration_us(launches.host_us)),
        ("delay to the start, median", units.duration_us(launches.median_delay_us)),
        ("delay, 95th percentile", units.duration_us(launches.p95_delay_us)),
        ("delay, least", units.duration_us(launches.min_delay_us)),
        ("queue at a launch, mean", units.significant(launches.mean_queue_depth)),
        ("queue at a launch, most", str(launches.max_queue_depth)),
    )
    return Table(
        title="Launches",
        columns=(
            Column(key="what", title="measure", cells=tuple(name for name, _ in rows), justify="left"),
            Column(key="figure", title="value", cells=tuple(value for _, value in rows)),
        ),
        notes=("Delay grows with the queue: only its least is the cost of launching.",),
    )


def _device_notes(device: DeviceTime) -> tuple[str, ...]:
    kernels = f"{count(device.kernel_count, 'kernel')} {units.duration_us(device.kernel_time_us)}"
    parts = [kernels]
    if device.memcpy_count:
        copies = "1 copy" if device.memcpy_count == 1 else f"{device.memcpy_count} copies"
        parts.append(f"{copies} {units.duration_us(device.memcpy_us)}")
    if device.memset_count:
        parts.append(f"{count(device.memset_count, 'memset')} {units.duration_us(device.memset_us)}")
    notes = [f"Work: {', '.join(parts)}, on {count(device.streams, 'stream')}."]
    if device.communication_us > 0:
        notes.append(
            f"Communication: {units.duration_us(device.communication_us)}, of which "
            f"{units.duration_us(device.exposed_communication_us)} while no other kernel runs."
        )
    return tuple(notes)


def _top_title(what: str, shown: int, of_all: int) -> str:
    return what if shown == of_all else f"{what}: the top {shown} of {of_all}"


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
