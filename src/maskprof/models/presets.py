"""Presets: models with random weights at a known shape, for latency work without a checkpoint.

The sizes are data, so that `maskprof models` can list them without loading torch or transformers. Token ids,
dropouts and initial values are left to transformers: none of them changes what a forward pass costs.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from maskprof.errors import ModelError
from maskprof.models.molmo_shapes import MOLMO_7B_D, MOLMO_7B_O, MOLMOE_1B, MOLMOE_TINY


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model's shape under a name.

    Attributes:
        name: what `--model_path` takes.
        description: one line for the list of presets.
        model_type: transformers' name of the architecture.
        config: keyword arguments of that architecture's configuration; see `preset_config`.
        num_blocks: decoder blocks.
        num_parameters: all weights, shared ones counted once.
        has_vision: an image goes through it.
    """

    name: str
    description: str
    model_type: str
    config: dict[str, Any]
    num_blocks: int
    num_parameters: int
    has_vision: bool = False


def preset_config(preset: Preset) -> Any:
    """The transformers configuration of `preset` (imports transformers).

    Raises:
        ModelError: the installed transformers does not know the architecture.
    """
    import transformers  # noqa: PLC0415  presets are listed without transformers

    if preset.model_type == "molmo":
        import maskprof.models.molmo  # noqa: F401, PLC0415  registers itself

    if preset.model_type not in transformers.CONFIG_MAPPING:
        raise ModelError(
            f"--model_path: {preset.name!r} is a model of type {preset.model_type}, which transformers "
            f"{transformers.__version__} does not know; a newer one does"
        )
    # Configurations keep and fill in the dictionaries that they are given.
    return transformers.AutoConfig.for_model(preset.model_type, **deepcopy(preset.config))


DEMO = "molmoe-tiny"
"""The embedded default: needs no download, no GPU and no patience."""

_MOLMO2_TINY_HIDDEN = 128
_MOLMO2_TINY_VISION_HIDDEN = 64
_MOLMO2_TINY_VOCABULARY = 2048
_MOLMO2_TINY_VISION_HEADS = {
    "hidden_size": _MOLMO2_TINY_VISION_HIDDEN,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": _MOLMO2_TINY_VISION_HIDDEN // 2,
}

_LLAMA_3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

_OLMOE_SHAPE = {
    "vocab_size": 50_304,
    "hidden_size": 2048,
    "intermediate_size": 1024,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}

