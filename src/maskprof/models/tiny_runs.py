"""Further ways to run a tiny model: with padding on the left, and through `generate()` with several caches."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from maskprof.models.tiny import Architecture, cached_logits
from maskprof.models.two_tokens import rows_per_text

Inputs = Mapping[str, Tensor]
Way = Callable[[PreTrainedModel, Architecture, Inputs], tuple[Tensor, ...]]
"""What a way computes is to be the same, tensor by tensor, for two models that compute the same."""

PROMPT_TOKENS: Final = 8
NEW_TOKENS: Final = 3
PADDING: Final = 3
"""Tokens of padding in front of the first text of a batch."""


def _padded_steps(model: PreTrainedModel, architecture: Architecture, inputs: Inputs) -> tuple[Tensor, ...]:
    padded = {**inputs, "attention_mask": _padding_mask(model, inputs["input_ids"])}
    return (cached_logits(model, architecture, padded, prompt=PROMPT_TOKENS),)


@torch.no_grad()
def _generated(
    model: PreTrainedModel, architecture: Architecture, inputs: Inputs, **settings: Any
) -> tuple[Tensor, ...]:
    tokens = inputs["input_ids"].shape[1]
    prompt = {
        name: value[:, :PROMPT_TOKENS] if value.shape[1] == tokens else value
        for name, value in inputs.items()
    }
    if rows_per_text(model) > 1:
        settings["decoder_start_token_id"] = 0
    if architecture.model_type != "rwkv":
        prompt["attention_mask"] = _padding_mask(model, prompt["input_ids"])
    output: Any = model.generate(
        **prompt,
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
        **settings,
    )
    return output.sequences, torch.stack(output.logits)


def _padding_mask(model: PreTrainedModel, input_ids: Tensor) -> Tensor:
    """(texts, tokens); the first text is shorter, with its padding on the left."""
    mask = input_ids.new_ones(input_ids.shape[0] // rows_per_text(model), input_ids.shape[1])
    mask[0, :PADDING] = 0
    return mask


WAYS: Final[Mapping[str, Way]] = {
    "left padding": _padded_steps,
    "generate": partial(_generated, cache_implementation="dynamic"),
    "static cache": partial(_generated, cache_implementation="static"),
    "beam search": partial(_generated, num_beams=2),
}
"""By name. Not every architecture can do each: then its untouched model raises an error."""
