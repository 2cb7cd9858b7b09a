from dataclasses import replace

import pytest

from maskprof.config.schema import Variant
from maskprof.reports.cost_tables import block_table, closure_table, overhead_table
from maskprof.reports.headline import headline, subject
from maskprof.reports.knob_tables import knob_table
from maskprof.reports.tables import all_tables, failure_table, fit_table, latency_table
from maskprof.results.schema import Estimate, Failure
from tests.support.results import explicit_configuration, knob_configurations, make_configuration, make_result


def cells(table, key):
    return next(column.cells for column in table.columns if column.key == key)


def keys(table):
    return [column.key for column in table.columns]


def test_latency():
    table = latency_table(make_result())
    assert cells(table, "active") == ("4", "8", "12", "16")
    assert cells(table, "mask")[1] == "████████░░░░░░░░"
    assert cells(table, "prefill_plain") == ("6.82", "11.62", "16.41", "21.20")
    assert cells(table, "prefill")[3] == "21.20 ±0.42"
    assert cells(table, "prefill_share") == ("32 %", "55 %", "77 %", "100 %")
    assert cells(table, "decode_per_token_share") == ("33 %", "55 %", "78 %", "100 %")
    assert cells(table, "ideal") == ("25 %", "50 %", "75 %", "100 %")
    assert table.strong_rows == {3}


def test_each_variant_is_compared_with_its_own_full_model():
    variants = (Variant(), Variant(skip_mode="splice"))
    table = latency_table(make_result([make_configuration(n, 16, v) for v in variants for n in (8, 16)]))
    assert cells(table, "variant") == ("mask-virtual-host",) * 2 + ("splice",) * 2
    assert cells(table, "name") == ("first-08-of-16", "first-16-of-16") * 2
    assert cells(table, "prefill_share") == ("55 %", "100 %") * 2


def test_one_variant_needs_no_column():
    assert "variant" not in keys(latency_table(make_result()))


def test_without_a_full_model_there_are_no_shares():
    table = latency_table(make_result([make_configuration(4), make_configuration(8)]))
    assert "prefill_share" not in keys(table)
    assert "ideal" not in keys(table)
    assert any("no configuration with every block" in note for note in table.notes)


def test_phases_that_do_not_occur_have_no_column():
    table = latency_table(make_result(trace=False, vision_ms=0.0, output_tokens=1))
    assert not {"vision", "decode_per_token", "decode_per_token_share"} & set(keys(table))


def test_overhead():
    table = overhead_table(make_result())
    # The full model skips nothing.
    assert cells(table, "active") == ("4", "8", "12")
    assert cells(table, "prefill_check") == ("<0.10",) * 3
    assert cells(table, "prefill_cache") == ("0.83",) * 3
    assert cells(table, "decode_turn") == ("1.75",) * 3
    assert "prefill_device" not in keys(table)
    assert cells(overhead_table(make_result(device=True)), "decode_device") == ("0.00",) * 3


def test_overhead_without_a_calibrated_instrument_shows_the_figures():
    result = make_result()
    bare = replace(result, attribution=tuple(replace(item, instrument=None) for item in result.attribution))
    table = overhead_table(bare)
    assert cells(table, "prefill_check") == ("0.050",) * 3
    assert not any("resolution" in note for note in table.notes)


def test_closure():
    table = closure_table(make_result())
    assert cells(table, "prefill_clean") == ("2.00 ±0.00",) * 3
    assert cells(table, "prefill_traced") == ("1.75",) * 3
    assert cells(table, "pairs") == ("5",) * 3


def test_closure_without_reference_gives_the_reason():
    result = make_result()
    items = tuple(
        replace(
            item,
            closure=tuple(
                replace(c, clean_us=None, clean_ci95_us=None, pairs=0, note="why") for c in item.closure
            ),
        )
        for item in result.attribution
    )
    table = closure_table(replace(result, attribution=items))
    assert cells(table, "prefill_clean") == ("-",) * 3
    assert "-: why." in table.notes


def test_fits():
    table = fit_table(make_result())
    assert cells(table, "phase") == ("prefill", "decode per token", "total")
    assert cells(table, "slope")[0] == "1.20 ±0.00 ms"
    assert cells(table, "slope")[1] == "118.0 ±0.0 us"
    assert cells(table, "fixed_share")[0] == "9.6 %"
    assert table.notes == ()


def test_departures_are_named_largest_first():
    result = make_result()
    fit = replace(result.fits[0], departures=(("a", 0.1), ("b", -0.5), ("c", 0.2), ("d", 0.3), ("e", 0.01)))
    table = fit_table(replace(result, fits=(fit,)))
    assert table.notes == ("Off the line in prefill: b by -0.5 ms, d by +0.3 ms, c by +0.2 ms, and 2 more.",)
    assert cells(table, "departures") == ("5",)


