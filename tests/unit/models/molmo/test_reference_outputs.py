"""Against what the released models' own code gave for tiny checkpoints; see the data folder's README."""

import itertools
import json

import pytest
import torch
from safetensors.torch import load_file

from maskprof import BlockMask, BlockMaskWrapper
from maskprof.models.molmo import MolmoForCausalLM
from maskprof.models.molmo.images import MolmoImageProcessor
from maskprof.models.molmo.prompts import assemble

pytestmark = pytest.mark.shared_data

LOGITS = 2e-4
FEATURES = 1e-3
MODELS = ("model_moe", "model_dense", "model_dense_o")
MASKS = ("first_half", "block1", "first_last", "last_half")
IMAGE_KEYS = ("images", "image_masks", "image_input_idx")
BLOCKS = 4


class Checkpoint:
    def __init__(self, folder):
        self.folder = folder
        self.model = MolmoForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.expected = load_file(folder / "expected.safetensors")

    def inputs(self, case):
        keys = ("input_ids",) if case in ("text", "batch") else ("input_ids", *IMAGE_KEYS)
        return {key: self.expected[f"{case}.{key}"] for key in keys}


_LOADED = {}


@pytest.fixture(params=MODELS)
def checkpoint(request, shared_data):
    folder = shared_data / "molmo" / request.param
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    if request.param not in _LOADED:
        _LOADED[request.param] = Checkpoint(folder)
    return _LOADED[request.param]


def run(model, **inputs):
    with torch.inference_mode():
        return model(**inputs)


def generated(model, inputs):
    out = model.generate(
        **inputs, max_new_tokens=4, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    return out.sequences[:, inputs["input_ids"].shape[1] :], torch.stack(out.logits, dim=1)


def close(actual, expected, tolerance=LOGITS):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


def test_text(checkpoint):
    output = run(checkpoint.model, **checkpoint.inputs("text"), output_hidden_states=True)
    close(output.logits, checkpoint.expected["text.logits"])
    close(torch.stack(output.hidden_states), checkpoint.expected["text.hidden_states"])


def test_vision_features(checkpoint):
    inputs = checkpoint.inputs("image")
    with torch.inference_mode():
        features = checkpoint.model.get_image_features(inputs["images"], inputs["image_masks"])
    close(features, checkpoint.expected["image.vision_features"], FEATURES)


def test_image_and_text(checkpoint):
    output = run(checkpoint.model, **checkpoint.inputs("image"))
    close(output.logits, checkpoint.expected["image.logits"])


def test_cached_decode(checkpoint):
    expected = checkpoint.expected
    output = run(checkpoint.model, **checkpoint.inputs("image"), use_cache=True)
    cache, tokens, logits = output.past_key_values, [], []
    for _ in range(4):
        logits.append(output.logits[:, -1])
        tokens.append(output.logits[:, -1].argmax(-1))
        if len(tokens) < 4:
            output = run(
                checkpoint.model, input_ids=tokens[-1][:, None], past_key_values=cache, use_cache=True
            )
    assert torch.equal(torch.stack(tokens, 1), expected["decode.tokens"])
    close(torch.stack(logits, 1), expected["decode.logits"])
    close(cache.layers[0].keys, expected["decode.k0"])
    close(cache.layers[0].values, expected["decode.v0"])


def test_generate(checkpoint):
    tokens, logits = generated(checkpoint.model, checkpoint.inputs("image"))
    assert torch.equal(tokens, checkpoint.expected["decode.tokens"])
    close(logits, checkpoint.expected["decode.logits"])


@pytest.mark.parametrize("case", ["batch", "batch_image"])
def test_right_padded_batches(checkpoint, case):
    inputs = checkpoint.inputs(case)
    real = inputs["input_ids"] >= 0
    close(run(checkpoint.model, **inputs).logits[real], checkpoint.expected[f"{case}.logits"][real])
    tokens, logits = generated(checkpoint.model, inputs)
    assert torch.equal(tokens, checkpoint.expected[f"{case}.decode_tokens"])
    close(logits, checkpoint.expected[f"{case}.decode_logits"])


VARIANTS = (
    ("mask", "virtual"),
    ("mask", "zeros"),
    ("splice", "virtual"),
    ("remove", "virtual"),
    ("early_exit", "virtual"),
)


@pytest.mark.parametrize(("name", "on"), [*itertools.product(MASKS, ("causal_lm", "decoder"))])
def test_masks(checkpoint, name, on):
    expected, model = checkpoint.expected, checkpoint.model
    skipped = set(expected[f"mask.{name}.skipped"].tolist())
    mask = BlockMask([block not in skipped for block in range(BLOCKS)])
    wrapped = model if on == "causal_lm" else model.model
    for skip, dummy_cache in VARIANTS:
        if skip == "early_exit" and name != "last_half":
            continue
        with BlockMaskWrapper(wrapped, mask, skip=skip, dummy_cache=dummy_cache):
            close(run(model, **checkpoint.inputs("text")).logits, expected[f"mask.{name}.text_logits"])
            close(run(model, **checkpoint.inputs("image")).logits, expected[f"mask.{name}.image_logits"])
            tokens, logits = generated(model, checkpoint.inputs("image"))
            legacy = legacy_decode(model, checkpoint.inputs("image"))
        assert torch.equal(tokens, expected[f"mask.{name}.decode_tokens"])
        close(logits, expected[f"mask.{name}.decode_logits"])
        close(legacy, expected[f"mask.{name}.decode_logits"])


def legacy_decode(model, inputs):
    """Prefill and three greedy steps of the bare decoder, whose cache is a list of `(k, v)`."""
    head = model.get_output_embeddings()
    output = run(model.model, **inputs, use_cache=True)
    logits = []
    for step in range(4):
        logits.append(run(head, input=output.last_hidden_state[:, -1]))
        if step < 3:
            assert isinstance(output.past_key_values, list)
            output = run(
                model.model,
                input_ids=logits[-1].argmax(-1)[:, None],
                past_key_values=output.past_key_values,
                use_cache=True,
            )
    return torch.stack(logits, 1)


def test_preprocessing_at_tiny_scale(checkpoint):
    given = json.loads((checkpoint.folder / "inputs.json").read_text(encoding="utf-8"))
    config, expected = checkpoint.model.config, checkpoint.expected
    processor = MolmoImageProcessor.for_config(
        config, margins=tuple(given["overlap_margins"]), max_crops=given["max_crops"]
    )
    made = assemble(given["text_tokens"], config, processor(expected["image.raw"].numpy()), given["bos"])
    assert torch.equal(made["input_ids"], expected["image.input_ids"][0])
    close(made["images"], expected["image.images"][0], 1e-5)
    close(made["image_masks"], expected["image.image_masks"][0], 1e-6)
    # Two entries of the 70-pixel checkpoint's were dropped by hand.
    differing = made["image_input_idx"] != expected["image.image_input_idx"][0]
    assert int(differing.sum()) == (2 if config.vision_config.image_size == (70, 70) else 0)
    assert (expected["image.image_input_idx"][0][differing] == -100).all()
