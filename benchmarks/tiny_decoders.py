"""Decoders of many tiny blocks, and the same ones without some of them."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast

from maskprof.models.cache_names import RETURNED_NAME

VOCABULARY = 32


class BareBlock(GradientCheckpointingLayer):
    """Called as transformers calls a block; fills its cache slot, adds, and that is all."""

    def __init__(self, layer_idx: int, width: int) -> None:
        super().__init__()
        self.layer_idx = layer_idx
        self.shift = nn.Parameter(torch.ones(width))

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **_unused: Any) -> Tensor:
        if past_key_values is not None:
            keys = hidden_states[:, None]
            past_key_values.update(keys, keys, self.layer_idx)
        return hidden_states + self.shift


class BareDecoder(nn.Module):
    """The loop of transformers' decoders over blocks that compute next to nothing."""

    def __init__(self, blocks: int, width: int = 8) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.layers = nn.ModuleList([BareBlock(number, width) for number in range(blocks)])

    def forward(
        self, input_ids: Tensor, past_key_values: Any = None, use_cache: bool = True, **_unused: Any
    ) -> BaseModelOutputWithPast:
        if past_key_values is None and use_cache:
            past_key_values = DynamicCache()
        hidden_states = self.embed(input_ids)
        positions = past_key_values.get_seq_length() if past_key_values is not None else 0
        for block in self.layers:
            hidden_states = block(
                hidden_states,
                attention_mask=None,
                position_embeddings=None,
                position_ids=positions,
                past_key_values=past_key_values,
                use_cache=use_cache,
            )
        return BaseModelOutputWithPast(last_hidden_state=hidden_states, **{RETURNED_NAME: past_key_values})


def tiny_llama(blocks: int, device: torch.device, *, head_dim: int = 8) -> nn.Module:
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=blocks,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=head_dim,
        max_position_embeddings=16384,
    )
    return LlamaForCausalLM(config).eval().to(device)


def bare_decoder(blocks: int, device: torch.device) -> nn.Module:
    return BareDecoder(blocks).eval().to(device)


def built_of_first(model: nn.Module, active: int) -> nn.Module:
    """A model that is built smaller, and given the other one's own first blocks.

    The same objects, since where two equal models happen to lie in memory already makes them differ by
    microseconds a block. The blocks keep their numbers, so they fit both.
    """
    if isinstance(model, BareDecoder):
        smaller = BareDecoder(active)
        smaller.embed, smaller.layers = model.embed, nn.ModuleList(list(model.layers)[:active])
        return smaller.eval()
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = active
    smaller = LlamaForCausalLM(config).eval()
    smaller.lm_head = model.lm_head
    smaller.model.embed_tokens, smaller.model.norm = model.model.embed_tokens, model.model.norm
    smaller.model.rotary_emb = model.model.rotary_emb
    smaller.model.layers = nn.ModuleList(list(model.model.layers)[:active])
    return smaller
