import json

import pytest
from transformers import AutoConfig

from maskprof.errors import ModelError
from maskprof.models.molmo import MolmoConfig, MolmoVisionConfig
from maskprof.models.presets import PRESETS, preset_config

# What the published files say of what changes the computation; the rest of them is left out.
MOLMOE_1B = {
    "model_type": "molmo",
    "architectures": ["OLMoForCausalLM"],
    "d_model": 2048,
    "n_heads": 16,
    "n_layers": 16,
    "n_kv_heads": None,
    "head_dim": None,
    "mlp_ratio": 1,
    "mlp_hidden_size": None,
    "activation_type": "swiglu",
    "block_type": "moe",
    "moe_num_experts": 64,
    "moe_top_k": 8,
    "attention_layer_norm": True,
    "layer_norm_type": "rms",
    "layer_norm_eps": 1e-05,
    "qkv_bias": False,
    "rope_theta": 10000.0,
    "rope_impl": "llama",
    "max_position_embeddings": 32768,
    "vocab_size": 50280,
    "embedding_size": 50304,
    "additional_vocab_size": 128,
    "weight_tying": False,
    "float32_attention": True,
    "image_padding_embed": "pad_and_partial_pad",
    "vit_layers": [-2, -9],
    "max_crops": 12,
    "overlap_margins": [4, 4],
    "pad_token_id": 1,
    "use_cache": True,
    "vision_backbone": {
        "image_default_input_size": [336, 336],
        "image_patch_size": 14,
        "image_pos_patch_size": 14,
        "image_emb_dim": 1024,
        "image_num_heads": 16,
        "image_num_key_value_heads": 16,
        "image_num_layers": 23,
        "image_head_dim": 64,
        "image_mlp_dim": 4096,
        "image_mlp_activations": "quick_gelu",
        "image_num_pos": 577,
        "image_norm_eps": 1e-05,
    },
}
MOLMO_7B_D = {
    "model_type": "molmo",
    "architectures": ["MolmoForCausalLM"],
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 37888,
    "qkv_bias": True,
    "attention_layer_norm": False,
    "norm_after": False,
    "layer_norm_eps": 1e-06,
    "layer_norm_type": "rms",
    "rope_theta": 1000000.0,
    "max_position_embeddings": 4096,
    "vocab_size": 152064,
    "embedding_size": 152064,
    "clip_qkv": None,
    "weight_tying": False,
    "tie_word_embeddings": False,
    "use_cache": True,
}


def test_the_training_code_s_dialect_is_read():
    config = MolmoConfig(**MOLMOE_1B)
    assert (config.hidden_size, config.num_attention_heads, config.num_key_value_heads) == (2048, 16, 16)
    assert (config.num_hidden_layers, config.num_experts, config.num_experts_per_tok) == (16, 64, 8)
    assert config.intermediate_size == 2048
    assert config.nested_names
    assert config.use_cache
    assert config.vision_config.feature_layers == (-2, -9)
    # Its own names still read.
    assert (config.d_model, config.n_layers, config.moe_top_k) == (2048, 16, 8)


def test_transformers_dialect_is_read_and_the_tower_is_the_usual_one():
    config = MolmoConfig(**MOLMO_7B_D)
    assert (config.num_experts, config.additional_vocab_size, config.nested_names) == (0, 128, False)
    assert config.vision_config == MolmoVisionConfig()
    assert config.vision_config.patch_grid == (24, 24)
    assert config.vision_config.token_grid == (12, 12)


@pytest.mark.parametrize("published", [MOLMOE_1B, MOLMO_7B_D], ids=["molmoe-1b", "7b-d"])
def test_what_was_read_is_written_in_its_own_dialect(published, tmp_path):
    MolmoConfig(**published).save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    # None means "as many as heads" and "mlp_ratio times as wide".
    for key in ("n_kv_heads", "mlp_hidden_size"):
        if key in published:
            assert written.pop(key) is not None
    left = {key: value for key, value in published.items() if key in written}
    assert left.keys() >= published.keys() - {"n_kv_heads", "mlp_hidden_size"}
    assert {key: written[key] for key in left} == left
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is MolmoConfig
    assert again.to_diff_dict() == MolmoConfig(**published).to_diff_dict()


@pytest.mark.parametrize(
    ("preset", "published"), [("molmoe-1b", MOLMOE_1B), ("molmo-7b-d", MOLMO_7B_D)], ids=["moe", "7b-d"]
)
def test_the_presets_are_the_published_shapes(preset, published):
    read, made = MolmoConfig(**published), preset_config(PRESETS[preset])
    for key in ("hidden_size", "num_hidden_layers", "num_key_value_heads", "intermediate_size", "qkv_bias"):
        assert getattr(read, key) == getattr(made, key)
    for key in ("num_experts", "num_experts_per_tok", "rope_theta", "layer_norm_eps", "attention_layer_norm"):
        assert getattr(read, key) == getattr(made, key)
    for key in ("vocab_size", "embedding_size", "norm_after", "max_position_embeddings", "vision_config"):
        if key != "vision_config":
            assert getattr(read, key) == getattr(made, key)


def test_defaults_of_the_training_code_differ():
    config = MolmoConfig(d_model=64, n_heads=4, n_layers=2, max_sequence_length=77)
    assert (config.num_experts, config.num_experts_per_tok, config.num_key_value_heads) == (8, 2, 4)
    assert (config.intermediate_size, config.max_position_embeddings) == (256, 77)
    assert MolmoConfig(d_model=64, n_heads=4, multi_query_attention=True).num_key_value_heads == 1


def test_image_tokens_follow_the_ordinary_ones():
    config = MolmoConfig(**MOLMOE_1B)
    assert (config.image_start_id, config.image_end_id) == (50280, 50281)
    assert (config.image_token_id, config.image_column_id) == (50282, 50283)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation_type": "gelu"}, "activation_type='gelu' is not supported: .* have 'swiglu'"),
        ({"weight_tying": True}, "weight_tying=True is not supported"),
        ({"rope_impl": "interleave"}, "rope_impl='interleave'"),
        ({"vision_backbone": {"image_num_heads": 16, "image_num_key_value_heads": 4}}, "grouped-query"),
    ],
)
def test_what_no_checkpoint_has_is_refused_in_one_sentence(changes, message):
    with pytest.raises(ModelError, match=message):
        MolmoConfig(**{**MOLMO_7B_D, **changes})
