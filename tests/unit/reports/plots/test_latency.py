import pytest

from maskprof.config.schema import Variant
from maskprof.reports.plots.latency import latency_plots
from tests.support.results import (
    explicit_configuration,
    knob_configurations,
    make_configuration,
    make_result,
)


def names(plots):
    return [plot.name for plot in plots]


def cells(table, heading):
    return next(column.cells for column in table.columns if column.title == heading)


def test_every_phase_has_its_plot():
    assert names(latency_plots(make_result())) == [
        "latency-prefill",
        "latency-decode-per-token",
        "latency-total",
        "latency-vision",
    ]
    assert names(latency_plots(make_result(vision_ms=0.0, output_tokens=1))) == [
        "latency-prefill",
        "latency-total",
    ]


def test_points_say_what_they_are():
    plot = latency_plots(make_result())[0]
    assert [target.key for target in plot.drawing.targets] == [f"first-{n:02d}-of-16" for n in (4, 8, 12, 16)]
    assert plot.drawing.targets[1].text == (
        "8 of 16 blocks\nmedian 11.62 ±0.23 ms\n11.4 ms to 11.8 ms, P95 11.8 ms\n55 % of full, ideal 50 %"
    )
    assert plot.legend == ()


def test_the_ideal_goes_from_nothing_to_the_full_model():
    drawing = latency_plots(make_result())[0].drawing
    (dashed,) = (shape for shape in drawing.shapes if getattr(shape, "dashed", False))
    full = drawing.targets[-1]
    assert dashed.points[-1] == (full.x, full.y)
    assert any(getattr(shape, "text", "") == "ideal" for shape in drawing.shapes)
    without = latency_plots(make_result([make_configuration(4), make_configuration(8)]))[0].drawing
    assert not any(getattr(shape, "dashed", False) for shape in without.shapes)


def test_the_figures_are_in_the_table():
    table = latency_plots(make_result())[0].table
    assert cells(table, "median, ms") == ("6.82", "11.62", "16.41", "21.20")
    assert cells(table, "from, ms")[3] == "20.78"
    assert cells(table, "samples") == ("5",) * 4


def test_ways_of_skipping_are_lines_of_one_plot():
    variants = (Variant(), Variant(skip_mode="splice"))
    result = make_result([make_configuration(n, 16, v) for v in variants for n in (8, 16)])
    plot = latency_plots(result)[0]
    assert [key.label for key in plot.legend] == ["mask-virtual-host", "splice"]
    assert [target.series for target in plot.drawing.targets] == [0, 0, 1, 1]
    assert cells(plot.table, "line") == ("mask-virtual-host",) * 2 + ("splice",) * 2


def test_many_settings_of_knobs_are_several_plots_and_none_is_left_out():
    result = make_result(knob_configurations(num_crops=(1, 2, 4), prompt_tokens=(8, 16, 32)))
    plots = [plot for plot in latency_plots(result) if plot.name.startswith("latency-prefill")]
    assert [plot.heading for plot in plots] == ["Prefill: crops 1", "Prefill: crops 2", "Prefill: crops 4"]
    assert [key.label for key in plots[0].legend] == [
        "prompt tokens 8",
        "prompt tokens 16",
        "prompt tokens 32",
    ]
    assert sum(len(plot.drawing.targets) for plot in plots) == len(result.configurations)


def test_masks_of_one_depth_are_not_joined():
    result = make_result(
        [explicit_configuration((0, 1)), explicit_configuration((2, 3)), make_configuration(16)]
    )
    lines = [
        s for s in latency_plots(result)[0].drawing.shapes if type(s).__name__ == "Line" and not s.dashed
    ]
    assert lines == []


@pytest.mark.parametrize("count", [1, 2])
def test_one_configuration_is_a_plot_too(count):
    plots = latency_plots(make_result([make_configuration(n) for n in range(1, count + 1)]))
    assert len(plots[0].drawing.targets) == count
