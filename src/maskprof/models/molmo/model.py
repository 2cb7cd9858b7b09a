"""MolmoModel: the decoder and its vision part, from token ids and crops to hidden states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from maskprof.errors import ModelError
from maskprof.models.cache_names import RETURNED_NAME
from maskprof.models.molmo.config import MolmoConfig
from maskprof.models.molmo.decoder import KVPair, MolmoRMSNorm, RotaryPositions, make_block
from maskprof.models.molmo.experts import MolmoExperts
from maskprof.models.molmo.masking import attention_bias, padding_mask, positions
from maskprof.models.molmo.vision import VisionBackbone, VisionTower


class MolmoEmbedding(nn.Module):
    """Two tables in a row: ids up to `embedding`'s rows, then `new_embedding`'s; padding (-1) is row 0."""

    def __init__(self, config: MolmoConfig) -> None:
        """Allocate both tables."""
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(config.embedding_size, config.hidden_size))
        self.new_embedding = nn.Parameter(torch.zeros(config.additional_vocab_size, config.hidden_size))

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up (batch, tokens): (batch, tokens, hidden)."""
        rows = self.embedding.shape[0]
        found = functional.embedding(input_ids.clamp(0, rows - 1), self.embedding)
        if not self.new_embedding.shape[0]:
            return found
        beyond = functional.embedding((input_ids - rows).clamp(min=0), self.new_embedding)
        return torch.where((input_ids >= rows)[..., None], beyond, found)


class MolmoPreTrainedModel(PreTrainedModel):  # type: ignore[misc]  # transformers is untyped
    """What transformers needs to know of both models."""

    config_class = MolmoConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    main_input_name = "input_ids"
    _no_split_modules = ["MolmoBlock", "MolmoNestedBlock", "VisionBlock"]  # noqa: RUF012  read by transformers
    _skip_keys_device_placement = ["past_key_values", "cache"]  # noqa: RUF012
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.LayerNorm, MolmoRMSNorm)):
            nn.init.ones_(module.weight)
            if isinstance(module, nn.LayerNorm):
                nn.init.zeros_(module.bias)
        elif isinstance(module, (MolmoExperts, MolmoEmbedding, VisionTower, VisionBackbone)):
            for parameter in module.parameters(recurse=False):
                nn.init.normal_(parameter, std=std)


def given_cache(past_key_values: Any, cache: Any) -> Any:
    """What a forward was given by either name.

    Raises:
        ModelError: both names have one.
    """
    if past_key_values is not None and cache is not None:
        raise ModelError("a Molmo model takes its cache as cache or as past_key_values, not as both")
    return cache if past_key_values is None else past_key_values


@dataclass(frozen=True, slots=True)
class _Past:
    """The keys and values that a forward starts from, in either form, or neither.

    Attributes:
        cache: a transformers cache.
        pairs: one `(k, v)` per block, older than cache objects.
        length: tokens in it; a tensor in caches of fixed size.
        fixed_size: slots of a cache of fixed size.
    """

    cache: Any
    pairs: Sequence[KVPair] | None
    length: Any
    fixed_size: int | None

    @classmethod
    def of(cls, given: Any) -> "_Past":
        if given is None:
            return cls(None, None, 0, None)
        if hasattr(given, "get_seq_length"):
            fixed = int(given.layers[0].max_cache_len) if getattr(given, "is_compileable", False) else None
            return cls(given, None, given.get_seq_length(), fixed)
        return cls(None, given, given[0][0].shape[-2] if len(given) else 0, None)


