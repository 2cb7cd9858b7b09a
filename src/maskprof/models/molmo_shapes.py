"""The shapes of the Molmo 0924 models, and of a small one: keyword arguments of `MolmoConfig`.

Beside `models.molmo` and not in it, since the list of presets is read without torch.
"""

from typing import Any, Final

_MOLMOE: Final[dict[str, Any]] = {
    "nested_names": True,
    "num_hidden_layers": 16,
    "qkv_bias": False,
    "attention_layer_norm": True,
    "layer_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
}

MOLMOE_1B: Final[dict[str, Any]] = {
    **_MOLMOE,
    "vocab_size": 50_280,
    "embedding_size": 50_304,
    "hidden_size": 2048,
    "intermediate_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 32_768,
}

MOLMO_7B_D: Final[dict[str, Any]] = {
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 37_888,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "qkv_bias": True,
    "layer_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
}

MOLMO_7B_O: Final[dict[str, Any]] = {
    "vocab_size": 100_278,
    "embedding_size": 100_352,
    "hidden_size": 4096,
    "intermediate_size": 22_016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "qkv_bias": False,
    "attention_layer_norm": True,
    "norm_after": True,
    "layer_norm_eps": 1e-6,
    "rope_theta": 500_000.0,
}

MOLMOE_TINY: Final[dict[str, Any]] = {
    **_MOLMOE,
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 4096,
    "vision_config": {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "head_dim": 16,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "feature_layers": (-1, -3),
    },
}
