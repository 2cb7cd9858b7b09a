"""Two tokens of text for any decoder: the smallest run that goes the whole way, with what some need beside them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from maskprof.models.cache_names import RETURNED_NAME, cache_argument

_IDS = (1, 2)


def run_two_tokens(model: nn.Module) -> None:
    """Run two tokens through a model, with a cache that it makes itself or is given."""
    model(**_inputs(model), use_cache=True)


def run_two_tokens_with_cache(model: nn.Module) -> None:
    """The same with a cache handed in, for models that take one and make none."""
    config: Any = getattr(model, "config", None)
    text = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else None
    name = cache_argument(model.forward) or RETURNED_NAME
    model(**_inputs(model), **{name: DynamicCache(config=text)}, use_cache=True)


def special_inputs(model: nn.Module, batch: int, tokens: int) -> dict[str, Tensor]:
    """What a model cannot do without beside `input_ids`, for a text without an image; mostly nothing.

    Tensors of an image are noise or empty. `input_ids` have `rows_per_text` rows for each text.
    """
    config: Any = getattr(model, "config", None)
    make = _SPECIAL.get(getattr(config, "model_type", ""))
    return {} if make is None else make(config, batch, tokens)


def rows_per_text(model: nn.Module) -> int:
    """Rows of `input_ids` for one text: 1, but for music, where each codebook has one."""
    config: Any = getattr(model, "config", None)
    is_music = str(getattr(config, "model_type", "")).startswith("musicgen")
    return int(config.num_codebooks) if is_music else 1


def _inputs(model: nn.Module) -> dict[str, Tensor]:
    device = next((p.device for p in model.parameters() if p.device.type != "meta"), torch.device("cpu"))
    ids = torch.tensor([_IDS] * rows_per_text(model))
    inputs = {"input_ids": ids, **special_inputs(model, 1, len(_IDS))}
    if getattr(getattr(model, "config", None), "model_type", "") == "xlnet":
        # Its blocks hand on a second stream where there is something to predict, as in generate().
        inputs["target_mapping"] = torch.tensor([[[0.0, 1.0]]])
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def _idefics(config: Any, batch: int, tokens: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    width = config.vision_config.embed_dim
    return {
        "image_encoder_embeddings": torch.randn(batch, 1, 4, width, generator=generator),
        "image_attention_mask": torch.ones(batch, tokens, 1, dtype=torch.long),
    }


def _kosmos2(config: Any, batch: int, tokens: int) -> dict[str, Tensor]:
    return {
        "image_embeds": torch.zeros(batch, 0, config.text_config.embed_dim),
        "image_embeds_position_mask": torch.zeros(batch, tokens, dtype=torch.bool),
    }


_SPECIAL: Mapping[str, Callable[[Any, int, int], dict[str, Tensor]]] = {
    "idefics": _idefics,
    "kosmos-2": _kosmos2,
}
