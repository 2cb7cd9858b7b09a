"""The whole model against a plain second writing of it, and against its own recorded outputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache, GenerationConfig, StaticCache

from maskprof import find_blocks
from maskprof.errors import ModelError
from maskprof.models.cache_names import RETURNED_NAME
from maskprof.models.molmo.caches import PreallocatedCache
from maskprof.models.molmo.prompts import batched
from tests.support.molmo_models import BLOCKS, CONFIGS, image_inputs, prompt, text_inputs, tiny_molmo
from tests.support.molmo_reference import Reference, weights_of

GOLDEN = Path(__file__).parents[3] / "golden"


@pytest.fixture(params=CONFIGS)
def kind(request):
    return request.param


@pytest.fixture
def model(kind):
    return tiny_molmo(kind)


def run(model, **inputs):
    with torch.inference_mode():
        return model(**inputs)


def close(actual, expected, tolerance=1e-4):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def greedy(model, inputs, steps=4, cache=None):
    """Tokens of a plain loop over forwards with a cache, (batch, steps)."""
    output = run(model, **inputs, past_key_values=cache, use_cache=True)
    tokens = [output.logits[:, -1:].argmax(-1)]
    while len(tokens) < steps:
        output = run(model, input_ids=tokens[-1], past_key_values=output.past_key_values, use_cache=True)
        tokens.append(output.logits[:, -1:].argmax(-1))
    return torch.cat(tokens, dim=1)


# Against the plain writing


def test_text_is_that_of_the_plain_writing_block_by_block(model):
    inputs = text_inputs()
    expected = Reference(model.config, weights_of(model)).hidden_states(inputs["input_ids"][0])
    output = run(model, **inputs, output_hidden_states=True)
    assert len(output.hidden_states) == BLOCKS + 1
    for actual, plain in zip(output.hidden_states, expected, strict=True):
        close(actual[0], plain)
    close(output.logits[0], Reference(model.config, weights_of(model)).head(expected[-1]))


def test_images_are_those_of_the_plain_writing(model):
    row = prompt(model)
    reference = Reference(model.config, weights_of(model))
    with torch.inference_mode():
        features = model.get_image_features(row["images"][None], row["image_masks"][None])
    close(features[0], reference.image_features(row["images"], row["image_masks"]))
    output = run(model, **{key: value[None] for key, value in row.items()})
    close(output.logits[0], reference.logits(**row))


def test_crops_of_padding_have_no_features_of_their_own(model):
    row = prompt(model)
    padding = torch.full_like(row["images"][:1], -1)
    images = torch.cat((row["images"], padding))[None]
    masks = torch.cat((row["image_masks"], torch.full_like(row["image_masks"][:1], -1)))
    with torch.inference_mode():
        features = model.get_image_features(images, masks[None])
    expected = Reference(model.config, weights_of(model)).image_features(images[0], masks)
    close(features[0], expected)


def test_the_recorded_outputs(kind, model, request):
    path = GOLDEN / f"molmo_{kind}.npz"
    inputs = image_inputs(model)
    tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)
    made = {
        "text_logits": run(model, **text_inputs()).logits.numpy(),
        "image_logits": run(model, **inputs).logits[:, -4:].numpy(),
        "tokens": tokens[:, inputs["input_ids"].shape[1] :].numpy(),
    }
    if request.config.getoption("--update-golden"):
        np.savez_compressed(path, **made)
    expected = np.load(path)
    assert np.array_equal(made["tokens"], expected["tokens"])
    for name in ("text_logits", "image_logits"):
        np.testing.assert_allclose(made[name], expected[name], atol=2e-4, rtol=0)


# Caches


def test_cached_steps_are_the_full_forward(model):
    inputs = text_inputs(12)
    ids, whole = inputs["input_ids"], run(model, **inputs).logits
    # Also several tokens onto a filled cache.
    for cut in (1, 5, 11):
        first = run(model, input_ids=ids[:, :cut], use_cache=True)
        rest = run(model, input_ids=ids[:, cut:], past_key_values=first.past_key_values, use_cache=True)
        close(torch.cat((first.logits, rest.logits), dim=1), whole)


def test_generate_is_the_plain_loop(model):
    inputs = image_inputs(model)
    expected = greedy(model, inputs)
    length = inputs["input_ids"].shape[1]
    options = {"max_new_tokens": 4, "do_sample": False}
    assert torch.equal(model.generate(**inputs, **options)[:, length:], expected)
    batch = model.generate_from_batch(inputs, GenerationConfig(**options))
    assert torch.equal(batch[:, length:], expected)
    without_cache = model.generate(**inputs, **options, use_cache=False)
    assert torch.equal(without_cache[:, length:], expected)


def test_every_kind_of_cache_gives_the_same(model):
    inputs = image_inputs(model)
    length = inputs["input_ids"].shape[1] + 4
    expected = greedy(model, inputs)
    for cache in (
        DynamicCache(config=model.config),
        StaticCache(config=model.config, max_cache_len=length),
        PreallocatedCache(length, BLOCKS),
        PreallocatedCache(3, BLOCKS),  # too small, and grows
    ):
        assert torch.equal(greedy(model, inputs, cache=cache), expected)
    static = model.generate(**inputs, max_new_tokens=4, do_sample=False, cache_implementation="static")
    assert torch.equal(static[:, -4:], expected)


def test_a_preallocated_cache_does_not_move_and_can_be_used_again(model):
    cache = PreallocatedCache(16, BLOCKS)
    expected = greedy(model, text_inputs(5), cache=cache)
    before = cache.layers[0].keys.data_ptr()
    cache.reset()
    assert cache.get_seq_length() == 0
    assert torch.equal(greedy(model, text_inputs(5), cache=cache), expected)
    assert cache.layers[0].keys.data_ptr() == before
    assert cache.layers[0].keys.shape[-2] == 8
    beams = model.generate(
        **text_inputs(5), max_new_tokens=4, num_beams=2, **{RETURNED_NAME: PreallocatedCache(16, BLOCKS)}
    )
    assert torch.equal(beams, model.generate(**text_inputs(5), max_new_tokens=4, num_beams=2))


def test_blocks_keep_their_old_contract(model):
    ids = text_inputs(6)["input_ids"]
    whole = run(model.model, input_ids=ids, use_cache=True)
    assert isinstance(whole.past_key_values, list)
    kv_heads = model.config.num_key_value_heads
    assert all(k.shape == v.shape == (1, kv_heads, 6, 8) for k, v in whole.past_key_values)
    with torch.inference_mode():
        x = model.model.transformer.wte(ids)
        pasts = []
        for block in model.model.transformer.blocks:
            first, past = block(x[:, :4], use_cache=True)
            second, pair = block(x[:, 4:], layer_past=past, use_cache=True)
            assert block(x[:, :1])[1] is None
            x = torch.cat((first, second), dim=1)
            pasts.append(pair)
        x = model.model.transformer.ln_f(x)
    close(x, whole.last_hidden_state)
    for (k, v), (whole_k, whole_v) in zip(pasts, whole.past_key_values, strict=True):
        close(k, whole_k)
        close(v, whole_v)
    step = run(model.model, input_ids=ids[:, :1], past_key_values=pasts, use_cache=True)
    expected = run(model.model, input_ids=torch.cat((ids, ids[:, :1]), dim=1))
    close(step.last_hidden_state[:, -1], expected.last_hidden_state[:, -1])


def test_blocks_return_their_pair_with_a_cache_object_too(model):
    seen = []
    hook = find_blocks(model)[1].register_forward_hook(lambda *call: seen.append(call[2]))
    run(model, **text_inputs(6), use_cache=True)
    hook.remove()
    x, (k, v) = seen[-1]
    assert x.shape == (1, 6, 32)
    assert k.shape == v.shape == (1, model.config.num_key_value_heads, 6, 8)


# Padding, positions, options


def test_padding_changes_nothing_for_real_tokens(model):
    rows = [text_inputs(9, seed=1), text_inputs(5, seed=2)]
    alone = [run(model, **row).logits[0] for row in rows]
    right = torch.full((2, 9), -1)
    left = right.clone()
    right[0] = left[0] = rows[0]["input_ids"]
    right[1, :5] = left[1, 4:] = rows[1]["input_ids"]
    close(run(model, input_ids=right).logits[1, :5], alone[1])
    close(run(model, input_ids=left).logits[1, 4:], alone[1])
    # Ids of another padding token, with a mask.
    masked = run(model, input_ids=left.clamp(min=1), attention_mask=(left >= 0).long())
    close(masked.logits[1, 4:], alone[1])
    for padded in (left, right):
        out = model.generate(padded, max_new_tokens=3, do_sample=False)[:, 9:]
        for row, tokens in zip(rows, out, strict=True):
            assert torch.equal(tokens, greedy(model, row, steps=3)[0])


def test_a_batch_of_pictures_of_different_size(model):
    prompts = [prompt(model), prompt(model, text=4, size=(30, 37), max_crops=1)]
    batch = batched(prompts)
    tokens = model.generate(**batch, max_new_tokens=3, do_sample=False)[:, batch["input_ids"].shape[1] :]
    for row, made in zip(prompts, tokens, strict=True):
        alone = {name: tensor[None] for name, tensor in row.items()}
        assert torch.equal(made, greedy(model, alone, steps=3)[0])


def test_which_logits_are_kept(model):
    inputs = text_inputs(7)
    whole = run(model, **inputs).logits
    close(run(model, **inputs, logits_to_keep=2).logits, whole[:, -2:])
    close(run(model, **inputs, logits_to_keep=torch.tensor([0, 3])).logits, whole[:, [0, 3]])
    close(run(model, **inputs, last_logits_only=True).logits, whole[:, -1:])
    third = torch.tensor([2])
    close(run(model, **inputs, last_logits_only=True, append_last_valid_logits=third).logits, whole[:, 2:3])
    replaced = run(model, **inputs, append_last_valid_logits=third).logits
    close(replaced, torch.cat((whole[:, :-1], whole[:, 2:3]), dim=1))
    assert whole.shape[-1] == model.config.embedding_size


def test_the_outputs_forms(model):
    inputs = text_inputs(4)
    as_tuple = run(model, **inputs, return_dict=False, use_cache=False)
    assert isinstance(as_tuple, tuple)
    assert torch.equal(as_tuple[0], run(model, **inputs).logits)
    assert run(model, **inputs, use_cache=False).past_key_values is None
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    close(run(model, inputs_embeds=embeds).logits, run(model, **inputs).logits)


def test_ids_of_the_second_table(model):
    first_new = model.config.embedding_size
    rows = model.get_input_embeddings()(torch.tensor([[first_new, first_new + 7, -1, 0]]))
    table = model.model.transformer.wte
    assert torch.equal(rows[0, :2], table.new_embedding[[0, 7]])
    assert torch.equal(rows[0, 2], rows[0, 3])
    with pytest.raises(IndexError):
        model.get_input_embeddings()(torch.tensor([[first_new + 8]]))


def test_eager_attention_is_the_same(kind):
    model = tiny_molmo(kind)
    expected = run(model, **image_inputs(model)).logits
    model.set_attn_implementation("eager")
    close(run(model, **image_inputs(model)).logits, expected)
    padded = torch.cat((text_inputs(4)["input_ids"], torch.full((1, 2), -1)), dim=1)
    close(run(model, input_ids=padded).logits[:, :4], run(model, **text_inputs(4)).logits)


def test_bfloat16(kind):
    model = tiny_molmo(kind)
    inputs = image_inputs(model)
    expected = run(model, **inputs).logits
    model = model.bfloat16()
    logits = run(model, **inputs).logits
    assert logits.dtype == torch.bfloat16
    # Routing may flip at near-ties, so only most of it has to agree.
    assert float((logits.float() - expected).abs().median()) < 0.05 * float(expected.abs().max())
    out = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert out.shape[1] == inputs["input_ids"].shape[1] + 3


def test_gradients_reach_every_weight_that_took_part(model):
    loss = model(**image_inputs(model), use_cache=False).logits.square().mean()
    loss.backward()
    without = {name for name, weight in model.named_parameters() if weight.grad is None}
    # Blocks after the last layer whose features are used compute nothing.
    assert not {name for name in without if "resblocks" not in name}


def test_wrong_calls_get_one_sentence(model):
    inputs = image_inputs(model)
    with pytest.raises(ModelError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(ModelError, match="images need image_input_idx"):
        model(input_ids=inputs["input_ids"], images=inputs["images"])
    with pytest.raises(ModelError, match=r"image_input_idx has shape \(1, 1, \d+\), but the images have"):
        model(**{**inputs, "image_input_idx": inputs["image_input_idx"][:, :1]})
    cache = run(model, **text_inputs(3), use_cache=True).past_key_values
    with pytest.raises(ModelError, match="images belong to the prompt"):
        model(**inputs, past_key_values=cache)
