"""Tiny models: every architecture's default configuration made small, and run with and without a cache."""

import pytest
import torch
import transformers

from maskprof.errors import ModelError
from maskprof.models.shrinking.configs import shrunk_config
from maskprof.models.tiny import (
    NOT_CACHE_CONSISTENT,
    Architecture,
    architectures,
    cached_logits,
    full_logits,
    tiny_config,
    tiny_inputs,
    tiny_model,
)
from maskprof.models.unsupported import NOT_SUPPORTED

_DIVERSE = (
    "llama",  # the plain case
    "gpt2",  # positional cache argument, own names for sizes
    "bert",  # an encoder told to decode
    "bart",  # the decoder of a pair
    "gemma2",  # sliding and full layers in turn
    "mixtral",  # experts
    "deepseek_v3",  # latent attention, grouped experts
    "qwen3_next",  # linear and full layers
    "mamba2",  # linear layers only
    "nemotron_h",  # layers without a cache slot
    "zamba2",  # one block shared by several layers
    "rwkv",  # a state instead of a cache
    "openai-gpt",  # no cache at all
    "recurrent_gemma",  # state inside its modules
    "musicgen",  # several codebooks
    "qwen2_vl",  # rotary sections, vision tower
    "idefics",  # needs tensors of an image
)
_PROMPT = 8
_TOKENS = 11
_TOLERANCE = 1e-3
"""Of the largest logit; chunked scans differ from single steps by some 1e-4."""


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    yield
    torch.set_num_threads(threads)


def _named(model_type, task="causal-lm"):
    return next(
        architecture
        for architecture in sorted(architectures(), key=lambda one: one.task != task)
        if architecture.model_type == model_type
    )


def _assert_runs(model, architecture):
    inputs = tiny_inputs(model, architecture, tokens=_TOKENS)
    full = full_logits(model, inputs)
    assert full.isfinite().all()
    assert full.std() > 0.05
    steps = cached_logits(model, architecture, inputs, prompt=_PROMPT)
    assert steps.isfinite().all()
    if architecture.model_type not in NOT_CACHE_CONSISTENT:
        expected = full[:, _PROMPT - 1 :]
        assert (steps - expected).abs().max() <= _TOLERANCE * expected.abs().max()


def test_every_entry_is_named_once():
    found = architectures()
    assert len({(one.model_type, one.class_name) for one in found}) == len(found)
    assert {one.task for one in found} == {"causal-lm", "image-text-to-text"}


def test_reasons_are_given_for_known_architectures():
    known = {one.model_type for one in architectures()}
    since_5_24 = {"dory", "inkling2_loop", "inkling2_loop_text"}
    assert set(NOT_SUPPORTED) <= known | since_5_24
    assert set(NOT_CACHE_CONSISTENT) <= known


@pytest.mark.parametrize("model_type", _DIVERSE)
def test_tiny_model_runs(model_type):
    architecture = _named(model_type)
    model = tiny_model(architecture)
    assert sum(parameter.numel() for parameter in model.parameters()) < 2_000_000
    assert not model.training
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    _assert_runs(model, architecture)


@pytest.mark.parametrize("blocks", [1, 3, 6])
@pytest.mark.parametrize("model_type", ["llama", "gemma2", "qwen3_next", "gpt_neo"])
def test_blocks_is_the_number_of_layers(model_type, blocks):
    config = tiny_config(_named(model_type), blocks=blocks)
    assert config.num_hidden_layers == blocks
    assert len(getattr(config, "layer_types", None) or range(blocks)) == blocks


def test_every_kind_of_layer_is_kept():
    assert set(tiny_config(_named("lfm3")).layer_types) == {"conv", "full_attention", "sliding_attention"}


def test_settings_reach_the_text_stack():
    config = tiny_config(_named("gemma3"), settings={"sliding_window": 3})
    assert config.text_config.sliding_window == 3


def test_the_seed_decides_the_weights_and_nothing_else_changes():
    state = torch.random.get_rng_state()
    first, again, other = (tiny_model(_named("llama"), seed=seed).lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_special_tokens_are_not_among_the_inputs():
    architecture = _named("qwen2_vl")
    model = tiny_model(architecture)
    assert model.config.image_token_id < model.config.text_config.vocab_size
    ids = tiny_inputs(model, architecture, batch=8, tokens=100)["input_ids"]
    assert model.config.image_token_id not in ids


def test_each_block_changes_the_logits():
    architecture = _named("llama")
    model = tiny_model(architecture)
    inputs = tiny_inputs(model, architecture)
    untouched = full_logits(model, inputs)
    for block in model.model.layers:
        hook = block.register_forward_hook(lambda module, args, output: args[0])
        assert (full_logits(model, inputs) - untouched).abs().max() > 0.03 * untouched.abs().max()
        hook.remove()


def test_what_cannot_be_built_says_why():
    with pytest.raises(ModelError, match=r"no tiny Absent.*can be built"):
        tiny_model(Architecture(model_type="llama", task="causal-lm", class_name="AbsentForCausalLM"))


def test_a_configuration_without_declared_fields_is_told():
    class Older:
        def get_text_config(self, **_):
            return self

    with pytest.raises(TypeError, match=r"transformers 5.4 or newer is needed, this is \d"):
        shrunk_config(Older(), blocks=2)


@pytest.mark.slow
def test_nearly_every_architecture_is_built_and_runs():
    not_built, not_run, ran = {}, {}, []
    for architecture in architectures():
        try:
            model = tiny_model(architecture)
        except ModelError as error:
            not_built[architecture.model_type] = str(error)
            continue
        if architecture.model_type in NOT_SUPPORTED:
            continue
        try:
            _assert_runs(model, architecture)
        except Exception as error:  # noqa: BLE001 - one architecture's failure must not hide the others'
            not_run[architecture.class_name] = f"{type(error).__name__}: {error}"
        else:
            ran.append(architecture)
    missing_package = {name for name, reason in not_built.items() if "a package is missing" in reason}
    assert set(not_built) - missing_package == {"gemma4_assistant", "gemma4_unified_assistant"}
    assert missing_package <= {"gemma3n", "fast_vlm", "perception_lm", "inkling_mm_model"}
    assert not_run == {}
    assert len(ran) >= 257
