"""Knobs, GPU traces, runs laid over each other, labels."""

from dataclasses import replace

import pytest

from maskprof.config.schema import Variant
from maskprof.reports.charts.palette import series_colour
from maskprof.reports.charts.shapes import Boxes, Words
from maskprof.reports.plots.comparison import comparison_table, overlay_plots, run_table, slope_plots
from maskprof.reports.plots.gpu import category_plot, device_plot, roofline_plot
from maskprof.reports.plots.knobs import knob_plots
from maskprof.reports.plots.labels import described, short_names
from maskprof.reports.plots.plot import slug
from maskprof.reports.plots.traces import diff_plots, trace_plots
from maskprof.results.trace_comparison import DiffRow, TraceDiff
from tests.support.results import (
    explicit_configuration,
    knob_configurations,
    make_configuration,
    make_result,
)
from tests.support.trace_summaries import cpu_summary, gpu_summary, make_facts


def cells(table, heading):
    return next(
        column.cells for column in table.columns if column.title.replace("\n", " ").strip() == heading
    )


def test_knobs_have_a_row_each_and_three_savings():
    plots = knob_plots(make_result(knob_configurations(num_crops=(1, 2, 4), moe_top_k=(2, 4))))
    assert [plot.name for plot in plots] == ["knobs-prefill", "knobs-decode-per-token", "knobs-total"]
    first = plots[0].drawing.targets[0]
    assert first.text.startswith("half the blocks saves ")
    assert first.text.endswith("\nfrom 16 blocks and crops 4")
    assert len(plots[0].drawing.targets) == 6
    assert knob_plots(make_result()) == ()


def test_kernel_categories_are_parts_of_a_bar():
    traces = {name: gpu_summary(n) for name, n in (("first-08-of-16", 8), ("first-16-of-16", 16))}
    plot = category_plot(traces, {"first-08-of-16": "8 blocks"})
    assert [key.label for key in plot.legend][:3] == ["GEMM", "attention", "elementwise"]
    assert plot.drawing.targets[0].text.startswith("8 blocks\nGEMM: ")
    assert plot.drawing.targets[0].key == "first-08-of-16"
    assert cells(plot.table, "configuration") == ("first-08-of-16", "first-16-of-16")
    # Of one summary the table has the totals of its categories.
    totals = {category.category: category.total_us for category in traces["first-08-of-16"].whole.categories}
    assert float(cells(plot.table, "GEMM, us")[0]) == totals["GEMM"]
    assert category_plot({"a": cpu_summary()}, {}) is None


def test_more_categories_than_colours_are_gathered():
    summary = gpu_summary()
    many = tuple(
        replace(summary.whole.categories[0], category=f"c{n}", total_us=100.0 - n) for n in range(12)
    )
    traces = {"a": replace(summary, whole=replace(summary.whole, categories=many))}
    plot = category_plot(traces, {})
    assert [key.label for key in plot.legend] == ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "others"]
    assert float(cells(plot.table, "others, us")[0]) == sum(100.0 - n for n in range(7, 12))


def test_the_devices_time_is_busy_and_idle_by_cause():
    summary = gpu_summary()
    plot = device_plot({"a": summary}, {"a": "10 blocks"})
    device = summary.whole.device
    widths = [shape.boxes[0][2] for shape in plot.drawing.shapes if isinstance(shape, Boxes)]
    parts = (device.busy_us, device.idle_launch_us, device.idle_gap_us, device.idle_other_us)
    assert [width / sum(widths) for width in widths] == pytest.approx(
        [part / device.span_us for part in parts]
    )
    assert device_plot({"a": cpu_summary()}, {}) is None


def test_the_roofline_has_a_point_per_operator_and_the_roofs():
    plot = roofline_plot("first-08-of-16", gpu_summary().roofline)
    assert len(plot.drawing.targets) == len(gpu_summary().roofline.rows)
    assert plot.drawing.targets[0].text.startswith(
        "aten::addmm [1, 2048] x [2048, 8192] bf16\n0.840 TFLOP/s, 839 GB/s"
    )
    texts = [shape.text for shape in plot.drawing.shapes if isinstance(shape, Words)]
    assert {"3350 GB/s", "bf16 989 TFLOP/s"} <= set(texts)
    assert "fp32 66.9 TFLOP/s" not in texts, "a roof that no operator is under"


def test_a_roofline_without_peaks_has_points_and_no_roofs():
    roofline = replace(gpu_summary().roofline, peaks=None)
    assert not any(getattr(shape, "dashed", False) for shape in roofline_plot("a", roofline).drawing.shapes)
    assert roofline_plot("a", replace(roofline, rows=())) is None
    nothing = tuple(replace(row, tflops=0.0, intensity=0.0) for row in roofline.rows)
    assert roofline_plot("a", replace(roofline, rows=nothing)) is None


def runs():
    slower = make_result([make_configuration(8), make_configuration(16)], vision_ms=6.0)
    return [("here", make_result()), ("there", slower)]


def test_runs_are_lines_of_one_plot():
    plots = overlay_plots(runs())
    assert [plot.name for plot in plots][:2] == ["compare-prefill", "compare-decode-per-token"]
    assert [key.label for key in plots[0].legend] == ["here", "there"]
    assert plots[0].drawing.targets[-1].text.startswith("there, 16 blocks: 16 of 16 blocks")


def test_runs_with_different_ways_of_skipping_share_plots_by_way():
    other = make_result([make_configuration(n, 16, Variant(skip_mode="splice")) for n in (8, 16)])
    plots = [
        p for p in overlay_plots([("a", make_result()), ("b", other)]) if p.name.startswith("compare-prefill")
    ]
    assert [plot.heading for plot in plots] == ["Prefill: mask-virtual-host", "Prefill: splice"]


