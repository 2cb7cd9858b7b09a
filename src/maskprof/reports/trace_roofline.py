"""Achieved against possible, as a table."""

from maskprof.reports import units
from maskprof.reports.escapes import visible
from maskprof.reports.layout import Column, Table
from maskprof.reports.trace_columns import BEFORE_NAMES, count_column, name_columns, share_column, time_column
from maskprof.results.trace_summary import Roofline, RooflineRow


def roofline_table(roofline: Roofline | None, *, top: int) -> Table | None:
    """The operators whose shapes were recorded, with what they reached of the device's peaks."""
    if roofline is None or not roofline.rows:
        return None
    shown = roofline.rows[:top]
    more = len(roofline.rows) - len(shown)
    tflops = [row.tflops for row in shown]
    rates = [row.gb_s for row in shown]
    intensities = tuple(units.significant(row.intensity) if row.flops else units.MISSING for row in shown)
    notes = [_covered(roofline, more=bool(more))]
    peaks = roofline.peaks
    if peaks is None:
        notes.append("The device's peaks are not known: give them with --peaks for shares and bounds.")
    else:
        figures = ", ".join(f"{dtype} {units.exact(value)}" for dtype, value in peaks.tflops.items())
        notes.append(
            f"Peaks of {visible(peaks.name)}: {figures} TFLOP/s (dense), "
            f"{units.exact(peaks.bandwidth_gb_s)} GB/s."
        )
    return Table(
        title="Roofline"
        if not more
        else f"Roofline: the top {len(shown)} of {len(roofline.rows)} operators and shapes",
        columns=(
            *name_columns("operator", "\noperator", [row.operator for row in shown], least=16),
            *name_columns("shapes", "\nshapes", [row.shapes for row in shown], least=20, least_rank=2),
            Column(
                key="dtype", title="\ntype", cells=tuple(visible(r.dtype) for r in shown), justify="left",
                rank=BEFORE_NAMES + 3,
            ),
            count_column("count", "\ncalls", [row.count for row in shown], rank=BEFORE_NAMES + 4),
            time_column("device", "device", [row.device_us for row in shown], rank=1),
            Column(
                key="tflops", title="\nTFLOP/s",
                rank=BEFORE_NAMES + 1,
                cells=tuple(units.fixed(v, units.decimals_for(tflops)) if v else units.MISSING for v in tflops),
            ),
            Column(
                key="gb_s", title="\nGB/s", rank=BEFORE_NAMES + 1,
                cells=tuple(units.fixed(v, units.decimals_for(rates)) for v in rates),
            ),
            Column(
                key="reached", title="\nreached", cells=tuple(map(_reached, shown)), instead_of="gb_s",
            ),
            Column(key="intensity", title="FLOP\nper B", cells=intensities, rank=BEFORE_NAMES + 2, role="side"),
            Column(key="bound", title="bound\nby", cells=tuple(row.bound for row in shown), justify="left"),
            share_column("share", "of\npeak", [row.share_of_peak for row in shown]),
        ),
        notes=tuple(notes),
    )  # fmt: skip


def _covered(roofline: Roofline, *, more: bool) -> str:
    """How much of the kernels' time has a figure, and how much has none."""
    explained = (
        f"{'These and the others' if more else 'They'} explain {units.duration_us(roofline.covered_us)} of "
        f"{units.duration_us(roofline.kernel_time_us)} kernel time"
    )
    without = roofline.without_figure
    if not without:
        return f"{explained}."
    return (
        f"{explained}; {units.percent(without)} has no figure: kernels whose launch is not in the trace, of graphs, "
        "or of operators whose shapes do not tell their work."
    )


def _reached(row: RooflineRow) -> str:
    """The rate that counts for what bounds the row."""
    if row.bound == "memory" or not row.flops:
        return f"{units.significant(row.gb_s)} GB/s"
    return f"{units.significant(row.tflops)} TFLOP/s"
