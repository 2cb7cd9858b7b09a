"""MolmoConfig: one vocabulary of settings for the two dialects of published `config.json` files.

MolmoE-1B speaks the names of its training code (`d_model`, `n_heads`, a `vision_backbone` dictionary); the 7B and
72B checkpoints speak transformers' names and leave their vision tower to the code. Both say `model_type:
"molmo"`. Inside there are transformers' names only; what is saved is written in the dialect that was read.
"""

from collections.abc import Mapping
from typing import Any, Final

from transformers import PreTrainedConfig

from maskprof.errors import ModelError

MODEL_TYPE: Final = "molmo"

# The training code's name -> ours.
_TRAINING_NAMES: Final = {
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "n_layers": "num_hidden_layers",
    "n_kv_heads": "num_key_value_heads",
    "mlp_hidden_size": "intermediate_size",
    "moe_num_experts": "num_experts",
    "moe_top_k": "num_experts_per_tok",
}
_TOWER_NAMES: Final = {
    "image_default_input_size": "image_size",
    "image_patch_size": "patch_size",
    "image_emb_dim": "hidden_size",
    "image_num_heads": "num_attention_heads",
    "image_head_dim": "head_dim",
    "image_mlp_dim": "intermediate_size",
    "image_num_layers": "num_hidden_layers",
    "image_num_pos": "num_positions",
    "image_norm_eps": "layer_norm_eps",
}
# Both dialects name these outside their description of the tower.
_TOWER_KEYS_OUTSIDE: Final = {"vit_layers": "feature_layers", "float32_attention": "float32_attention"}

# Settings that all released checkpoints have at one value, which is what this implementation computes.
_FIXED: Final[Mapping[str, Any]] = {
    "activation_type": "swiglu",
    "alibi": False,
    "final_logit_softcapping": None,
    "head_dim": None,
    "image_padding_embed": "pad_and_partial_pad",
    "image_pooling_2d": "attention-meanq",
    "image_pooling_h": 2,
    "image_pooling_w": 2,
    "image_projector": "mlp",
    "include_bias": False,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "moe_shared_expert": False,
    "rope": True,
    "rope_impl": "llama",
    "scale_logits": False,
    "tie_word_embeddings": False,
    "use_cls_feature": False,
    "weight_tying": False,
}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "vocab_size": 152_064,
    "embedding_size": None,
    "additional_vocab_size": 128,
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 37_888,
    "num_experts": 0,
    "num_experts_per_tok": 0,
    "qkv_bias": True,
    "clip_qkv": None,
    "attention_layer_norm": False,
    "norm_after": False,
    "layer_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 4096,
    "normalize_input_embeds": False,
    "initializer_range": 0.02,
    "use_cache": True,
    "nested_names": False,
}
# What the training code takes where its config says nothing.
_TRAINING_DEFAULTS: Final[Mapping[str, Any]] = {
    "num_key_value_heads": None,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "qkv_bias": False,
    "layer_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "nested_names": True,
}