def test_failures_are_one_line_each():
    failure = Failure(configuration="first-15-of-16", stage="measuring", error="out of\n memory")
    table = failure_table(make_result(failures=(failure,)))
    assert cells(table, "error") == ("out of memory",)
    assert table.title == "Failed: 1 configuration"


def test_only_tables_with_rows():
    nothing = replace(make_result(trace=False), summary=(), fits=())
    assert all_tables(nothing) == ()
    assert len(all_tables(make_result())) == 4


def test_blocks_of_one_configuration():
    table = block_table(make_result().attribution[0])
    assert table.num_rows == 32
    assert cells(table, "active")[:5] == ("active",) * 4 + ("skipped",)
    assert cells(table, "host")[4] == "1.75"
    assert "device" not in keys(table)


def test_masks_of_one_count_keep_what_tells_them_apart():
    masks = [explicit_configuration(blocks) for blocks in ((0, 1), (3, 5))]
    ranks = {column.key: column.rank for column in latency_table(make_result(masks)).columns}
    assert ranks["mask_narrow"] == 0
    # 80 blocks in 16 cells look alike here, so the name has to stay.
    masks = [explicit_configuration(blocks, 80) for blocks in ((0, 1), (1, 2))]
    ranks = {column.key: column.rank for column in latency_table(make_result(masks)).columns}
    assert ranks["name"] == 0
    assert ranks["mask_narrow"] > 0


def test_headline():
    assert headline(make_result()) == (
        "Each active block costs 1.20 ms of prefill and 118 us per decoded token; "
        "8 of 16 blocks run at 55 % of full prefill (ideal 50 %)."
    )


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (
            make_result([explicit_configuration((0, 1)), explicit_configuration((3, 5))]),
            "Prefill takes 4.43 ms (2 configurations measured).",
        ),
        (
            make_result([make_configuration(n) for n in (4, 8, 12)], output_tokens=1),
            "Each active block costs 1.20 ms of prefill.",
        ),
        (
            make_result(
                [
                    make_configuration(n, 16, v)
                    for v in (Variant(), Variant(skip_mode="splice"))
                    for n in (1, 15, 16)
                ]
            ),
            (
                "With mask-virtual-host, each active block costs 1.20 ms of prefill and 118 us per decoded token; "
                "1 of 16 blocks runs at 15 % of full prefill (ideal 6.2 %)."
            ),
        ),
        (replace(make_result(), summary=(), fits=()), "No configuration could be measured."),
    ],
)
def test_headlines_of_other_runs(result, sentence):
    assert headline(result) == sentence


WOULD_TELL = "More than 5 samples per configuration (--num_samples) or a quieter machine would tell."


def test_a_slope_that_may_be_zero_is_no_cost():
    result = make_result()
    fits = tuple(replace(fit, slope_ci95=(-0.1, 2.5)) for fit in result.fits)
    assert headline(replace(result, fits=fits)) == (
        "What an active block costs cannot be told; 8 of 16 blocks run at 55 % of full prefill (ideal 50 %). "
        f"{WOULD_TELL}"
    )
    one = tuple(replace(f, slope_ci95=(-1, 2)) if f.phase == "decode_per_token" else f for f in result.fits)
    assert headline(replace(result, fits=one)).startswith(
        "Each active block costs 1.20 ms of prefill, what it costs per decoded token cannot be told; 8 of 16"
    )
    falling = tuple(replace(f, slope_ms_per_block=-1.0, slope_ci95=(-1.1, -0.9)) for f in result.fits)
    assert headline(replace(result, fits=falling)).startswith(
        "Latency does not grow with the number of active"
    )


def _with_prefill(result, number_of_active, **changes):
    summary = tuple(
        replace(s, prefill=replace(s.prefill, **changes))
        if s.configuration.num_active_blocks == number_of_active
        else s
        for s in result.summary
    )
    return replace(result, summary=summary)


def test_medians_whose_intervals_touch_are_not_said_to_differ():
    wide = _with_prefill(make_result(), 8, median_ci95=(3.0, 60.0))
    assert headline(wide) == (
        "Each active block costs 1.20 ms of prefill and 118 us per decoded token; "
        f"whether 8 of 16 blocks are faster than all cannot be told. {WOULD_TELL}"
    )
    slower = _with_prefill(make_result(), 8, p50=99.0, median_ci95=(98.0, 99.5))
    assert headline(slower).endswith("8 of 16 blocks run at 467 % of full prefill (ideal 50 %).")


def test_of_too_few_samples_no_difference_is_stated():
    result = make_result([make_configuration(1, 3), make_configuration(3, 3)])
    summary = tuple(
        replace(
            s,
            num_samples=3,
            **{
                p: replace(getattr(s, p), median_ci95=None)
                for p in ("prefill", "decode", "decode_per_token", "total")
            },
        )
        for s in result.summary
    )
    assert headline(replace(result, summary=summary)) == (
        "Each active block costs about 1.20 ms of prefill and about 118 us per decoded token; 1 of 3 blocks runs at "
        "about 57 % of full prefill (ideal 33 %). 3 samples per configuration cannot tell it from chance: there are "
        "intervals from 5 on (--num_samples)."
    )


