import csv
import io
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof.config.knobs import KNOBS, Knobs
from maskprof.config.schema import Variant
from maskprof.errors import ResultError
from maskprof.results.circumstances import Finding, GpuState, MachineState, Sitting, Warmup
from maskprof.results.schema import Failure, Fit, RunResult
from maskprof.results.serialize import dump_result, load_result
from maskprof.results.serialize_attribution import (
    CSV_COLUMNS,
    dump_attribution,
    dump_attribution_csv,
    load_attribution,
)
from tests.support.results import knob_configurations, make_configuration, make_result

SEVEN = {"P50", "P95", "P99", "mean", "std", "min", "max"}


def there_and_back(result: RunResult) -> RunResult:
    attribution = load_attribution(dump_attribution(result), "attribution.json")
    return load_result(dump_result(result), "result.json", attribution)


def test_round_trip_is_exact():
    result = make_result(
        device=True,
        failures=(Failure(configuration="first-15-of-16", stage="measuring", error='"out of\nmemory" é'),),
    )
    assert there_and_back(result) == result


def test_round_trip_of_what_may_be_absent():
    for result in (
        make_result(trace=False, vision_ms=0.0, output_tokens=1),
        make_result([make_configuration(n, 16, Variant(skip_mode="splice")) for n in (4, 8)]),
        replace(make_result(), summary=(), samples=(), fits=(), configurations=(), attribution=()),
    ):
        assert there_and_back(result) == result


def test_round_trip_of_circumstances():
    state = MachineState(
        round=2, cpu_mhz=None, probe_us=61.5, others_share=0.25, stolen_share=0.0, load=1.5, gpu=None
    )
    hot = GpuState(sm_mhz=1410, temperature_c=None, power_w=300.5, slowed_by=("power cap", "sync boost"))
    warmup = Warmup(rounds=3, changed_at=1, ended="settled", round_ms=(9.5, 3.25, 3.0))
    result = replace(
        make_result(),
        sittings=(
            Sitting(warmup=warmup, states=(state, replace(state, gpu=hot, load=None))),
            Sitting(
                number=2, configuration="first-04-of-16", environment={"host": "é"}, warmup=None, states=()
            ),
        ),
        findings=(Finding(topic="load", is_warning=True, text="é", advice=""),),
    )
    assert there_and_back(result) == result


def test_results_of_before_circumstances_were_stored():
    document = json.loads(dump_result(make_result()))
    for entry in document["summary"]:
        for phase in ("prefill", "decode", "decode_per_token", "vision", "total"):
            del entry[phase]["effective_samples"]
    del document["sittings"], document["findings"]
    for sample in document["all_samples"]:
        del sample["sitting"]
    loaded = load_result(json.dumps(document), "result.json")
    assert (loaded.sittings, loaded.findings) == ((), ())
    assert {sample.sitting for sample in loaded.samples} == {1}
    assert loaded.summary[0].prefill.effective_samples is None


def test_sittings_of_before_they_were_numbered():
    warmup = Warmup(rounds=1, changed_at=0, ended="settled", round_ms=(9.5,))
    document = json.loads(dump_result(replace(make_result(), sittings=(Sitting(warmup=warmup, states=()),))))
    for key in ("number", "configuration", "environment"):
        del document["sittings"][0][key]
    assert load_result(json.dumps(document), "result.json").sittings == (Sitting(warmup=warmup, states=()),)


times = st.floats(min_value=0, max_value=1e9, allow_nan=False)


@given(times=st.lists(times, min_size=4, max_size=4), steps=st.lists(times, max_size=3), order=st.randoms())
@settings(max_examples=40, deadline=None)
def test_round_trip_keeps_every_bit_and_the_order_of_measuring(times, steps, order):
    result = make_result(trace=False)
    shuffled = list(result.samples)
    order.shuffle(shuffled)
    vision, prefill, decode, total = times
    shuffled[0] = replace(
        shuffled[0],
        vision_ms=vision,
        prefill_ms=prefill,
        decode_ms=decode,
        total_ms=total,
        decode_step_ms=tuple(steps),
    )
    result = replace(result, samples=tuple(shuffled))
    assert there_and_back(result) == result


