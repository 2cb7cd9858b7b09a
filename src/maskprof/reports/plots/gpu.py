"""What the traces of a GPU hold: kernels by category, the device's idle time by its cause, and the roofline."""

from collections.abc import Mapping, Sequence

from maskprof.reports import units
from maskprof.reports.charts.palette import NUM_SERIES, series_colour
from maskprof.reports.charts.rows import Bar, BarsPlot, Part, draw_bars
from maskprof.reports.charts.shapes import MARKS
from maskprof.reports.charts.xy import Axis, Guide, Mark, Series, XYPlot, draw_xy
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Table
from maskprof.reports.plots.plot import Key, Plot, figures, slug
from maskprof.results.trace_summary import DeviceTime, Roofline, RooflineRow, TraceSummary
from maskprof.terminal_cells import cut_middle

_OTHERS = "others"
_NAME_WIDTH = 60
_BOUNDS = ("compute", "memory", "launch", "unknown")
_DEVICE_PARTS = (
    ("active", "busy", "busy_us"),
    ("check", "idle: not launched yet", "idle_launch_us"),
    ("rest", "idle: gaps between kernels", "idle_gap_us"),
    ("skipped", "idle: cause not in the trace", "idle_other_us"),
)


def category_plot(traces: Mapping[str, TraceSummary], names: Mapping[str, str]) -> Plot | None:
    """Device time by category of kernel, a bar per configuration; None without device events."""
    totals: dict[str, float] = {}
    for summary in traces.values():
        for found in summary.whole.categories:
            totals[found.category] = totals.get(found.category, 0.0) + found.total_us
    if not totals:
        return None
    shown = sorted(totals, key=lambda category: -totals[category])
    if len(shown) > NUM_SERIES:
        shown = [*shown[: NUM_SERIES - 1], _OTHERS]
    rows = {name: _by_category(summary, shown) for name, summary in traces.items()}
    unit = units.time_unit([sum(row.values()) for row in rows.values()])
    factor = units.time_factor(unit)
    bars = tuple(
        Bar(
            name=names.get(name, name),
            parts=tuple(
                Part(
                    length=us / factor,
                    colour=series_colour(place),
                    text=f"{names.get(name, name)}\n{category}: {units.duration_us(us)} "
                    f"({units.percent(us / (sum(row.values()) or 1.0))})",
                    place=place,
                )
                for place, (category, us) in enumerate(row.items())
            ),
            key=name,
        )
        for name, row in rows.items()
    )
    heading = "Device time by category of kernel"
    columns = [("configuration", list(rows))]
    columns += [(f"{c}, us", [units.fixed(row[c], 1) for row in rows.values()]) for c in shown]
    return Plot(
        name="kernel-categories",
        heading=heading,
        drawing=draw_bars(BarsPlot(title=f"{heading}, whole traces", axis=f"{unit} of kernels", bars=bars)),
        table=figures(f"{heading}, us", columns),
        legend=tuple(
            Key(colour=series_colour(n), label=category, place=n) for n, category in enumerate(shown)
        ),
    )


def device_plot(traces: Mapping[str, TraceSummary], names: Mapping[str, str]) -> Plot | None:
    """How busy the device was and why it was idle, a bar per configuration; None without a device."""
    found = {
        name: summary.whole.device for name, summary in traces.items() if summary.whole.device is not None
    }
    if not found:
        return None
    unit = units.time_unit(device.span_us for device in found.values())
    factor = units.time_factor(unit)

    def part(name: str, device: DeviceTime, place: int) -> Part:
        colour, label, field = _DEVICE_PARTS[place]
        us = getattr(device, field)
        share = units.percent(us / device.span_us if device.span_us > 0 else None)
        text = f"{names.get(name, name)}\n{label}: {units.duration_us(us)} ({share})"
        return Part(length=us / factor, colour=colour, text=text, place=place)

    bars = tuple(
        Bar(
            name=names.get(name, name),
            parts=tuple(part(name, device, place) for place in range(len(_DEVICE_PARTS))),
            key=name,
        )
        for name, device in found.items()
    )
    heading = "Busy and idle device"
    columns = [("configuration", list(found))]
    columns += [
        (f"{label}, us", [units.fixed(getattr(device, field), 1) for device in found.values()])
        for _, label, field in _DEVICE_PARTS
    ]
    return Plot(
        name="device-time",
        heading=heading,
        drawing=draw_bars(BarsPlot(title=f"{heading}, whole traces", axis=f"{unit} of the trace", bars=bars)),
        table=figures(f"{heading}, us", columns),
        legend=tuple(Key(colour=c, label=label, place=n) for n, (c, label, _) in enumerate(_DEVICE_PARTS)),
    )