def test_subject():
    assert subject(make_result()) == (
        "demo · 16 blocks · 12.3 M parameters · float32 · cpu · 10 text + 144 image tokens in, 5 out"
    )
    assert subject(replace(make_result(vision_ms=0.0), environment={})) == (
        "demo · 16 blocks · 12.3 M parameters · float32 · 10 text tokens in, 5 out"
    )


def test_knobs_that_vary_have_columns_and_their_own_full_model():
    table = latency_table(make_result(knob_configurations((8, 16), num_crops=(4,), moe_top_k=(2, 8))))
    assert cells(table, "moe_top_k") == ("2", "2", "8", "8")
    assert cells(table, "name") == ("first-08-of-16", "first-16-of-16") * 2
    assert cells(table, "prefill_share") == ("54 %", "100 %", "53 %", "100 %")
    assert not {"num_crops", "max_new_tokens", "prompt_tokens"} & set(keys(table))
    assert any("active at the same top-k;" in note for note in table.notes)


def test_lines_of_few_settings_and_one_fit_of_many():
    few = make_result(knob_configurations((8, 16), moe_top_k=(1, 2, 4, 8)))
    assert cells(fit_table(few), "moe_top_k")[::3] == ("1", "2", "4", "8")
    many = make_result(knob_configurations((8, 16), moe_top_k=(1, 2, 4, 6, 8)))
    assert fit_table(many) is None
    assert knob_table(many) is not None
    # Variants are no knobs.
    assert fit_table(replace(many, knob_fits=())) is not None


def test_what_each_knob_buys():
    table = knob_table(make_result(knob_configurations(num_crops=(1, 4), moe_top_k=(2, 4, 8))))
    assert cells(table, "knob") == ("crops",) * 3 + ("top-k",) * 3
    assert cells(table, "phase")[:3] == ("prefill", "decode per token", "total")
    assert cells(table, "from") == ("16 x 4",) * 3 + ("16 x 8",) * 3
    assert cells(table, "halving_blocks")[0] == "15.98 ±0.00 ms"
    assert cells(table, "halving_knob")[0] == "0.00 ±0.00 ms"
    assert cells(table, "halving_knob")[3] == "6.40 ±0.00 ms"
    assert cells(table, "halving_both")[3] == "19.18 ±0.00 ms"
    assert cells(table, "per_unit")[3] == "1.60 ms"
    assert any("other knobs stand at their largest" in note for note in table.notes)
    assert knob_table(make_result()) is None


def test_the_headline_says_which_knob_buys_most():
    result = make_result(knob_configurations(num_crops=(1, 4), moe_top_k=(2, 8)))
    assert headline(result) == (
        "At crops 4 and top-k 8, each active block costs 2.00 ms of prefill and 198 us per decoded token; "
        "8 of 16 blocks run at 53 % of full prefill (ideal 50 %). Of the total, halving the blocks buys most: "
        "30.2 ms; halving the top-k 12.2 ms and the crops 2.00 ms."
    )
    unclear = Estimate(value=5.0, ci95=(-1.0, 11.0))
    fits = tuple(replace(fit, halving_blocks_ms=unclear, halving_knob_ms=unclear) for fit in result.knob_fits)
    assert headline(replace(result, knob_fits=fits)).endswith(
        f" What halving the blocks, the crops and the top-k saves cannot be told. {WOULD_TELL}"
    )
    costly = Estimate(value=-5.0, ci95=(-6.0, -4.0))
    none = tuple(replace(fit, halving_blocks_ms=costly, halving_knob_ms=costly) for fit in result.knob_fits)
    assert headline(replace(result, knob_fits=none)).endswith(" No knob measurably buys anything.")
    half = tuple(replace(fit, halving_blocks_ms=replace(unclear, value=99.0)) for fit in result.knob_fits)
    assert headline(replace(result, knob_fits=half)).endswith(
        " Of the total, halving saves: the top-k 12.2 ms and the crops 2.00 ms; "
        f"what halving the blocks saves cannot be told. {WOULD_TELL}"
    )
    less = tuple(
        replace(f, halving_knob_ms=unclear) if f.knob == "moe_top_k" else f for f in result.knob_fits
    )
    assert headline(replace(result, knob_fits=less)).endswith(
        f" Of the total, halving the blocks buys most: 30.2 ms; halving the crops 2.00 ms; "
        f"what halving the top-k saves cannot be told. {WOULD_TELL}"
    )
    alone = make_result(knob_configurations((4, 8, 16), num_crops=(1, 64)))
    assert headline(alone).startswith("At crops 64, each active block costs")
    assert "halving the crops buys most" in headline(alone)


def test_the_subject_gives_ranges():
    assert subject(make_result(knob_configurations(num_crops=(1, 12), max_new_tokens=(1, 64)))).endswith(
        "10 text + 288 to 1872 image tokens in, 1 to 64 out"
    )
