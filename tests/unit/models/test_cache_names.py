"""By which names a forward is handed what the one before it returned."""

from inspect import Parameter, Signature
from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from maskprof.errors import ModelError
from maskprof.models.cache_names import RETURNED_NAME, cache_argument, cache_arguments, carried
from tests.support.molmo_models import text_inputs, tiny_molmo
from tests.support.tiny_models import tiny_model


def newer(input_ids, cache=None, **kwargs): ...
def older(input_ids, past_key_values=None, **kwargs): ...
def recurrent(input_ids, state=None): ...
def around(*args, **kwargs): ...
def without(input_ids): ...


@pytest.mark.parametrize(
    ("forward", "name"),
    [(newer, "cache"), (older, "past_key_values"), (recurrent, None), (around, None), (without, None)],
)
def test_the_argument_for_a_cache_is_found_by_its_name(forward, name):
    assert cache_argument(forward) == name


def test_a_model_of_transformers_takes_its_cache_by_the_name_it_returns_it_under():
    assert cache_argument(tiny_model("llama").forward) == RETURNED_NAME


@pytest.mark.parametrize(
    ("forward", "name"),
    [(newer, "cache"), (older, "past_key_values"), (around, RETURNED_NAME)],
)
def test_a_returned_cache_is_handed_on_by_the_name_the_forward_has_for_it(forward, name):
    cache = DynamicCache()
    output = CausalLMOutputWithPast(logits=torch.zeros(1), **{RETURNED_NAME: cache})
    past = carried(output, cache_arguments(forward))
    assert list(past) == [name]
    assert past[name] is cache


@pytest.mark.parametrize("name", ["cache", "past_key_values", "cache_params", "state", "mems"])
def test_what_has_another_name_is_carried_by_it(name):
    def forward(**kwargs): ...

    by_name = Parameter(name, Parameter.KEYWORD_ONLY)
    forward.__signature__ = Signature([by_name, Parameter("rest", Parameter.VAR_KEYWORD)])
    assert carried(SimpleNamespace(**{name: "kept"}), cache_arguments(forward)) == {name: "kept"}


@pytest.mark.parametrize("forward", [newer, around, recurrent, without])
def test_where_nothing_comes_back_nothing_is_carried(forward):
    assert carried(CausalLMOutputWithPast(logits=torch.zeros(1)), cache_arguments(forward)) == {}


def test_a_molmo_takes_its_cache_by_either_name_and_not_by_both():
    model = tiny_molmo("moe")
    step = {"input_ids": torch.tensor([[5]]), "use_cache": True}
    logits = []
    with torch.inference_mode():
        for name in ("cache", "past_key_values"):
            past = model(**text_inputs(5), use_cache=True)[RETURNED_NAME]
            logits.append(model(**step, **{name: past}).logits)
            assert past.get_seq_length() == 6
        assert torch.equal(*logits)
        with pytest.raises(ModelError, match="as cache or as past_key_values, not as both"):
            model(**step, cache=past, past_key_values=past)