def _colours(plot) -> dict[str, str]:
    return {key.label: key.colour for key in plot.legend}


def test_a_knob_that_only_differs_between_runs_is_told_beside_their_names():
    runs = [
        ("own", make_result(knob_configurations((8, 16)))),
        ("long", make_result(knob_configurations((8, 16), prompt_tokens=(512,)))),
    ]
    prefill = next(plot for plot in overlay_plots(runs) if plot.name.startswith("compare-prefill"))
    assert (prefill.name, prefill.heading) == ("compare-prefill", "Prefill")
    assert _colours(prefill) == {"own": series_colour(0), "long · prompt tokens 512": series_colour(1)}


def test_a_run_that_leaves_a_knob_alone_is_beside_each_of_its_values():
    runs = [
        ("own", make_result(knob_configurations((8, 16)))),
        ("many", make_result(knob_configurations((8, 16), prompt_tokens=(64, 512)))),
        ("other", make_result(knob_configurations((8, 16), prompt_tokens=(64,)))),
    ]
    plots = [plot for plot in overlay_plots(runs) if plot.name.startswith("compare-prefill")]
    assert [(plot.name, plot.heading) for plot in plots] == [
        ("compare-prefill-1", "Prefill: prompt tokens 64"),
        ("compare-prefill-2", "Prefill: prompt tokens 512"),
    ]
    # A run has one colour on the whole page, whoever is beside it.
    assert _colours(plots[0]) == {
        name: series_colour(place) for place, name in enumerate(("own", "many", "other"))
    }
    assert _colours(plots[1]) == {"own": series_colour(0), "many": series_colour(1)}


def test_a_run_alone_in_a_plot_has_its_own_colour():
    silent = make_result(vision_ms=0.0)
    plots = {plot.name: plot for plot in overlay_plots([("a", silent), ("b", make_result())])}
    strokes = {shape.stroke for shape in plots["compare-vision"].drawing.shapes if hasattr(shape, "stroke")}
    assert series_colour(1) in strokes
    assert series_colour(0) not in strokes


def test_shared_configurations_side_by_side():
    table = comparison_table(runs(), "vision", "Vision")
    assert cells(table, "configuration") == ("first-08-of-16", "first-16-of-16")
    assert cells(table, "here, ms") == ("3.20 ±0.00",) * 2
    assert cells(table, "there against here") == ("188 %",) * 2
    assert cells(comparison_table(runs(), "prefill", "Prefill"), "there against here") == ("~100 %",) * 2
    apart = [("a", make_result([make_configuration(4)])), ("b", make_result([make_configuration(8)]))]
    assert comparison_table(apart, "prefill", "Prefill") is None


def test_slopes_have_a_row_per_run():
    prefill, decode = slope_plots(runs())
    assert [target.text for target in prefill.drawing.targets] == [
        "each active block adds 1.20 ±0.00 ms",
        "each active block adds 1.20 ms",
    ]
    assert decode.name == "compare-slope-decode-per-token"
    assert slope_plots([("a", make_result([make_configuration(4)]))] * 2) == ()


def test_what_differs_between_runs_is_told():
    one, other = runs()
    changed = replace(other[1], config={**other[1].config, "batch_size": 4, "output_dir": "elsewhere"})
    table = run_table([one, ("there", changed)])
    rows = dict(
        zip(table.columns[0].cells, zip(*(c.cells for c in table.columns[1:]), strict=True), strict=True)
    )
    assert rows["batch_size"] == ("1", "4")
    assert "output_dir" not in rows
    assert rows["samples"] == ("20", "10")


def test_short_names():
    assert list(short_names(make_result()).values()) == ["4 blocks", "8 blocks", "12 blocks", "16 blocks"]
    one = make_configuration(1)
    assert short_names(make_result([one]))[one.name] == "1 block"
    explicit = [explicit_configuration((0, 1)), explicit_configuration((2, 3))]
    assert list(short_names(make_result(explicit)).values()) == ["blocks-0_1", "blocks-2_3"]
    knobs = knob_configurations((8,), num_crops=(1, 4))
    names = short_names(make_result(knobs))
    assert list(names.values()) == ["8 blocks · crops 1", "8 blocks · crops 4"]
    assert described(knobs[0], names) == "8 blocks · crops 1: 8 of 16 blocks"


@pytest.mark.parametrize(
    ("text", "expected"), [("decode_per_token", "decode-per-token"), ("../x <y>", "x-y"), ("ü", "")]
)
def test_slugs_are_fit_for_files(text, expected):
    assert slug(text) == expected


def test_plots_of_one_trace():
    assert [plot.name.partition("-worker")[0] for plot in trace_plots(gpu_summary())][:3] == [
        "kernel-categories",
        "device-time",
        "roofline",
    ]
    assert trace_plots(cpu_summary())[-1].name == "operators"
    assert len({plot.name for plot in trace_plots(gpu_summary())}) == len(trace_plots(gpu_summary()))


def test_plots_of_two_traces_have_the_largest_changes():
    rows = tuple(
        DiffRow(key=f"op{n}", count_a=1, count_b=1, us_a=10.0, us_b=10.0 + n, status="slower")
        for n in range(20)
    )
    diff = TraceDiff(
        a=make_facts("a"), b=make_facts("b"), headline=(), phases=(), operators=rows, blocks={"prefill": rows}
    )
    blocks, operators = diff_plots(diff)
    assert operators.heading == "Operators, the 12 largest changes of 20"
    assert operators.drawing.targets[0].text == "op19\nA: 10.0 us\nslower"
    # Blocks stay in the order of the model.
    assert list(blocks.table.columns[0].cells) == [f"op{n}" for n in range(8, 20)]
