import pytest
import torch

from maskprof.models.vision import watch_vision
from tests.support.molmo_models import image_inputs, text_inputs, tiny_molmo


@pytest.fixture(scope="module")
def model():
    return tiny_molmo("moe")


def watched(model, run):
    calls = []
    with (
        watch_vision(
            model, lambda part: calls.append(("enter", part)), lambda part: calls.append(("leave", part))
        ),
        torch.inference_mode(),
    ):
        run()
    return calls


# Pooling and projector: what stands between tower and decoder.
BETWEEN = [("enter", "projector"), ("leave", "projector")] * 2
WITH_IMAGE = [("enter", "vision"), *BETWEEN, ("leave", "vision")]


def test_the_vision_part_and_its_projector_are_seen(model):
    inputs = image_inputs(model)
    assert watched(model, lambda: model(**inputs)) == WITH_IMAGE
    assert watched(model.model, lambda: model.model(**inputs)) == WITH_IMAGE
    assert watched(model, lambda: model(**text_inputs())) == []


def test_images_are_looked_at_once_in_generate(model):
    inputs = image_inputs(model)
    assert watched(model, lambda: model.generate(**inputs, max_new_tokens=3)) == WITH_IMAGE


def test_blocks_after_the_last_used_one_are_not_run():
    model = tiny_molmo("moe")
    last = model.model.vision_backbone.image_vit.transformer.resblocks[-1]
    ran = []
    last.register_forward_hook(lambda *_call: ran.append(True))
    model(**image_inputs(model))
    assert ran
    ran.clear()
    model.config.vision_config.feature_layers = (-2, -3)
    model(**image_inputs(model))
    assert not ran


def test_attention_in_float32_and_not(model):
    inputs = image_inputs(model)
    half = tiny_molmo("moe").bfloat16()
    parts = [
        module for module in half.model.vision_backbone.modules() if getattr(module, "in_float32", False)
    ]
    assert len(parts) == 4
    with torch.inference_mode():
        full = half.get_image_features(inputs["images"], inputs["image_masks"])
        for part in parts:
            part.in_float32 = False
        short = half.get_image_features(inputs["images"], inputs["image_masks"])
        exact = model.get_image_features(inputs["images"], inputs["image_masks"])
    assert full.dtype == short.dtype == torch.bfloat16
    for made in (full, short):
        assert float((made.float() - exact).abs().mean()) < 0.05 * float(exact.abs().max())
