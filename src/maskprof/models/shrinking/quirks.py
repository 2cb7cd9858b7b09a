"""Settings that a configuration class needs beyond what the names of its fields suggest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from maskprof.models.shrinking.roles import (
    EXPERTS,
    HEAD_DIM,
    HEADS,
    KEY_VALUE_HEADS,
    RANK,
    ROUTED_EXPERTS,
    VOCABULARY,
    WIDTH,
    WINDOW,
)


@dataclass(frozen=True, slots=True)
class Quirk:
    """What one configuration class needs.

    Attributes:
        reason: why its defaults, made small, do not do.
        settings: by field or keyword of the class, the value, or a function from the number of layers to it.
    """

    reason: str
    settings: Mapping[str, Any]

    def values(self, layers: int) -> dict[str, Any]:
        """The settings for a stack of `layers`."""
        return {name: value(layers) if callable(value) else value for name, value in self.settings.items()}


def _alternating(*kinds: str) -> Callable[[int], list[str]]:
    return lambda layers: [kinds[index % len(kinds)] for index in range(layers)]


def _first_dense(layers: int) -> list[str]:
    return ["dense"] + ["sparse"] * (layers - 1)


def _rotary(*sections: int, part: float = 1.0) -> dict[str, Any]:
    """Rotary parameters whose frequencies are divided between time, height and width."""
    return {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "partial_rotary_factor": part,
        "mrope_section": list(sections),
    }


_SECTIONS = "falls back on rotary sections for a larger head"
_THREE_SECTIONS = Quirk(_SECTIONS, {"rope_parameters": _rotary(2, 3, 3)})
_GLOBAL_HEAD = Quirk(
    "heads of full-attention layers are sized by a keyword that is no field",
    {"global_head_dim": 2 * HEAD_DIM},
)
_VOCABULARY_MAP = "looks image tokens up in a table that is empty by default"
_CONVOLUTIONS = Quirk(
    "widths of convolutions are multiples of a base, one for each level",
    {"base_channels": 32, "channel_multiplier": [1, 1]},
)
_NO_EXPERTS = "has no default for the experts of a token"
_CODEBOOK = 16
_CODEBOOKS = "keeps one range of its vocabulary for pictures, and after it one for sounds"
_ALL_LINEAR = "has no attention layer by default"

QUIRKS: Final[Mapping[str, Quirk]] = {
    "Apertus1p5Config": Quirk(_CODEBOOKS, {"image_token_offset": 96, "audio_token_offset": 96 + _CODEBOOK}),
    "Apertus1p5VisionTokenizerConfig": Quirk(_CODEBOOKS, {"codebook_size": _CODEBOOK}),
    "BambaConfig": Quirk(_ALL_LINEAR, {"attn_layer_indices": lambda layers: [*range(1, layers, 2)]}),
    "ChameleonConfig": Quirk(_VOCABULARY_MAP, {"vocabulary_map": {"<image>": VOCABULARY - 1}}),
    "ChameleonVQVAEConfig": _CONVOLUTIONS,
    "CohereCompassTextConfig": Quirk(
        _SECTIONS,
        {"rope_parameters": {"full_attention": _rotary(4, 2, 2), "sliding_attention": _rotary(4, 2, 2)}},
    ),
    "DbrxAttentionConfig": Quirk(
        "has no default for the rotary base and the clipping range", {"rope_theta": 10000.0, "clip_qkv": 8.0}
    ),
    "DeepseekOcr2SamVisionConfig": Quirk(
        "widths of convolutions are set after the fields", {"downsample_channels": [WIDTH, WIDTH]}
    ),
    "DeepseekOcr2TextConfig": Quirk(
        _NO_EXPERTS, {"mlp_layer_types": _first_dense, "num_experts_per_tok": ROUTED_EXPERTS}
    ),
    "DeepseekV2Config": Quirk(_NO_EXPERTS, {"num_experts_per_tok": ROUTED_EXPERTS}),
    "DiffusionGemmaTextConfig": Quirk(
        _NO_EXPERTS,
        {
            "global_head_dim": 2 * HEAD_DIM,
            "num_experts": EXPERTS,
            "top_k_experts": ROUTED_EXPERTS,
            "moe_intermediate_size": WIDTH,
        },
    ),
    "Dots1Config": Quirk(
        _NO_EXPERTS,
        {"n_routed_experts": EXPERTS, "num_experts_per_tok": ROUTED_EXPERTS, "n_shared_experts": 1},
    ),
    "Dots3NoteTextConfig": Quirk(
        "attention of sliding layers is sized by keywords that are no fields",
        {
            "num_key_value_heads": HEADS,
            "swa_num_attention_heads": HEADS,
            "swa_num_key_value_heads": HEADS,
            "swa_q_lora_rank": RANK,
            "swa_kv_lora_rank": RANK,
            "swa_head_dim": 2 * HEAD_DIM,
            "swa_qk_nope_head_dim": HEAD_DIM,
            "swa_v_head_dim": HEAD_DIM,
        },
    ),
    "Dots3NoteVisionConfig": Quirk(
        "experts are counted for each layer by a keyword that is no field",
        {"mlp_layer_types": None, "pyramid_num_routed": lambda layers: [-1] + [EXPERTS] * (layers - 1)},
    ),
    "Emu3Config": Quirk(
        _VOCABULARY_MAP, {"vocabulary_map": {"<image>": VOCABULARY - 1, "<|extra_200|>": VOCABULARY - 2}}
    ),
    "Emu3VQVAEConfig": _CONVOLUTIONS,
    "Ernie4_5_VLMoeTextConfig": Quirk(
        _SECTIONS, {"rope_parameters": _rotary(3, 3, 2), "moe_intermediate_size": [WIDTH, WIDTH // 2]}
    ),
    "GPTNeoConfig": Quirk(
        "kinds of layers are given as runs",
        {"attention_types": lambda layers: [[["global", "local"], layers // 2], [["global"], layers % 2]]},
    ),
    "Gemma3nTextConfig": Quirk(
        "more layers share keys and values than a small stack has", {"num_kv_shared_layers": 0}
    ),
    "Gemma4TextConfig": _GLOBAL_HEAD,
    "Gemma4UnifiedTextConfig": _GLOBAL_HEAD,
    "Glm4vMoeTextConfig": Quirk(_SECTIONS, {"rope_parameters": _rotary(2, 1, 1, part=0.5)}),
    "Glm4vTextConfig": _THREE_SECTIONS,
    "GlmOcrTextConfig": _THREE_SECTIONS,
    "GlmgaTextConfig": _THREE_SECTIONS,
    "Granite4VisionConfig": Quirk(
        "has no default for its projectors",
        {"downsample_rate": "1/2", "deepstack_layer_map": [(-1, 0)], "spatial_target_layers": [1]},
    ),
    "GraniteMoeHybridConfig": Quirk(
        _ALL_LINEAR, {"layer_types": _alternating("linear_attention", "full_attention")}
    ),
    "HunYuanVLTextConfig": Quirk(_SECTIONS, {"rope_parameters": _rotary(2, 2, 2, 2)}),
    "JambaConfig": Quirk(
        "the first attention layer lies beyond a small stack",
        {"attn_layer_period": 2, "attn_layer_offset": 1},
    ),
    "JanusVQVAEConfig": _CONVOLUTIONS,
    "Lfm2MoeConfig": Quirk(
        "has no default for its kinds of layers", {"layer_types": _alternating("conv", "full_attention")}
    ),
    "Mamba2Config": Quirk("heads must fill the expanded width", {"head_dim": 2 * WIDTH // HEADS}),
    "MllamaTextConfig": Quirk(
        "its cross-attention layers lie beyond a small stack", {"cross_attention_layers": [1]}
    ),
    "Molmo2AdapterConfig": Quirk(
        "takes the features of layers that a small tower lacks", {"vision_feature_layer": [1, 0]}
    ),
    "MoshiConfig": Quirk(
        "its cache forgets what lies beyond the window, its mask does not", {"sliding_window": 64}
    ),
    "NemotronConfig": Quirk(
        "has no default for the heads of keys and values", {"num_key_value_heads": KEY_VALUE_HEADS}
    ),
    "PaddleOCRTextConfig": _THREE_SECTIONS,
    "Qwen2VLTextConfig": _THREE_SECTIONS,
    "Qwen2_5OmniTextConfig": _THREE_SECTIONS,
    "Qwen2_5_VLTextConfig": _THREE_SECTIONS,
    "Qwen4ExpTextConfig": Quirk(
        "has no default for its indexer",
        {
            "indexer_n_heads": 2,
            "indexer_kv_heads": 1,
            "indexer_head_dim": HEAD_DIM,
            "indexer_budget": 32,
            "indexer_compress_ratio": 4,
        },
    ),
    "ReformerConfig": Quirk(
        "the parts of its position embeddings add up to the width",
        {"axial_pos_embds_dim": (WIDTH // 2, WIDTH // 2)},
    ),
    "Step3p7TextConfig": Quirk(
        "has no default window, and no sliding layer by default",
        {"sliding_window": WINDOW, "layer_types": _alternating("full_attention", "sliding_attention")},
    ),
    "WavTokenizerEncoderConfig": Quirk(_CODEBOOKS, {"codebook_size": _CODEBOOK}),
    "XmodConfig": Quirk("has no default language", {"default_language": "en_XX"}),
    "xLSTMConfig": Quirk("rounds the width of queries, half of its own, up to 64", {"hidden_size": 128}),
}
"""By the name of the configuration class."""
