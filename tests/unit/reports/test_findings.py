from dataclasses import replace

from maskprof.reports.findings import findings, key_figures, warnings
from maskprof.results.circumstances import Finding
from maskprof.results.schema import Failure
from tests.support.results import knob_configurations, make_configuration, make_result


def values(result):
    return [(figure.value, figure.label) for figure in key_figures(result)]


def test_key_figures():
    assert values(make_result()) == [
        ("1.20 ms", "of prefill for each active block"),
        ("118 us", "per decoded token for each active block"),
        ("9.6 %", "of full prefill is in no block"),
        ("1.75 us", "on the host for each skipped block and decode step"),
    ]


def test_a_slope_that_may_be_none_is_no_key_figure():
    result = make_result()
    unclear = tuple(replace(fit, slope_ci95=(-1.0, 3.0)) for fit in result.fits)
    assert values(replace(result, fits=unclear)) == [
        ("1.75 us", "on the host for each skipped block and decode step")
    ]
    assert key_figures(replace(result, summary=())) == ()


def test_key_figures_are_of_what_the_headline_speaks_of():
    result = make_result(knob_configurations(moe_top_k=(2, 4)))
    # 1.2 ms and 0.1 ms for each of four experts.
    assert values(result)[0] == ("1.60 ms", "of prefill for each active block")


def clean(result, low, high, configurations):
    return replace(
        result,
        attribution=tuple(
            replace(item, closure=tuple(replace(c, clean_ci95_us=(low, high)) for c in item.closure))
            if n in configurations
            else item
            for n, item in enumerate(result.attribution)
        ),
    )


def test_the_skip_path_in_words():
    assert findings(make_result())[0] == (
        "Measured clean, against the same model with the blocks removed, a skipped block costs 2.00 us in prefill "
        "(clearly above zero in 3 of 3 configurations) and 2.00 us per decode step (clearly above zero in 3 of 3 "
        "configurations)."
    )


def test_what_cannot_be_told_from_zero_is_no_figure():
    assert findings(clean(make_result(), -5.0, 50.0, (0, 1)))[0] == (
        "Measured clean, against the same model with the blocks removed, a skipped block costs nothing in prefill that "
        "can be told from zero in 2 of 3 configurations and nothing per decode step that can be told from zero in 2 of "
        "3 configurations."
    )
    assert not any("Measured clean" in sentence for sentence in findings(make_result(trace=False)))


def test_what_the_run_noticed_is_passed_on():
    drift = Finding(
        topic="drift", is_warning=True, text="the machine became 30 % slower", advice="compare within"
    )
    settings = Finding(topic="threads", is_warning=False, text="one thread was used")
    result = replace(make_result(), findings=(drift, settings))
    assert warnings(result) == ("Drift: the machine became 30 % slower (compare within).",)
    assert findings(result)[-1] == "Threads: one thread was used."


def test_what_departs_from_the_line_is_counted():
    result = make_result()
    bent = tuple(replace(fit, departures=(("first-08-of-16", 1.0),)) for fit in result.fits)
    assert findings(replace(result, fits=bent))[-1] == (
        "Latency is not a straight line everywhere: 1 configuration departs from it by more than its interval."
    )


def test_a_whole_run_has_no_warnings():
    assert warnings(make_result()) == ()


def test_what_is_missing_is_told():
    result = make_result()
    cut = replace(
        result,
        config=result.config | {"num_samples": 50},
        configurations=(*result.configurations, *map(make_configuration, (1, 2, 3, 5))),
        failures=(Failure(configuration="first-05-of-16", stage="measuring", error="no memory"),),
    )
    assert warnings(cut) == (
        "4 configurations of 8 have no samples: first-01-of-16, first-02-of-16, first-03-of-16 and 1 more.",
        "4 configurations have fewer than the 50 samples asked for: the run was interrupted or parts of it failed.",
        "1 failure: see the table of failures below.",
    )