def test_the_keys_are_the_research_documents():
    result = make_result()
    document = json.loads(dump_result(result))
    entry = document["summary"][0]
    assert (entry["num_active_blocks"], entry["num_total_blocks"]) == (4, 16)
    assert entry["active_block_indices"] == [0, 1, 2, 3]
    for phase in ("prefill", "decode", "decode_per_token", "vision", "total"):
        assert set(entry[phase]) == SEVEN | {"P50_ci95", "effective_samples"}
    assert entry["prefill"]["P50"] == result.summary[0].prefill.p50
    assert (entry["skip_mode"], entry["dummy_cache"], entry["mask_on"]) == ("mask", "virtual", "host")
    sample = document["all_samples"][0]
    assert {
        "sample_id",
        "num_active_blocks",
        "num_total_blocks",
        "active_block_indices",
        "T_vision_total",
        "T_LLM_prefill",
        "T_LLM_decode",
        "T_total",
        "num_input_text_tokens",
        "num_vision_tokens",
        "num_output_tokens",
    } <= set(sample)
    assert sample["T_LLM_prefill"] == result.samples[0].prefill_ms
    assert (sample["T_vision_encoder"], sample["T_projector"]) == pytest.approx((2.4, 0.8))
    assert sample["T_remainder"] == pytest.approx(0.1)
    assert len(document["all_samples"]) == 20
    assert len(document["reference_samples"]) == 15
    assert document["schema_version"] == 1
    assert document["environment"]["torch"] == "2.13.0"
    assert document["config"]["num_active_blocks"] == [4, 8, 12, 16]


def test_a_phase_that_does_not_occur_is_an_empty_object():
    entry = json.loads(dump_result(make_result(trace=False, vision_ms=0.0, output_tokens=1)))["summary"][0]
    assert entry["vision"] == {}
    assert entry["decode_per_token"] == {}
    assert entry["decode"]["P50"] == 0


def test_nan_is_null():
    result = make_result(trace=False)
    broken = replace(
        result,
        environment={"clock": math.nan, "list": [math.inf]},
        samples=(replace(result.samples[0], prefill_ms=math.nan), *result.samples[1:]),
        fits=(
            Fit(
                phase="prefill",
                variant="v",
                num_points=2,
                slope_ms_per_block=1.0,
                intercept_ms=math.nan,
                slope_ci95=None,
                intercept_ci95=None,
                r2=None,
                departures=(("a", 0.5),),
            ),
        ),
    )
    text = dump_result(broken)
    assert "NaN" not in text
    assert "Infinity" not in text
    document = json.loads(text)
    assert document["all_samples"][0]["T_LLM_prefill"] is None
    loaded = load_result(text, "result.json")
    assert math.isnan(loaded.samples[0].prefill_ms)
    assert math.isnan(loaded.fits[0].intercept_ms)
    assert loaded.environment == {"clock": None, "list": [None]}


def test_every_attributed_block_has_the_contracts_keys():
    entries = json.loads(dump_attribution(make_result(device=True)))
    assert entries[0]["configuration"] == "first-04-of-16"
    phases = entries[0]["phases"]
    assert list(phases) == ["prefill", "decode"]
    assert len(phases["decode"]["blocks"]) == 16
    for block in phases["decode"]["blocks"]:
        assert set(block) == {
            "block",
            "active",
            "host_us",
            "device_us",
            "mask_check_us",
            "cache_us",
            "kernel_count",
        }
    assert entries[0]["instrument"]["inner_us"] == 0.5
    assert entries[0]["closure"][0]["clean_us"] == pytest.approx(24.0)
    assert entries[0]["account"] == {"events": 1000, "linked": 900, "before_window": 0}