def roofline_plot(name: str, roofline: Roofline) -> Plot | None:
    """Achieved speed over arithmetic intensity, with the device's roofs where they are known.

    Operators without operations (copies) have no place on logarithmic axes and stand in the table only.
    """
    rows = [row for row in roofline.rows if row.tflops > 0 and row.intensity > 0]
    if not rows:
        return None
    series: list[Series] = []
    legend: list[Key] = []
    for bound in _BOUNDS:
        members = [row for row in rows if row.bound == bound]
        if members:
            place = len(series)
            marks = tuple(Mark(x=row.intensity, y=row.tflops, text=_roofline_text(row)) for row in members)
            colour = series_colour(place)
            series.append(Series(label=bound, marks=marks, colour=colour, joined=False, place=place))
            label = "bound unknown" if bound == "unknown" else f"{bound}-bound"
            legend.append(Key(colour=colour, label=label, place=place, mark=MARKS[place % len(MARKS)]))
    heading = "Roofline"
    return Plot(
        name=f"roofline-{slug(name)}",
        heading=heading,
        drawing=draw_xy(
            XYPlot(
                title=f"Roofline of {name}: achieved TFLOP/s over FLOP per byte",
                x=Axis(title="FLOP per byte", kind="log"),
                y=Axis(title="TFLOP/s", kind="log"),
                series=tuple(series),
                guides=_roofs(roofline, rows),
            )
        ),
        table=_roofline_figures(name, roofline),
        legend=tuple(legend),
    )


def _roofline_figures(name: str, roofline: Roofline) -> Table:
    """Every operator of the roofline, the one with the most device time first."""
    rows = sorted(roofline.rows, key=lambda row: -row.device_us)
    return figures(
        f"Roofline of {name}",
        [
            ("operator", [visible(row.operator) for row in rows]),
            ("shapes", [visible(cut_middle(row.shapes, _NAME_WIDTH)) for row in rows]),
            ("type", [visible(row.dtype) for row in rows]),
            ("calls", [str(row.count) for row in rows]),
            ("device us", [units.fixed(row.device_us, 1) for row in rows]),
            ("TFLOP/s", [units.significant(row.tflops) for row in rows]),
            ("GB/s", [units.significant(row.gb_s) for row in rows]),
            ("FLOP per byte", [units.significant(row.intensity) for row in rows]),
            ("bound", [row.bound for row in rows]),
            ("of peak", [units.percent(row.share_of_peak) for row in rows]),
        ],
        names=3,
    )


def _by_category(summary: TraceSummary, shown: Sequence[str]) -> dict[str, float]:
    row = dict.fromkeys(shown, 0.0)
    for found in summary.whole.categories:
        row[found.category if found.category in row else _OTHERS] += found.total_us
    return row


def _roofs(roofline: Roofline, rows: Sequence[RooflineRow]) -> tuple[Guide, ...]:
    peaks = roofline.peaks
    if peaks is None:
        return ()
    least, most = min(row.intensity for row in rows), max(row.intensity for row in rows)
    # TB/s times FLOP per byte is TFLOP/s.
    bandwidth = peaks.bandwidth_gb_s / 1000
    used = [
        peaks.tflops[dtype] for dtype in dict.fromkeys(row.dtype for row in rows) if dtype in peaks.tflops
    ]
    if not used or bandwidth <= 0:
        return ()
    ridge = max(used) / bandwidth
    start = min(least, ridge) / 2
    guides = [
        Guide(
            label=f"{units.significant(peaks.bandwidth_gb_s)} GB/s",
            points=((start, start * bandwidth), (ridge, max(used))),
        )
    ]
    for dtype, peak in peaks.tflops.items():
        if any(row.dtype == dtype for row in rows):
            corner = peak / bandwidth
            points = ((corner, peak), (max(most, ridge) * 3, peak))
            guides.append(
                Guide(label=f"{dtype} {units.significant(peak)} TFLOP/s", points=points, label_at=1.0)
            )
    return tuple(guides)


def _roofline_text(row: RooflineRow) -> str:
    share = f", {units.percent(row.share_of_peak)} of its roof" if row.share_of_peak is not None else ""
    return (
        f"{cut_middle(row.operator, _NAME_WIDTH)} {cut_middle(row.shapes, _NAME_WIDTH)} {row.dtype}\n"
        f"{units.significant(row.tflops)} TFLOP/s, {units.significant(row.gb_s)} GB/s{share}\n"
        f"{row.count} calls, {units.duration_us(row.device_us)} on the device"
    )
