"""Which runs may be put together: every difference is named."""

import dataclasses
from dataclasses import fields

import pytest
import torch
from PIL import Image

from maskprof import experiment
from maskprof.config.schema import RunConfig
from maskprof.errors import ResultError
from maskprof.results.journal import differences
from maskprof.sweep import identity, setup
from maskprof.sweep.identity import COMPARED, NOT_COMPARED, identity_of, weights_fingerprint
from tests.support.small_runs import Display, loaded_llama, settings

ENVIRONMENT = {"host": "here", "cpu": "a", "device": "a", "torch": "2.13.0", "threads": 1, "python": "3.11"}


def test_every_setting_is_compared_or_has_its_reason_not_to_be():
    assert {field.name for field in fields(RunConfig)} == {*COMPARED, *NOT_COMPARED}
    assert not set(COMPARED) & set(NOT_COMPARED)


def changed(before_loaded, now_loaded, *, config=None, environment=None):
    now_config, now_environment = config or settings(), ENVIRONMENT | (environment or {})
    return differences(
        identity_of(settings(), (), before_loaded, ENVIRONMENT),
        identity_of(now_config, (), now_loaded, now_environment),
    )


def test_the_same_model_loaded_twice_is_the_same():
    assert changed(loaded_llama(), loaded_llama()) == []


@pytest.mark.parametrize(
    ("name", "before", "now"),
    [
        ("name", "'tiny'", "other"),
        ("source", "'directory'", "hub"),
        ("architecture", "'LlamaForCausalLM'", "Qwen"),
        ("dtype", "'float32'", "float16"),
    ],
)
def test_facts_of_the_model(name, before, now):
    assert changed(loaded_llama(), loaded_llama(**{name: now})) == [f"model.{name} was {before}, now {now!r}"]


def test_one_changed_weight_tensor_is_seen():
    other = loaded_llama()
    other.model.model.layers[2].mlp.up_proj.weight.mul_(1.01)
    (difference,) = changed(loaded_llama(), other)
    assert difference.startswith("model.weights was '")


def test_a_changed_configuration_is_seen_and_where_it_came_from_is_not():
    other = loaded_llama()
    other.model.config.rope_parameters = {"rope_type": "default", "rope_theta": 5.0}
    other.model.config._name_or_path = "/somewhere/else"
    (difference,) = changed(loaded_llama(), other)
    assert difference.startswith("model.config was '")


def test_weights_that_are_not_here_count_by_their_shape():
    with torch.device("meta"):
        small, large = torch.nn.Linear(2, 3), torch.nn.Linear(2, 4)
    assert weights_fingerprint(small) == weights_fingerprint(small)
    assert weights_fingerprint(small) != weights_fingerprint(large)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("threads", 2, "machine.threads was 1, now 2"),
        ("torch", "2.14.0", "machine.torch was '2.13.0', now '2.14.0'"),
        ("device", "b", "machine.device was 'a', now 'b'"),
        ("host", "there", "machine.host was 'here', now 'there'"),
        ("python", "3.12", "machine.python was '3.11', now '3.12'"),
    ],
)
def test_the_machine(key, value, said):
    assert changed(loaded_llama(), loaded_llama(), environment={key: value}) == [said]


def test_the_processors_that_may_be_used(monkeypatch):
    before = identity_of(settings(), (), loaded_llama(), ENVIRONMENT)
    monkeypatch.setattr(identity.os, "sched_getaffinity", lambda _pid: set(range(77)), raising=False)
    (difference,) = differences(before, identity_of(settings(), (), loaded_llama(), ENVIRONMENT))
    assert difference.startswith("machine.processors was ")
    assert difference.endswith(", now 77")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"skip_mode": ("remove",)}, "settings.skip_mode was ['mask'], now ['remove']"),
        ({"dummy_cache": ("zeros",)}, "settings.dummy_cache was ['virtual'], now ['zeros']"),
        ({"mask_on": ("device",)}, "settings.mask_on was ['host'], now ['device']"),
        ({"isolate": True}, "settings.isolate was False, now True"),
        ({"attn_implementation": "eager"}, "settings.attn_implementation was None, now 'eager'"),
    ],
)
def test_settings(changes, said):
    assert changed(loaded_llama(), loaded_llama(), config=settings(**changes)) == [said]


def test_a_picture_is_compared_by_what_is_in_it(tmp_path):
    picture = tmp_path / "cat.png"
    Image.new("RGB", (4, 4), "red").save(picture)
    config = settings(image=str(picture))
    before = identity_of(config, (), loaded_llama(), ENVIRONMENT)
    Image.new("RGB", (4, 4), "blue").save(picture)
    (difference,) = differences(before, identity_of(config, (), loaded_llama(), ENVIRONMENT))
    assert difference.startswith("settings.picture was '")


def test_what_may_differ_does_not_stop_a_run_from_going_on(model):
    experiment.run(settings(), Display())
    more = settings(resume=True, num_samples=3, closure_samples=2, timeout_per_config=60.0, num_warmup=1)
    assert [s.num_samples for s in experiment.run(more, Display()).result.summary] == [3, 3]


def test_the_sentence(model, monkeypatch):
    experiment.run(settings(), Display())
    other = dataclasses.replace(loaded_llama(), name="other")
    other.model.lm_head.weight.mul_(2)
    monkeypatch.setattr(setup, "load_model", lambda config, device: other)
    before, now = weights_fingerprint(model), weights_fingerprint(other.model)
    with pytest.raises(ResultError) as refused:
        experiment.run(settings(resume=True, skip_mode=("splice",)), Display())
    assert str(refused.value) == (
        "out/journal.jsonl is of another run, so it cannot be resumed: model.name was 'tiny', now 'other'; "
        f"model.weights was '{before}', now '{now}'; settings.skip_mode was ['mask'], now ['splice']. "
        "Give the old settings, another --output_dir, or leave --resume out to start anew"
    )
