from dataclasses import replace

import pytest

from maskprof.reports.charts.shapes import Boxes, Words
from maskprof.reports.plots.skip_path import closure_plots, turn_plots
from tests.support.results import make_configuration, make_result


def with_closures(result, change):
    return replace(
        result,
        attribution=tuple(
            replace(item, closure=tuple(change(n, closure) for closure in item.closure))
            for n, item in enumerate(result.attribution)
        ),
    )


def test_both_measurements_of_every_masked_configuration():
    prefill, decode = closure_plots(make_result())
    assert (prefill.name, decode.name) == ("skip-prefill", "skip-decode")
    assert [target.key for target in prefill.drawing.targets] == [
        name for n in (4, 8, 12) for name in (f"first-{n:02d}-of-16",) * 2
    ]
    clean, traced = prefill.drawing.targets[:2]
    assert clean.text == "clean 2.00 us per skipped block\n2.00 us to 2.00 us (95 %), 5 pairs"
    assert traced.text == "traced 1.75 us per skipped block"
    assert clean.x > traced.x
    assert [key.place for key in prefill.legend] == [clean.series, traced.series]


def test_a_wild_interval_does_not_flatten_the_others():
    def wild(n, closure):
        low, high = closure.clean_ci95_us
        return replace(closure, clean_ci95_us=(low * 1e6, high * 1e6)) if n == 0 else closure

    (plot, _) = closure_plots(with_closures(make_result(), wild))
    assert "us per skipped block; what reaches the edge goes on" in [
        shape.text for shape in plot.drawing.shapes if isinstance(shape, Words)
    ]
    zero_to_clean = plot.drawing.targets[2].x - plot.drawing.targets[3].x
    assert zero_to_clean > 3


def test_without_references_or_traces_what_is_there_is_shown():
    def unpaired(_, closure):
        return replace(closure, clean_us=None, clean_ci95_us=None, pairs=0)

    plot = closure_plots(with_closures(make_result(), unpaired))[0]
    assert {target.series for target in plot.drawing.targets} == {1}
    assert closure_plots(make_result([make_configuration(16)])) == ()
    assert closure_plots(make_result(trace=False)) == ()


def test_parts_of_a_skipped_turn():
    prefill, _decode = turn_plots(make_result())
    check, cache, rest = prefill.drawing.targets[:3]
    assert check.text == "4 blocks\nmask check: 0.0500 us\nmedian of 12 skipped blocks"
    assert cache.text.splitlines()[1] == "cache work: 0.830 us"
    assert rest.text.splitlines()[1] == "rest of the turn: 0.870 us"
    widths = [shape.boxes[0][2] for shape in prefill.drawing.shapes if isinstance(shape, Boxes)][:3]
    assert [width / sum(widths) for width in widths] == pytest.approx([0.05 / 1.75, 0.83 / 1.75, 0.87 / 1.75])
    assert turn_plots(make_result([make_configuration(16)])) == ()
