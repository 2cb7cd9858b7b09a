"""A mask gives, bit for bit, what the same model gives with those blocks left out."""

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper
from maskprof.models.blocks import probe
from tests.support.tiny_models import BLOCKS, FAMILIES, LegacyDecoder, rebuilt_without, tiny_model

MASKS = [
    BlockMask.from_indices(active, BLOCKS)
    for active in ([0, 1, 2, 3], [0, 1], [2, 3], [1, 2], [0, 3], [2], [1, 2, 3], [0, 2], [1, 3], [0, 1, 3])
]
PROMPT, TOKENS = 8, 12


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def token_ids(rows=2, tokens=TOKENS):
    return torch.randint(3, 60, (rows, tokens), generator=torch.Generator().manual_seed(1))


def run(model, ids):
    """Logits of one forward without a cache, and of prefill and single-token steps with one."""
    with torch.inference_mode():
        whole = model(input_ids=ids, use_cache=False).logits
        output = model(input_ids=ids[:, :PROMPT], use_cache=True)
        steps = [output.logits]
        for position in range(PROMPT, ids.shape[1]):
            output = model(
                input_ids=ids[:, position : position + 1],
                past_key_values=output.past_key_values,
                use_cache=True,
            )
            steps.append(output.logits)
    return whole, torch.cat(steps, dim=1)


@pytest.mark.parametrize("family", [*FAMILIES, "molmo2"])
def test_logits_equal_those_of_the_rebuilt_model(family):
    model, ids = tiny_model(family), token_ids()
    path = probe(model).path
    unmasked = run(model, ids)
    for mask in MASKS:
        active = list(mask.active_indices)
        if family == "qwen3_next" and 3 not in active:
            continue  # without its only attention block the rebuilt model itself cannot run
        expected = run(rebuilt_without(model, path, active), ids)
        for dummy_cache in ("virtual", "zeros"):
            with BlockMaskWrapper(model, mask, dummy_cache=dummy_cache):
                got = run(model, ids)
            for ours, theirs in zip(got, expected, strict=True):
                assert torch.equal(ours, theirs), f"{mask} {dummy_cache}"
        if mask.num_active < BLOCKS:
            assert not torch.allclose(expected[0], unmasked[0], atol=1e-3), "the mask has to matter"
    for ours, before in zip(run(model, ids), unmasked, strict=True):
        assert torch.equal(ours, before)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen3_next"])
@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}], ids=str)
def test_generate_gives_the_tokens_of_the_rebuilt_model(family, options):
    if family in ("qwen3_next", "gpt2") and "cache_implementation" in options:
        pytest.skip("the unmasked model has no static cache")
    model, ids = tiny_model(family), token_ids()
    path = probe(model).path
    # Left padding: the first row has two tokens fewer.
    attention_mask = torch.ones_like(ids)
    attention_mask[0, :2] = 0
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None, **options}
    for active in ([1, 3], [3], [0, 3], [2, 3], [0, 1, 2, 3]):
        smaller = rebuilt_without(model, path, active)
        expected = smaller.generate(ids, attention_mask=attention_mask, **settings)
        with BlockMaskWrapper(model, BlockMask.from_indices(active, BLOCKS)):
            assert torch.equal(model.generate(ids, attention_mask=attention_mask, **settings), expected)


@pytest.mark.parametrize("mode", ["splice", "remove", "early_exit"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "olmoe", "bloom"])
def test_shortened_lists_give_the_same_as_masks(family, mode):
    model, ids = tiny_model(family), token_ids()
    for mask in MASKS:
        if mode == "early_exit" and mask != BlockMask.first(mask.num_active, BLOCKS):
            continue
        with BlockMaskWrapper(model, mask):
            expected = run(model, ids)
        with BlockMaskWrapper(model, mask, skip=mode):
            assert len(probe_list(model)) == mask.num_active
            got = run(model, ids)
        for ours, theirs in zip(got, expected, strict=True):
            assert torch.equal(ours, theirs), str(mask)
    assert len(probe_list(model)) == BLOCKS


def probe_list(model):
    name = {"GPT2LMHeadModel": "transformer.h", "BloomForCausalLM": "transformer.h"}
    return model.get_submodule(name.get(type(model).__name__, "model.layers"))


@pytest.mark.parametrize("mask_on", ["cpu", "device"])
def test_where_the_mask_is_read_does_not_matter(mask_on):
    model, ids = tiny_model("llama"), token_ids()
    mask = BlockMask.from_indices([1, 3], BLOCKS)
    with BlockMaskWrapper(model, mask):
        expected = run(model, ids)
    with BlockMaskWrapper(model, mask, mask_on=mask_on):
        for ours, theirs in zip(run(model, ids), expected, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dummy_cache", ["virtual", "zeros"])
def test_blocks_that_return_their_own_keys_and_values(dummy_cache):
    torch.manual_seed(0)
    model, ids = LegacyDecoder().eval(), token_ids()

    def legacy_run(decoder):
        with torch.inference_mode():
            whole = decoder(ids)["logits"]
            output = decoder(ids[:, :PROMPT], use_cache=True)
            steps = [output["logits"]]
            for position in range(PROMPT, TOKENS):
                past = output["past_key_values"]
                output = decoder(ids[:, position : position + 1], past_key_values=past, use_cache=True)
                steps.append(output["logits"])
        return whole, torch.cat(steps, dim=1), output["past_key_values"]

    for mask in MASKS:
        smaller = LegacyDecoder().eval()
        smaller.load_state_dict(model.state_dict())
        kept = [smaller.transformer.blocks[i] for i in mask.active_indices]
        smaller.transformer.blocks = torch.nn.ModuleList(kept)
        expected = legacy_run(smaller)
        with BlockMaskWrapper(model, mask, dummy_cache=dummy_cache):
            got = legacy_run(model)
        assert torch.equal(got[0], expected[0])
        assert torch.equal(got[1], expected[1])
        # 2 key-value heads of 8, not the hidden size of 32: the true shape, in skipped blocks too.
        assert all(tensor.shape == (2, 2, TOKENS, 8) for pair in got[2] for tensor in pair)


def test_all_blocks_of_a_vision_language_model_are_its_text_blocks():
    model = tiny_model("molmo2")
    assert probe(model).path == "model.language_model.layers"
    assert len(probe(model).blocks) == BLOCKS
