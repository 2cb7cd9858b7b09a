from dataclasses import replace

from maskprof.reports.charts.shapes import Boxes, Segments
from maskprof.reports.plots.blocks import block_plots, overview_plots
from tests.support.results import make_configuration, make_result


def names(plots):
    return [plot.name for plot in plots]


def test_an_overview_per_phase_and_clock():
    assert names(overview_plots(make_result())) == ["blocks-host-prefill", "blocks-host-decode"]
    assert names(overview_plots(make_result(device=True))) == [
        "blocks-host-prefill",
        "blocks-host-decode",
        "blocks-device-prefill",
        "blocks-device-decode",
    ]
    assert overview_plots(make_result(trace=False)) == ()


def test_every_block_of_every_configuration_can_be_reached():
    plot = overview_plots(make_result())[0]
    assert len(plot.drawing.targets) == 4 * 16
    skipped = plot.drawing.targets[4]
    assert (skipped.heading, skipped.key) == ("4 blocks", "first-04-of-16")
    assert skipped.text == (
        "block 4, skipped\nhost 1.75 us (0.0 % of the phase)\nmask check 0.0500 us\ncache 0.830 us\n0 operators"
    )
    (strokes,) = (s for s in plot.drawing.shapes if isinstance(s, Segments))
    assert len(strokes.ends) == 12 + 8 + 4
    assert [column.cells[4] for column in plot.table.columns] == [
        "4",
        "1.8 (skipped)",
        "1200.0",
        "1200.0",
        "1200.0",
    ]


def test_blocks_that_are_alike_have_a_middle_shade_and_slow_ones_a_dark_one():
    result = make_result()
    alike = {
        s.fill for s in overview_plots(result)[0].drawing.shapes if isinstance(s, Boxes) and len(s.boxes) > 1
    }
    assert alike == {"h4"}
    item = result.attribution[3]
    prefill = item.phases[0]
    slow = replace(prefill.blocks[0], host_us=9000.0)
    changed = replace(item, phases=(replace(prefill, blocks=(slow, *prefill.blocks[1:])), *item.phases[1:]))
    result = replace(result, attribution=(*result.attribution[:3], changed))
    fills = [
        s for s in overview_plots(result)[0].drawing.shapes if isinstance(s, Boxes) and s.boxes[0][3] == 16
    ]
    assert {shape.fill: len(shape.boxes) for shape in fills} == {"h4": 39, "h6": 1}


def test_one_configuration_block_by_block():
    item = make_result(device=True).attribution[1]
    base = "blocks-first-08-of-16"
    assert names(block_plots(item)) == [
        f"{base}-prefill-host",
        f"{base}-prefill-skipped",
        f"{base}-prefill-device",
        f"{base}-decode-host",
        f"{base}-decode-skipped",
        f"{base}-decode-device",
    ]
    host, skipped, device = block_plots(item)[:3]
    assert len(host.drawing.targets) == len(device.drawing.targets) == 16
    assert len(skipped.drawing.targets) == 8
    assert [s.fill for s in skipped.drawing.shapes if isinstance(s, Boxes)] == [
        "check",
        "cache",
        "rest",
        "skipped",
    ]
    assert host.drawing.targets[3].text == (
        "block 3, active\nhost 1.20 ms (12 % of the phase)\ndevice 600 us\nmask check 0.0500 us\n12.0 kernels"
    )


def test_the_full_model_has_no_skipped_blocks_to_show():
    assert names(block_plots(make_result([make_configuration(16)]).attribution[0])) == [
        "blocks-first-16-of-16-prefill-host",
        "blocks-first-16-of-16-decode-host",
    ]


def test_a_configuration_whose_trace_failed_has_none():
    assert block_plots(replace(make_result().attribution[0], phases=())) == ()
