"""The number of active experts: set as if the configuration had said so, and put back."""

import copy

import pytest
import torch

from maskprof.errors import ModelError
from maskprof.models.experts import active_experts, count_experts
from maskprof.models.tiny import architectures, full_logits, tiny_inputs, tiny_model
from maskprof.models.unsupported import NOT_SUPPORTED
from maskprof.skipping.wrapper import BlockMaskWrapper

BY_TYPE = {architecture.model_type: architecture for architecture in reversed(architectures())}

# Model type: what it needs to have experts, and where its configuration keeps the number.
FAMILIES = {
    "olmoe": {},
    "mixtral": {},
    "qwen2_moe": {},
    "qwen3_moe": {},
    "qwen3_next": {},
    "deepseek_v2": {},
    "deepseek_v3": {},
    "gpt_oss": {},
    "granitemoe": {},
    "jetmoe": {},
    "dbrx": {},
    "llama4_text": {},
    "ernie4_5_moe": {},
    "aria": {},
    "jamba": {},
    "gemma4_text": {
        "enable_moe_block": True,
        "num_experts": 4,
        "top_k_experts": 2,
        "moe_intermediate_size": 16,
    },
    "hunyuan_v1_moe": {"num_experts": 4, "moe_topk": [2, 2, 1, 2]},
}
KEYS = (
    *("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_top_k", "moe_k"),
    "num_selected_experts",
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def with_configured(model, k):
    """The same weights under a configuration that names `k`: shares no code with what is tested."""
    config = copy.deepcopy(model.config)
    text = config.get_text_config(decoder=True)
    for part in (text, getattr(text, "ffn_config", None)):
        for key in KEYS:
            value = getattr(part, "__dict__", {}).get(key)
            if value:
                part.__dict__[key] = [k] * len(value) if isinstance(value, list) else k
    built = type(model)._from_config(config, dtype=torch.float32).eval()
    built.load_state_dict(model.state_dict())
    return built


def state(model):
    """Everything of the modules and configurations that is a plain value."""
    plain = (int, float, str, bool, list, type(None))
    holders = [*model.modules(), model.config, *vars(model.config.get_text_config(decoder=True)).values()]
    holders.append(model.config.get_text_config(decoder=True))
    return [
        {key: copy.copy(value) for key, value in vars(holder).items() if isinstance(value, plain)}
        for holder in holders
        if hasattr(holder, "__dict__")
    ]


def check_family(architecture, settings):
    model = tiny_model(architecture, settings=settings)
    inputs = tiny_inputs(model, architecture)
    before, usual = state(model), full_logits(model, inputs)
    assert count_experts(model) == 4
    changed = []
    for k in (1, 2, 3, 4):
        with active_experts(model, k):
            logits = full_logits(model, inputs)
        assert torch.equal(logits, full_logits(with_configured(model, k), inputs)), k
        changed.append(not torch.equal(logits, usual))
        assert state(model) == before
    assert sum(changed) >= 3
    assert torch.equal(full_logits(model, inputs), usual)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_it_is_as_if_configured(model_type):
    check_family(BY_TYPE[model_type], FAMILIES[model_type])


# Of these the tiny models have no experts, or the number cannot be set: see below.
APART = {"doge", "gemma4", "gemma4_text", "hunyuan_v1_moe", "phimoe", "longcat_flash", "deepseek_v4"}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", architectures(), ids=lambda a: f"{a.model_type}-{a.task}")
def test_it_is_as_if_configured_on_every_architecture(architecture):
    if architecture.model_type in {*NOT_SUPPORTED, *APART}:
        pytest.skip("has a test of its own, or is not supported")
    try:
        model = tiny_model(architecture)
    except ModelError as error:
        pytest.skip(str(error))
    if count_experts(model) is None:
        pytest.skip("has no experts")
    check_family(architecture, None)


def test_it_is_restored_after_an_exception():
    model = tiny_model(BY_TYPE["olmoe"])
    before = state(model)

    def fail_inside():
        with active_experts(model, 1):
            assert state(model) != before
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_inside()
    assert state(model) == before


def test_it_goes_together_with_a_mask():
    architecture = BY_TYPE["qwen3_moe"]
    model = tiny_model(architecture)
    inputs, before = tiny_inputs(model, architecture), state(model)
    mask = [True, False, True, False]
    with active_experts(model, 1), BlockMaskWrapper(model, mask):
        masked = full_logits(model, inputs)
    with BlockMaskWrapper(model, mask, skip="remove"), active_experts(model, 1):
        removed = full_logits(model, inputs)
    with BlockMaskWrapper(with_configured(model, 1), mask) as wrapper:
        expected = full_logits(wrapper.model, inputs)
    assert torch.equal(masked, expected)
    assert torch.equal(removed, expected)
    assert state(model) == before


@pytest.mark.parametrize(
    ("model_type", "k", "sentence"),
    [
        ("llama", 2, "LlamaForCausalLM has no experts whose number could be set"),
        ("olmoe", 5, "OlmoeForCausalLM has 4 experts in a block, so 5 cannot be active"),
        ("olmoe", 0, "OlmoeForCausalLM has 4 experts in a block, so 0 cannot be active"),
        ("hunyuan_v1_moe", 2, "HunYuanMoEV1ForCausalLM has 1 expert in a block, so 2 cannot be active"),
        ("phimoe", 1, "PhimoeForCausalLM uses a fixed number of experts, whatever is set"),
        ("longcat_flash", 1, "LongcatFlashForCausalLM fails with 1 expert active: "),
        ("deepseek_v4", 1, r"choose experts by a fixed table for each token \(DeepseekV4HashRouter\)"),
    ],
)
def test_what_cannot_be_set_is_told(model_type, k, sentence):
    model = tiny_model(BY_TYPE[model_type])
    before = state(model)
    with pytest.raises(ModelError, match=rf"^--moe_top_k: .*{sentence}"), active_experts(model, k):
        pass
    assert state(model) == before


def test_models_without_experts_have_none_to_count():
    assert count_experts(tiny_model(BY_TYPE["llama"])) is None
    assert count_experts(tiny_model(BY_TYPE["gemma4_text"])) is None
