"""Settings of the knobs, and the names that they give."""

from hypothesis import given
from hypothesis import strategies as st

from maskprof.config.knobs import KNOBS, Knobs, knob_suffix, varying_knobs


def test_only_what_varies_is_named():
    settings = [Knobs(num_crops=4, moe_top_k=k, max_new_tokens=10) for k in (2, 8)]
    assert varying_knobs(settings) == ("moe_top_k",)
    assert [knob_suffix(knobs, settings) for knobs in settings] == ["-topk02", "-topk08"]
    assert knob_suffix(settings[0], settings[:1]) == ""


def test_all_four():
    settings = [
        Knobs(num_crops=4, prompt_tokens=512, moe_top_k=2, max_new_tokens=64),
        Knobs(num_crops=12, prompt_tokens=2048, moe_top_k=8, max_new_tokens=1),
    ]
    assert knob_suffix(settings[0], settings) == "-crops04-prompt0512-topk02-new0064"
    assert tuple(settings[0].to_dict()) == KNOBS


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=6, unique=True))
def test_names_sort_as_the_numbers_do(values):
    settings = [Knobs(prompt_tokens=value) for value in values]
    by_name = sorted(settings, key=lambda knobs: knob_suffix(knobs, settings))
    assert [knobs.prompt_tokens for knobs in by_name] == sorted(values)
