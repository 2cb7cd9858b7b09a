import pytest
import torch
import transformers as hf

from maskprof.models.vision import watch_vision
from tests.unit.models.checkpoints import IMAGE_ID, TEXT_SHAPE, VISION_SHAPE, tiny_llama, tiny_llava

IMAGE = 60
MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}
SIGLIP = {**VISION_SHAPE, "image_size": 56}
QWEN_TOKENS = {
    "image_token_id": IMAGE,
    "video_token_id": 61,
    "vision_start_token_id": 62,
    "vision_end_token_id": 63,
}
WHOLE = ["+vision", "+projector", "-projector", "-vision"]


def ids(token=IMAGE, count=4):
    return torch.tensor([[5, 6] + [token] * count + [7, 8, 9]])


def token_types():
    return torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0, 0]])


def llava():
    return tiny_llava(), {"input_ids": ids(IMAGE_ID), "pixel_values": torch.randn(1, 3, 28, 28)}


def molmo2():
    heads = {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = hf.Molmo2Config(
        text_config={**TEXT_SHAPE, "head_dim": 8, "additional_vocab_size": 0},
        vision_config={
            **heads,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "image_size": [28, 56],
            "patch_size": 14,
        },
        adapter_config={
            **heads,
            "vision_feature_layer": [1, 0],
            "intermediate_size": 48,
            "text_hidden_size": 32,
        },
        image_patch_id=IMAGE,
    )
    return hf.Molmo2ForConditionalGeneration(config), {
        "input_ids": ids(count=2),
        "pixel_values": torch.randn(1, 8, 588),
        "image_token_pooling": torch.tensor([[0, 1, 4, 5], [2, 3, 6, 7]]),
        "image_grids": torch.tensor([[1, 2, 0, 0]]),
        "image_num_crops": torch.tensor([1]),
    }


def qwen2_vl():
    vision = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 32,
        "num_heads": 2,
        "patch_size": 14,
        "mlp_ratio": 2,
    }
    config = hf.Qwen2VLConfig(text_config={**TEXT_SHAPE, **MROPE}, vision_config=vision, **QWEN_TOKENS)
    return hf.Qwen2VLForConditionalGeneration(config), qwen_inputs()


def qwen3_vl():
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "patch_size": 14,
        "out_hidden_size": 32,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    config = hf.Qwen3VLConfig(
        text_config={**TEXT_SHAPE, **MROPE, "head_dim": 8}, vision_config=vision, **QWEN_TOKENS
    )
    return hf.Qwen3VLForConditionalGeneration(config), qwen_inputs()


def qwen_inputs():
    return {
        "input_ids": ids(),
        "pixel_values": torch.randn(16, 3 * 2 * 14 * 14),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
        "mm_token_type_ids": token_types(),
    }


def gemma3():
    config = hf.Gemma3Config(
        text_config={**TEXT_SHAPE, "head_dim": 8},
        vision_config=SIGLIP,
        mm_tokens_per_image=4,
        image_token_id=IMAGE,
        boi_token_id=61,
        eoi_token_id=62,
    )
    inputs = {"input_ids": ids(), "pixel_values": torch.randn(1, 3, 56, 56), "token_type_ids": token_types()}
    return hf.Gemma3ForConditionalGeneration(config), inputs


def smolvlm():
    config = hf.SmolVLMConfig(
        text_config={**TEXT_SHAPE, "model_type": "llama", "pad_token_id": 0},
        vision_config=SIGLIP,
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=0,
    )
    inputs = {"input_ids": ids(), "pixel_values": torch.randn(1, 1, 3, 56, 56)}
    return hf.SmolVLMForConditionalGeneration(config), inputs


def mllama():
    config = hf.MllamaConfig(
        text_config={**TEXT_SHAPE, "cross_attention_layers": [1], "pad_token_id": 0},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "attention_heads": 4,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "image_size": 28,
            "patch_size": 14,
            "vision_output_dim": 64,
            "intermediate_layers_indices": [0],
            "max_num_tiles": 1,
            "supported_aspect_ratios": [[1, 1]],
        },
        image_token_index=IMAGE,
    )
    inputs = {
        "input_ids": ids(count=1),
        "pixel_values": torch.randn(1, 1, 1, 3, 28, 28),
        "aspect_ratio_ids": torch.tensor([[1]]),
        "aspect_ratio_mask": torch.ones(1, 1, 1, dtype=torch.long),
        "cross_attention_mask": torch.ones(1, 6, 1, 1, dtype=torch.long),
    }
    return hf.MllamaForConditionalGeneration(config), inputs


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def attributes(model):
    return {name: {**module.__dict__} for name, module in model.named_modules()}


def hooks(model):
    return [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (molmo2, WHOLE),
        (llava, WHOLE),
        (qwen2_vl, WHOLE),
        # Deepstack features go through a projector of their own on the way up the tower.
        (qwen3_vl, ["+vision", "+projector", "-projector", "+projector", "-projector", "-vision"]),
        (gemma3, WHOLE),
        (smolvlm, WHOLE),
        # Its forward calls tower and projector itself, one after the other.
        (mllama, ["+vision", "-vision", *WHOLE]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_vision_is_reported_once_in_prefill_and_never_in_decode(build, expected):
    model, inputs = build()
    model.eval()
    log = []
    with torch.inference_mode():
        plain = model(**inputs, use_cache=True).logits
        before, hooks_before = attributes(model), hooks(model)
        with watch_vision(model, lambda part: log.append(f"+{part}"), lambda part: log.append(f"-{part}")):
            output = model(**inputs, use_cache=True)
            assert log == expected
            assert hooks(model) == hooks_before
            model(
                input_ids=output.logits[:, -1:].argmax(-1),
                past_key_values=output.past_key_values,
                use_cache=True,
            )
            assert log == expected
    assert torch.equal(output.logits, plain)
    after = attributes(model)
    assert {name: list(value) for name, value in after.items()} == {
        name: list(value) for name, value in before.items()
    }


def test_nothing_is_reported_or_changed_on_a_text_model():
    model, log = tiny_llama(), []
    before = attributes(model)
    with watch_vision(model, log.append, log.append):
        assert attributes(model).keys() == before.keys()
        assert all("forward" not in module.__dict__ for module in model.modules())
        model(torch.tensor([[1, 2, 3]]))
    assert log == []


def test_a_raising_forward_still_leaves_and_restores():
    model, inputs = llava()
    log = []

    def fail(*_arguments, **_named):
        message = "projector broke"
        raise RuntimeError(message)

    model.model.multi_modal_projector.linear_1.forward = fail
    with (
        pytest.raises(RuntimeError, match="projector broke"),
        watch_vision(model, lambda part: log.append(f"+{part}"), lambda part: log.append(f"-{part}")),
    ):
        model(**inputs)
    assert log == WHOLE
    assert "forward" not in model.model.multi_modal_projector.__dict__
    assert model.model.multi_modal_projector.linear_1.__dict__["forward"] is fail
    assert not {"get_image_features", "get_video_features"} & {
        key for m in model.modules() for key in m.__dict__
    }


def test_an_override_that_was_there_is_called_and_put_back():
    model, inputs = llava()
    tower, calls, log = model.model.vision_tower, [], []
    original = tower.forward

    def own(*arguments, **named):
        calls.append("own")
        return original(*arguments, **named)

    tower.forward = own
    with watch_vision(model, log.append, log.append):
        model(**inputs)
    assert calls == ["own"]
    assert tower.__dict__["forward"] is own
    assert log == ["vision", "projector", "projector", "vision"]