def test_the_csv_is_flat():
    rows = list(csv.DictReader(io.StringIO(dump_attribution_csv(make_result()))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 4 * 2 * 16
    assert rows[0]["configuration"] == "first-04-of-16"
    assert (rows[0]["phase"], rows[0]["block"], rows[0]["active"]) == ("prefill", "0", "true")
    assert rows[0]["device_us"] == ""
    assert float(rows[15]["host_us"]) == 1.75
    assert rows[15]["active"] == "false"


def damage(change) -> str:
    document = json.loads(dump_result(make_result()))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "f.json is not valid JSON"),
        ('{"schema_version": 1, "all_sam', "f.json is not valid JSON"),
        ("[1, 2]", "f.json is no result file of maskprof"),
        ('{"traceEvents": []}', "f.json is no result file of maskprof"),
        (damage(lambda d: d.update(schema_version=99)), "newer maskprof.*upgrade"),
        (damage(lambda d: d.update(schema_version="one")), "schema_version 'one'"),
        (damage(lambda d: d["summary"][0].pop("prefill")), "damaged: an entry lacks 'prefill'"),
        (
            damage(lambda d: d["all_samples"][3].update(T_total="fast")),
            "'T_total' should be a number, got 'fast'",
        ),
        (damage(lambda d: d["all_samples"].append(None)), "f.json is damaged"),
        (damage(lambda d: d["summary"][0].update(name="other")), "damaged: an entry lacks 'other'"),
        (damage(lambda d: d["fits"][0].update(slope_ci95=[1])), "f.json is damaged"),
    ],
)
def test_what_cannot_be_read_gets_one_sentence(text, sentence):
    with pytest.raises(ResultError, match=sentence):
        load_result(text, "f.json")


@pytest.mark.parametrize("text", ["{}", "[{}]", '[{"configuration": 3}]', "nonsense"])
def test_attribution_that_cannot_be_read_gets_one_sentence(text):
    with pytest.raises(ResultError, match=r"a\.json"):
        load_attribution(text, "a.json")


def test_knobs_and_their_fits_come_back():
    for result in (
        make_result(knob_configurations(num_crops=(1, 4), moe_top_k=(2, 8), max_new_tokens=(5,))),
        make_result(knob_configurations((8, 16), max_new_tokens=(1, 16)), trace=False),
    ):
        assert result.knob_fits
        assert there_and_back(result) == result


def test_each_entry_names_the_knobs():
    result = make_result(knob_configurations(num_crops=(1, 4), max_new_tokens=(5,)))
    document = json.loads(dump_result(result))
    expected = {"num_crops": 4, "prompt_tokens": None, "moe_top_k": None, "max_new_tokens": 5}
    for entries in (document["summary"], document["all_samples"], document["configurations"]):
        assert expected.items() <= entries[-1].items()
    fit = document["knob_fits"][0]
    assert (fit["knob"], fit["phase"], fit["num_points"]) == ("num_crops", "prefill", 6)
    assert set(fit["halving_both_ms"]) == {"value", "ci95"}
    assert "num_crops" in CSV_COLUMNS
    rows = list(csv.DictReader(io.StringIO(dump_attribution_csv(result))))
    assert (rows[-1]["num_crops"], rows[-1]["moe_top_k"]) == ("4", "")
    assert json.loads(dump_attribution(result))[-1]["num_crops"] == 4


def test_results_of_before_there_were_knobs_still_load():
    result = make_result(knob_configurations(moe_top_k=(2,), max_new_tokens=(5,)))
    document = json.loads(dump_result(result))
    del document["knob_fits"]
    for key in ("configurations", "summary", "all_samples", "reference_samples", "fits"):
        for entry in document[key]:
            for knob in KNOBS:
                entry.pop(knob, None)
    loaded = load_result(json.dumps(document), "f.json")
    assert {configuration.knobs for configuration in loaded.configurations} == {Knobs()}
    assert loaded.knob_fits == ()
    assert [s.prefill_ms for s in loaded.samples] == [s.prefill_ms for s in result.samples]