class MolmoModel(MolmoPreTrainedModel):
    """The decoder without its head, and the vision part.

    `transformer.blocks` are the blocks; each returns `(x, (k, v))`, see `decoder.MolmoBlock.forward`.
    """

    def __init__(self, config: MolmoConfig) -> None:
        """Build the model with the names of the config's dialect."""
        super().__init__(config)
        blocks = nn.ModuleList(make_block(config, number) for number in range(config.num_hidden_layers))
        parts: dict[str, nn.Module] = {
            "wte": MolmoEmbedding(config),
            "blocks": blocks,
            "ln_f": MolmoRMSNorm(config.hidden_size, config.layer_norm_eps),
        }
        if not config.nested_names:
            # The head's published name; only MolmoForCausalLM calls it.
            parts["ff_out"] = nn.Linear(config.hidden_size, config.embedding_size, bias=False)
        self.transformer = nn.ModuleDict(parts)
        self.vision_backbone = VisionBackbone(config)
        self._rotary = RotaryPositions(config.hidden_size // config.num_attention_heads, config.rope_theta)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The two tables; called with ids."""
        wte: nn.Module = self.transformer["wte"]
        return wte

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the tables."""
        self.transformer["wte"] = value

    def get_image_features(self, images: Tensor, image_masks: Tensor | None = None) -> Tensor:
        """Image features as `forward` adds them, (batch, crops, tokens per crop, hidden)."""
        features: Tensor = self.vision_backbone(images, image_masks)
        return features

    def forward(  # noqa: PLR0917  the published order
        self,
        input_ids: Tensor | None = None,
        images: Tensor | None = None,
        image_masks: Tensor | None = None,
        image_input_idx: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        cache: Any = None,
        **_unused: Any,
    ) -> Any:
        """Run the decoder, images first.

        Args:
            input_ids: (batch, tokens), -1 for padding.
            images: (batch, crops, patches, values per patch), with prompts only.
            image_masks: (batch, crops, patches).
            image_input_idx: (batch, crops, tokens per crop), where each image feature is added; negative for nowhere.
            attention_mask: (batch, past and new tokens), 1 for real tokens; by default all but ids of -1. Cached
                steps after a padded prompt need it.
            position_ids: (batch, tokens); by default real tokens are counted.
            past_key_values: a transformers cache, or a list of one `(k, v)` per block.
            inputs_embeds: (batch, tokens, hidden) instead of `input_ids`.
            use_cache: return the cache: the one that was given, else a list of one `(k, v)` per block.
            output_hidden_states: also return every block's input and the final norm's output.
            return_dict: False for a tuple.
            cache: the same as `past_key_values`, as transformers 5.24 and later call it.

        Returns:
            BaseModelOutputWithPast.

        Raises:
            ModelError: images with a filled cache, or without places to go to; a cache by both names.
        """
        use_cache = self.config.use_cache if use_cache is None else use_cache
        past = _Past.of(given_cache(past_key_values, cache))
        mask = padding_mask(input_ids, attention_mask)
        x = self._embedded(input_ids, inputs_embeds)
        if images is not None:
            x = self._with_images(x, images, image_masks, image_input_idx, past)
        tokens = x.shape[1]
        if position_ids is None:
            position_ids = positions(mask, past.length, tokens, x.device)
        bias = attention_bias(
            mask,
            past=past.length,
            tokens=tokens,
            keys=past.fixed_size,
            dtype=x.dtype,
            device=x.device,
        )
        rotation = self._rotary(position_ids)
        slots = torch.arange(tokens, device=x.device) + past.length if past.fixed_size is not None else None
        pairs: list[KVPair | None] = []
        states: list[Tensor] = []
        for number, block in enumerate(cast("nn.ModuleList", self.transformer["blocks"])):
            states.append(x)
            x, pair = block(
                x,
                attention_bias=bias,
                position_ids=position_ids,
                layer_past=past.pairs[number] if past.pairs is not None else None,
                use_cache=use_cache,
                past_key_values=past.cache,
                rotation=rotation,
                cache_position=slots,
            )
            pairs.append(pair)
        x = self.transformer["ln_f"](x)
        filled: Any = past.cache if past.cache is not None else pairs
        output = BaseModelOutputWithPast(
            last_hidden_state=x,
            hidden_states=(*states, x) if output_hidden_states else None,
            **{RETURNED_NAME: filled if use_cache else None},
        )
        return output.to_tuple() if return_dict is False else output

    def _embedded(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("a Molmo model takes either input_ids or inputs_embeds")
        x: Tensor = self.transformer["wte"](input_ids) if inputs_embeds is None else inputs_embeds
        return x * self.config.hidden_size**0.5 if self.config.normalize_input_embeds else x

    def _with_images(
        self,
        x: Tensor,
        images: Tensor,
        image_masks: Tensor | None,
        image_input_idx: Tensor | None,
        past: _Past,
    ) -> Tensor:
        """Add image features to the embeddings at their places."""
        if image_input_idx is None:
            raise ModelError("images need image_input_idx: where in input_ids their features belong")
        if past.pairs is not None or bool(past.length > 0):
            raise ModelError(
                "images belong to the prompt, and cannot come with a cache that is filled already"
            )
        features = self.get_image_features(images, image_masks)
        if image_input_idx.shape != features.shape[:3]:
            raise ModelError(
                f"image_input_idx has shape {tuple(image_input_idx.shape)}, but the images have "
                f"{tuple(features.shape[:3])} features (batch, crops, tokens per crop)"
            )
        batch, tokens, width = x.shape
        # Without compacting the kept features, whose number a GPU would have to be asked for: dropped ones
        # are added as zeros.
        kept = image_input_idx >= 0
        rows = torch.arange(batch, device=x.device)[:, None, None] * tokens
        places = (image_input_idx.clamp(min=0) + rows).flatten()
        added = torch.where(kept[..., None], features, 0).to(x.dtype).reshape(-1, width)
        return x.reshape(-1, width).index_add(0, places, added).view_as(x)
