"""Masks on Molmo: exact on the whole model and on its decoder, with cache objects and with lists of pairs."""

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper, find_blocks
from maskprof.models.blocks import probe
from maskprof.models.molmo.caches import PreallocatedCache
from tests.support.molmo_models import BLOCKS, CONFIGS, image_inputs, text_inputs, tiny_molmo
from tests.support.molmo_reference import Reference, weights_of

MASKS = ((1, 2), (0, 3), (1,), (0, 2, 3))


@pytest.fixture(scope="module", params=CONFIGS)
def model(request):
    return tiny_molmo(request.param)


def run(model, **inputs):
    with torch.inference_mode():
        return model(**inputs)


def steps(model, inputs, cache=None):
    """Logits of a prefill's end and three greedy steps."""
    output = run(model, **inputs, past_key_values=cache, use_cache=True)
    logits = [output.logits[:, -1]]
    for _ in range(3):
        token = logits[-1].argmax(-1)[:, None]
        output = run(model, input_ids=token, past_key_values=output.past_key_values, use_cache=True)
        logits.append(output.logits[:, -1])
    return torch.stack(logits)


def pair_steps(model, inputs):
    """The same with the bare decoder, which is left to make and hand on its list of `(k, v)`."""
    head = model.get_output_embeddings()
    output = run(model.model, **inputs, use_cache=True)
    logits = [run(head, input=output.last_hidden_state[:, -1])]
    for _ in range(3):
        token = logits[-1].argmax(-1)[:, None]
        output = run(model.model, input_ids=token, past_key_values=output.past_key_values, use_cache=True)
        logits.append(run(head, input=output.last_hidden_state[:, -1]))
    return torch.stack(logits)


def test_the_blocks_are_found_from_both(model):
    assert find_blocks(model) is model.model.transformer.blocks
    assert find_blocks(model.model) is model.model.transformer.blocks
    assert probe(model).path == "model.transformer.blocks"
    assert probe(model.model).path == "transformer.blocks"


@pytest.mark.parametrize("active", MASKS)
def test_a_mask_is_the_plain_writing_without_those_blocks(model, active):
    ids = text_inputs()["input_ids"]
    reference = Reference(model.config, weights_of(model))
    skipped = [block for block in range(BLOCKS) if block not in active]
    expected = reference.head(reference.hidden_states(ids[0], skipped=skipped)[-1])
    with BlockMaskWrapper(model, BlockMask.from_indices(active, BLOCKS)):
        torch.testing.assert_close(run(model, input_ids=ids).logits[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("active", MASKS)
@pytest.mark.parametrize("on", ["causal_lm", "decoder"])
def test_every_way_of_skipping_is_removing_the_blocks_bit_for_bit(model, active, on):
    mask, inputs = BlockMask.from_indices(active, BLOCKS), image_inputs(model)
    wrapped = model if on == "causal_lm" else model.model
    with BlockMaskWrapper(wrapped, mask, skip="remove"):
        expected = steps(model, inputs)
        expected_pairs = pair_steps(model, inputs)
    for options in ({"dummy_cache": "virtual"}, {"dummy_cache": "zeros"}, {"skip": "splice"}):
        with BlockMaskWrapper(wrapped, mask, **options):
            assert torch.equal(steps(model, inputs), expected)
            assert torch.equal(steps(model, inputs, PreallocatedCache(60, BLOCKS)), expected)
            assert torch.equal(pair_steps(model, inputs), expected_pairs)


def test_an_early_exit(model):
    mask, inputs = BlockMask.first(2, BLOCKS), image_inputs(model)
    with BlockMaskWrapper(model, mask):
        expected = steps(model, inputs), pair_steps(model, inputs)
    with BlockMaskWrapper(model.model, mask, skip="early_exit"):
        actual = steps(model, inputs), pair_steps(model, inputs)
    assert all(map(torch.equal, actual, expected))


def test_ranges_and_flags_change_nothing(model):
    mask, inputs = BlockMask.from_indices((0, 2), BLOCKS), image_inputs(model)
    with BlockMaskWrapper(model, mask):
        expected = steps(model, inputs), pair_steps(model, inputs)
    for options in ({"ranges": True}, {"mask_on": "cpu"}, {"mask_on": "device"}):
        with BlockMaskWrapper(model, mask, **options):
            actual = steps(model, inputs), pair_steps(model, inputs)
        assert all(map(torch.equal, actual, expected))


def test_a_skipped_block_s_dummy_is_as_long_as_the_others(model):
    kv_heads = model.config.num_key_value_heads
    for dummy_cache in ("virtual", "zeros"):
        mask = BlockMask.from_indices((1, 2), BLOCKS)
        with BlockMaskWrapper(model.model, mask, dummy_cache=dummy_cache):
            pairs = run(model.model, **text_inputs(6), use_cache=True).past_key_values
            cache = run(model, **text_inputs(6), use_cache=True).past_key_values
        assert all(k.shape == v.shape == (1, kv_heads, 6, 8) for k, v in pairs)
        assert [layer.get_seq_length() for layer in cache.layers] == [6] * BLOCKS
        assert not pairs[0][0].any()
        assert pairs[1][0].any()