_ALL = (
    Preset(
        name=DEMO,
        description="the embedded default, MolmoE-1B in small: 16 blocks of 8 experts, true image tokens",
        model_type="molmo",
        config=MOLMOE_TINY,
        num_blocks=16,
        num_parameters=1_405_792,
        has_vision=True,
    ),
    Preset(
        name="molmo2-tiny",
        description="a small dense vision-language model in Molmo2's shape, 336x336 image",
        model_type="molmo2",
        # Small enough for samples well below 0.1 s on two cores, most of it in the decoder's blocks.
        config={
            "text_config": {
                "hidden_size": _MOLMO2_TINY_HIDDEN,
                "intermediate_size": 256,
                "num_hidden_layers": 16,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "head_dim": 32,
                "vocab_size": _MOLMO2_TINY_VOCABULARY,
                "additional_vocab_size": 128,
                "max_position_embeddings": 4096,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            },
            "vision_config": {
                **_MOLMO2_TINY_VISION_HEADS,
                "intermediate_size": 128,
                "num_hidden_layers": 4,
                "image_size": [336, 336],
                "patch_size": 14,
            },
            "adapter_config": {
                **_MOLMO2_TINY_VISION_HEADS,
                "vision_feature_layer": [3, 1],
                "intermediate_size": 256,
                "text_hidden_size": _MOLMO2_TINY_HIDDEN,
            },
            "image_start_token_id": _MOLMO2_TINY_VOCABULARY,
            "image_end_token_id": _MOLMO2_TINY_VOCABULARY + 1,
            "image_patch_id": _MOLMO2_TINY_VOCABULARY + 2,
            "low_res_image_start_token_id": _MOLMO2_TINY_VOCABULARY + 3,
            "frame_start_token_id": _MOLMO2_TINY_VOCABULARY + 4,
            "frame_end_token_id": _MOLMO2_TINY_VOCABULARY + 5,
        },
        num_blocks=16,
        num_parameters=3_208_128,
        has_vision=True,
    ),
    Preset(
        name="gemma-3-1b",
        description="Gemma 3 1B: 5 of 6 blocks with a sliding window of 512",
        model_type="gemma3_text",
        config={
            "vocab_size": 262_144,
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "sliding_window": 512,
            "max_position_embeddings": 32_768,
        },
        num_blocks=26,
        num_parameters=999_885_952,
    ),
    Preset(
        name="gpt2",
        description="GPT-2 124M: learned positions, no grouped-query attention",
        model_type="gpt2",
        config={"vocab_size": 50_257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12},
        num_blocks=12,
        num_parameters=124_439_808,
    ),
    Preset(
        name="llama-3.1-8b",
        description="Llama 3.1 8B",
        model_type="llama",
        config={
            "vocab_size": 128_256,
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {**_LLAMA_3_ROPE, "factor": 8.0},
            "tie_word_embeddings": False,
        },
        num_blocks=32,
        num_parameters=8_030_261_248,
    ),
    Preset(
        name="llama-3.2-1b",
        description="Llama 3.2 1B",
        model_type="llama",
        config={
            "vocab_size": 128_256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "max_position_embeddings": 131_072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {**_LLAMA_3_ROPE, "factor": 32.0},
            "tie_word_embeddings": True,
        },
        num_blocks=16,
        num_parameters=1_235_814_400,
    ),
    Preset(
        name="mistral-7b",
        description="Mistral 7B v0.3",
        model_type="mistral",
        config={
            "vocab_size": 32_768,
            "hidden_size": 4096,
            "intermediate_size": 14_336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 32_768,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            "sliding_window": None,
            "tie_word_embeddings": False,
        },
        num_blocks=32,
        num_parameters=7_248_023_552,
    ),
    Preset(
        name="molmo-7b-d",
        description="Molmo 7B-D: a dense decoder of Qwen2's shape under a CLIP tower, with its images",
        model_type="molmo",
        config=MOLMO_7B_D,
        num_blocks=28,
        num_parameters=8_021_025_280,
        has_vision=True,
    ),
    Preset(
        name="molmo-7b-o",
        description="Molmo 7B-O: a dense decoder with norms after its layers, with its images",
        model_type="molmo",
        config=MOLMO_7B_O,
        num_blocks=32,
        num_parameters=7_665_032_192,
        has_vision=True,
    ),
    Preset(
        name="molmoe-1b",
        description="MolmoE-1B: mixture of 64 experts, 8 at a time, under a CLIP tower, with its images",
        model_type="molmo",
        config=MOLMOE_1B,
        num_blocks=16,
        num_parameters=7_221_875_712,
        has_vision=True,
    ),
    Preset(
        name="molmo2-8b",
        description="Molmo2 8B, by transformers' own classes, with its images",
        model_type="molmo2",
        config={},  # transformers' defaults for Molmo2 are the shape of this model
        num_blocks=36,
        num_parameters=8_694_602_192,
        has_vision=True,
    ),
    Preset(
        name="olmo-2-1b",
        description="OLMo 2 1B",
        model_type="olmo2",
        config={
            "vocab_size": 100_352,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
            "tie_word_embeddings": False,
        },
        num_blocks=16,
        num_parameters=1_484_916_736,
    ),
    Preset(
        name="olmoe-1b-7b",
        description="OLMoE 1B-7B: mixture of 64 experts, 8 at a time",
        model_type="olmoe",
        config=_OLMOE_SHAPE,
        num_blocks=16,
        num_parameters=6_919_161_856,
    ),
    Preset(
        name="qwen2.5-0.5b",
        description="Qwen2.5 0.5B",
        model_type="qwen2",
        config={
            "vocab_size": 151_936,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32_768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            "tie_word_embeddings": True,
        },
        num_blocks=24,
        num_parameters=494_032_768,
    ),
    Preset(
        name="qwen2.5-7b",
        description="Qwen2.5 7B",
        model_type="qwen2",
        config={
            "vocab_size": 152_064,
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 131_072,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            "tie_word_embeddings": False,
        },
        num_blocks=28,
        num_parameters=7_615_616_512,
    ),
    Preset(
        name="qwen3-0.6b",
        description="Qwen3 0.6B",
        model_type="qwen3",
        config={
            "vocab_size": 151_936,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "max_position_embeddings": 40_960,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
            "tie_word_embeddings": True,
        },
        num_blocks=28,
        num_parameters=596_049_920,
    ),
    Preset(
        name="smollm2-135m",
        description="SmolLM2 135M: 3 key-value heads for 9 query heads",
        model_type="llama",
        config={
            "vocab_size": 49_152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0},
            "tie_word_embeddings": True,
        },
        num_blocks=30,
        num_parameters=134_515_008,
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
