"""What the integers of a model configuration stand for, told by their names, and how small each may become.

A size here is a ceiling: where an architecture publishes a smaller value, that one is kept.
"""

import re
from typing import Final

WIDTH: Final = 64
HEADS: Final = 4
KEY_VALUE_HEADS: Final = 2
HEAD_DIM: Final = 16
INNER_WIDTH: Final = 128
EXPERTS: Final = 4
ROUTED_EXPERTS: Final = 2
RANK: Final = 16
VOCABULARY: Final = 128
POSITIONS: Final = 128
WINDOW: Final = 6
"""Shorter than a prompt of eight tokens, so that both prefill and decode leave the window."""
TOWER_LAYERS: Final = 2
"""Depth of the vision, audio and other towers beside the text stack."""

_LAYERS: Final = re.compile(
    r"(.*_)?num_(hidden|encoder|decoder|global|lstm)_layers|(encoder_|decoder_|num_)?layers|n_layers?"
    r"|(.*_)?depth|num_blocks"
)
_TOKENS: Final = re.compile(r".*_token_(ids?|index)|im_.*_id|image_patch_id|(mask|unk)_index")
_KEY_VALUE_HEADS: Final = re.compile(r"(.*_)?(key_value|kv|kv_n)_heads|num_query_groups")

# The first pattern that matches a whole name decides. None: the value is no size, though the name looks like one.
_CEILINGS: Final[tuple[tuple[re.Pattern[str], int | None], ...]] = tuple(
    (re.compile(pattern), ceiling)
    for pattern, ceiling in (
        (r"(mamba_)?chunk_size", 16),
        (r"(sliding|attention|keep)_window(_size)?|window_size|attention_chunk_size|local_attention", WINDOW),
        (r"patch_size", 4),
        (r"(.*_)?(image|img|crop)_size|resolution", 16),
        (r"(.*_)?(kernel|merge|patch|chunk|grid|group|block|ngram|batch)_sizes?|.*_kernel_dim", None),
        (r"(.*_)?vocab(_size(_.*)?)?|codebook_size|num_embeddings", VOCABULARY),
        (r"(moe_)?num_(local_)?experts|n_routed_experts|zero_expert_num", EXPERTS),
        (r"num_experts_per_tok(en)?|moe_(k|topk|top_k)", ROUTED_EXPERTS),
        (r"n_group|num_expert_group", 2),
        (r"topk_group|.*_shared_experts|(mamba_)?n_?groups|num_groups|upsample_groups", 1),
        (r"index_topk", 32),
        (r".*_rank|hc_lowrank|d_rel|dim_model_base|(mamba_d_|ssm_)?state(_size)?", RANK),
        (r"(.*_)?(heads|n_head)(_per_layer)?", HEADS),
        (
            r"(.*_)?head_?(dim|size)|(.*_)?dim_head|(mamba_)?d_head|d_kv|kv_channels|rotary_dim|query_pre_attn_scalar",
            HEAD_DIM,
        ),
        (
            r"(.*_)?(intermediate|ffn|feed_forward|mlp|expert)(_.*)?_(size|dim)(_mlp)?|d_ff|d_inner|dff|dim_ff|n_inner",
            INNER_WIDTH,
        ),
        (r"moe_hidden_size", INNER_WIDTH),
        (
            r"(.*_)?positions|(.*_)?position_embeddings|n_ctx|max_seq_len|seq_len|context_length|model_max_length",
            POSITIONS,
        ),
        (r"num_(image|query)_tokens|latent_query_num|.*_latents|num_mel_bins", 16),
        (
            r"(.*_)?(sizes?|dims?|channels?|filters)(_global|_per_layer_input)?|d_model|n_embd|lru_width|mamba_d_ssm",
            WIDTH,
        ),
    )
)


def is_layer_count(name: str) -> bool:
    """Whether `name` counts the layers of a stack."""
    return _LAYERS.fullmatch(name) is not None


def is_token(name: str) -> bool:
    """Whether `name` holds the id of a token, or several."""
    return _TOKENS.fullmatch(name) is not None


def is_key_value_heads(name: str) -> bool:
    """Whether `name` counts heads of keys and values."""
    return _KEY_VALUE_HEADS.fullmatch(name) is not None


def shrunk_size(name: str, value: int) -> int:
    """The size to use for `name`, never above `value`; `value` itself where the name tells nothing."""
    for pattern, ceiling in _CEILINGS:
        if pattern.fullmatch(name):
            return value if ceiling is None else min(value, ceiling)
    return value
