"""Tiny random models of real architectures, and the same models with blocks physically left out."""

import copy
import re
from functools import cache

import torch
import transformers
from torch import nn

BLOCKS = 4

_SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GPT2 = {"vocab_size": 64, "n_embd": 32, "n_layer": BLOCKS, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}

FAMILIES = {
    "llama": ("llama", _SHAPE),
    "qwen3": ("qwen3", {**_SHAPE, "head_dim": 8}),
    "gpt2": ("gpt2", _GPT2),
    "olmoe": ("olmoe", {**_SHAPE, "num_experts": 4, "num_experts_per_tok": 2}),
    # Sliding windows of 6 are passed while decoding; gemma2 alternates them with full attention.
    "gemma2": ("gemma2", {**_SHAPE, "head_dim": 8, "sliding_window": 6}),
    "gemma3": ("gemma3_text", {**_SHAPE, "head_dim": 8, "sliding_window": 6}),
    "mistral": ("mistral", {**_SHAPE, "sliding_window": 6}),
    # Its blocks return tuples and take the cache as `layer_past`.
    "bloom": ("bloom", {"vocab_size": 64, "hidden_size": 32, "n_layer": BLOCKS, "n_head": 4}),
    "qwen3_next": (
        "qwen3_next",
        {
            **_SHAPE,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
    ),
}


@cache
def _template(family: str) -> nn.Module:
    torch.manual_seed(0)
    if family == "molmo2":
        model = _molmo2()
    else:
        model_type, settings = FAMILIES[family]
        config = transformers.AutoConfig.for_model(model_type, **settings)
        model = transformers.AutoModelForCausalLM.from_config(config)
    # Drawn large enough that leaving any block out changes the logits visibly.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def tiny_model(family: str) -> nn.Module:
    """A fresh copy of the family's tiny model, float32, in eval mode."""
    return copy.deepcopy(_template(family))


def _molmo2() -> nn.Module:
    from maskprof.models.presets import PRESETS, preset_config

    config = preset_config(PRESETS["molmo2-tiny"])
    text = config.get_text_config()
    text.num_hidden_layers = BLOCKS
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:BLOCKS]
    return transformers.AutoModelForImageTextToText.from_config(config)


def rebuilt_without(model: nn.Module, list_path: str, active: list[int]) -> nn.Module:
    """A model that never had the other blocks: built from a smaller config, weights copied over.

    It shares no code with maskprof, which makes it the oracle for masks.
    """
    config = copy.deepcopy(model.config)
    text = config.get_text_config(decoder=True)
    for key in ("num_hidden_layers", "n_layer"):
        if key in text.__dict__:
            text.__dict__[key] = len(active)
    if getattr(text, "layer_types", None):
        text.__dict__["layer_types"] = [text.layer_types[i] for i in active]
    smaller = type(model)(config).eval()
    number_of = {old: new for new, old in enumerate(active)}
    weights = {}
    for key, tensor in model.state_dict().items():
        inside = re.fullmatch(rf"(.*{re.escape(list_path)})\.(\d+)\.(.*)", key)
        if inside is None:
            weights[key] = tensor
        elif int(inside[2]) in number_of:
            weights[f"{inside[1]}.{number_of[int(inside[2])]}.{inside[3]}"] = tensor
    smaller.load_state_dict(weights)
    return smaller


class LegacyBlock(nn.Module):
    """A block of before cache objects: returns `(x, (k, v))` and takes its own past as `layer_past`."""

    def __init__(self, width: int, heads: int, kv_heads: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, width // heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * kv_heads * self.head_dim, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x, layer_past=None, use_cache=False):
        batch, tokens, width = x.shape
        q = self.q(x).view(batch, tokens, self.heads, self.head_dim).transpose(1, 2)
        k, v = self.kv(x).view(batch, tokens, 2, self.kv_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        if layer_past is not None:
            k, v = torch.cat((layer_past[0], k), -2), torch.cat((layer_past[1], v), -2)
        allowed = torch.ones(tokens, k.shape[-2], dtype=torch.bool).tril(k.shape[-2] - tokens)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed, enable_gqa=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return x, ((k, v) if use_cache else None)


class LegacyDecoder(nn.Module):
    """A decoder that reads its positions off the first block's past, as the research code's did."""

    def __init__(self, blocks: int = BLOCKS, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, width)
        self.positions = nn.Embedding(64, width)
        self.transformer = nn.ModuleDict(
            {"blocks": nn.ModuleList([LegacyBlock(width, heads=4, kv_heads=2) for _ in range(blocks)])}
        )
        self.head = nn.Linear(width, 64)

    def forward(self, input_ids, past_key_values=None, use_cache=False):
        past = 0 if past_key_values is None else past_key_values[0][0].shape[-2]
        x = self.embed(input_ids) + self.positions(torch.arange(past, past + input_ids.shape[1]))
        cache = []
        for index, block in enumerate(self.transformer.blocks):
            layer_past = None if past_key_values is None else past_key_values[index]
            x, pair = block(x, layer_past=layer_past, use_cache=use_cache)
            cache.append(pair)
        return {"logits": self.head(x), "past_key_values": cache if use_cache else None}