class MolmoVisionConfig(PreTrainedConfig):  # type: ignore[misc]  # transformers is untyped
    """The vision tower; the defaults are those of all released checkpoints, OpenAI's CLIP ViT-L/14-336.

    Attributes:
        image_size: height and width of one crop in pixels.
        patch_size: side of a patch in pixels.
        num_hidden_layers: 23; CLIP's last layer is left out.
        num_positions: rows of the table of positions, the class token's included.
        feature_layers: the blocks whose outputs are concatenated, in this order; negative ones count from the end.
        float32_attention: attention is computed in float32 whatever the weights are in.
        others: what a published description of the tower says beside this, kept to be written again.
    """

    model_type = "molmo_vision"

    def __init__(
        self,
        *,
        image_size: tuple[int, int] = (336, 336),
        patch_size: int = 14,
        hidden_size: int = 1024,
        num_attention_heads: int = 16,
        head_dim: int = 64,
        intermediate_size: int = 4096,
        num_hidden_layers: int = 23,
        num_positions: int = 577,
        layer_norm_eps: float = 1e-5,
        feature_layers: tuple[int, ...] = (-2, -9),
        float32_attention: bool = True,
        others: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the settings; see the class."""
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.patch_size = patch_size
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.head_dim = head_dim
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_positions = num_positions
        self.layer_norm_eps = layer_norm_eps
        self.feature_layers = tuple(feature_layers)
        self.float32_attention = float32_attention
        self.others = dict(others or {})

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Patches of one crop: rows, columns."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def token_grid(self) -> tuple[int, int]:
        """Tokens of one crop, each pooled from 2x2 patches: rows, columns."""
        rows, columns = self.patch_grid
        return (rows + 1) // 2, (columns + 1) // 2


class MolmoConfig(PreTrainedConfig):  # type: ignore[misc]
    """A Molmo 0924 model: MolmoE-1B, Molmo-7B-D, Molmo-7B-O or Molmo-72B. The defaults are Molmo-7B-D's.

    Attributes:
        vocab_size: ordinary tokens; the five of an image follow (`image_start_id` and so on).
        embedding_size: rows of the embedding and of the head.
        additional_vocab_size: rows of the second embedding, whose ids follow the first's.
        intermediate_size: width of value and gate together, that is twice a dense block's inner width; also twice
            an expert's inner width and the projector's.
        num_experts: 0 for a dense model.
        num_experts_per_tok: experts that each token goes through.
        norm_after: norms stand after attention and feed-forward instead of before them (7B-O).
        attention_layer_norm: queries and keys are normalised as whole vectors before they are cut into heads.
        nested_names: parameters are named, and settings saved, as MolmoE-1B's are.
        vision_config: the vision tower, a `MolmoVisionConfig`.

    Raises:
        ModelError: a setting that no released checkpoint has and that is not implemented.
    """

    model_type = MODEL_TYPE
    keys_to_ignore_at_inference = ["past_key_values", "cache"]  # noqa: RUF012  transformers declares it like this
    attribute_map = _TRAINING_NAMES

    def __init__(
        self, vision_config: MolmoVisionConfig | Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        """Take the settings by the names of either dialect; `d_model` marks the training code's."""
        if "d_model" in settings:
            settings = _from_training_names(settings)
        for key, value in _FIXED.items():
            if settings.get(key, value) != value:
                raise ModelError(
                    f"a Molmo config with {key}={settings[key]!r} is not supported: all released checkpoints have "
                    f"{value!r}"
                )
        tower = _read_tower(vision_config, settings)
        rest = {key: value for key, value in settings.items() if key not in _DEFAULTS}
        super().__init__(**rest)
        own = {key: settings.get(key, default) for key, default in _DEFAULTS.items()}
        own["embedding_size"] = own["embedding_size"] or own["vocab_size"]
        own["num_key_value_heads"] = own["num_key_value_heads"] or own["num_attention_heads"]
        for key, value in own.items():
            setattr(self, key, value)
        self.tie_word_embeddings = False
        self.vision_config = tower

    @property
    def image_start_id(self) -> int:
        """The mark before each of the two parts of an image; the image's tokens follow the ordinary ones."""
        return int(self.vocab_size)

    @property
    def image_end_id(self) -> int:
        """The mark after each of the two parts of an image."""
        return int(self.vocab_size) + 1

    @property
    def image_token_id(self) -> int:
        """The token that image features are added to."""
        return int(self.vocab_size) + 2

    @property
    def image_column_id(self) -> int:
        """The token after each row of an image's tokens."""
        return int(self.vocab_size) + 3

    def to_dict(self) -> dict[str, Any]:
        """The settings in the dialect of their checkpoint."""
        settings: dict[str, Any] = super().to_dict()
        del settings["vision_config"], settings["nested_names"]
        tower: MolmoVisionConfig = self.vision_config
        if not self.nested_names:
            return settings | _written_tower(tower, only_if_unusual=True)
        for theirs, ours in _TRAINING_NAMES.items():
            settings[theirs] = settings.pop(ours)
        return settings | _written_tower(tower, only_if_unusual=False)

    def to_diff_dict(self) -> dict[str, Any]:
        """The settings, all of Molmo's own among them: what a default is differs between the dialects."""
        generic = PreTrainedConfig().to_dict()
        never = ("_name_or_path", "id2label", "label2id")
        return {
            key: value
            for key, value in self.to_dict().items()
            if key not in never
            and (key in ("model_type", "transformers_version") or generic.get(key, self) != value)
        }


def _from_training_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    translated = {_TRAINING_NAMES.get(key, key): value for key, value in settings.items()}
    if translated.get("num_key_value_heads") is None and translated.get("multi_query_attention"):
        translated["num_key_value_heads"] = 1
    if translated.get("intermediate_size") is None:
        translated["intermediate_size"] = int(settings.get("mlp_ratio", 4) * settings["d_model"])
    if translated.get("max_position_embeddings") is None:
        translated["max_position_embeddings"] = translated.get("max_sequence_length")
    return {**_TRAINING_DEFAULTS, **translated}


def _read_tower(
    given: MolmoVisionConfig | Mapping[str, Any] | None, settings: dict[str, Any]
) -> MolmoVisionConfig:
    """The tower of either dialect; its keys are taken out of `settings`."""
    published = dict(settings.pop("vision_backbone", None) or {})
    outside = {ours: settings.pop(key) for key, ours in _TOWER_KEYS_OUTSIDE.items() if key in settings}
    if isinstance(given, MolmoVisionConfig):
        return given
    heads = published.get("image_num_heads")
    if published.get("image_num_key_value_heads", heads) not in (None, heads):
        raise ModelError(
            "a Molmo vision tower with grouped-query attention (image_num_key_value_heads="
            f"{published['image_num_key_value_heads']}) is not supported: no released checkpoint has one"
        )
    named = {_TOWER_NAMES[key]: value for key, value in published.items() if key in _TOWER_NAMES}
    others = {key: value for key, value in published.items() if key not in _TOWER_NAMES}
    return MolmoVisionConfig(**{"others": others, **named, **outside, **(given or {})})


def _written_tower(tower: MolmoVisionConfig, *, only_if_unusual: bool) -> dict[str, Any]:
    own = {theirs: _plain(getattr(tower, ours)) for theirs, ours in _TOWER_NAMES.items()}
    outside = {theirs: _plain(getattr(tower, ours)) for theirs, ours in _TOWER_KEYS_OUTSIDE.items()}
    written = {"vision_backbone": {**tower.others, **own}, **outside}
    if only_if_unusual:
        usual = _written_tower(MolmoVisionConfig(), only_if_unusual=False)
        same_tower = written["vision_backbone"].items() >= usual["vision_backbone"].items()
        return {
            key: value
            for key, value in written.items()
            if (not same_tower if key == "vision_backbone" else value != usual[key])
        }
    return written


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
