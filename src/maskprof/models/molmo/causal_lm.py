"""MolmoForCausalLM: the model with its head, loaded from checkpoints as published, with `generate()`."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from maskprof.models.cache_names import RETURNED_NAME
from maskprof.models.molmo.config import MolmoConfig
from maskprof.models.molmo.masking import last_real_positions, padding_mask, positions
from maskprof.models.molmo.model import MolmoModel, MolmoPreTrainedModel, given_cache
from maskprof.models.molmo.names import check_checkpoint, check_loaded

_IMAGE_INPUTS = ("images", "image_masks", "image_input_idx")


class MolmoForCausalLM(MolmoPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A Molmo with its head, as the checkpoints hold it."""

    def __init__(self, config: MolmoConfig) -> None:
        """Build the model with the names of the config's dialect."""
        super().__init__(config)
        self.model = MolmoModel(config)
        if config.nested_names:
            self.lm_head = nn.Linear(config.hidden_size, config.embedding_size, bias=False)
        self.post_init()

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, output_loading_info: bool = False, **kwargs: Any
    ) -> Any:
        """Load a checkpoint as published; transformers' options all work.

        Raises:
            ModelError: names of weights are missing, left over or of another shape than the config says.
        """
        if not (kwargs.get("subfolder") or kwargs.get("variant")):
            renamed = check_checkpoint(pretrained_model_name_or_path, kwargs.get("config"))
            kwargs |= {} if renamed is None else {"config": renamed}
        model, report = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        check_loaded(pretrained_model_name_or_path, report)
        return (model, report) if output_loading_info else model

    def get_input_embeddings(self) -> nn.Module:
        """The two tables of embeddings."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the tables of embeddings."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The head; it has no rows for the additional vocabulary."""
        head: nn.Module = self.lm_head if self.config.nested_names else self.model.transformer["ff_out"]
        return head

    def get_image_features(self, images: Tensor, image_masks: Tensor | None = None) -> Tensor:
        """Image features, (batch, crops, tokens per crop, hidden)."""
        return self.model.get_image_features(images, image_masks)

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
        logits_to_keep: int | Tensor = 0,
        last_logits_only: bool = False,
        append_last_valid_logits: Tensor | None = None,
        *,
        cache: Any = None,
        **kwargs: Any,
    ) -> Any:
        """As `MolmoModel.forward`, but a transformers cache is made where none is given, and with logits.

        Logits are computed of the last `logits_to_keep` positions, or of these positions where it is a tensor; 0 is
        all. `last_logits_only` is the same as 1. `append_last_valid_logits`, (batch,), is per row the position whose
        logits stand in the last column, for prompts that are padded on the right.

        Returns:
            CausalLMOutputWithPast; logits are (batch, kept positions, embedding_size).
        """
        use_cache = self.config.use_cache if use_cache is None else use_cache
        past = given_cache(past_key_values, cache)
        if use_cache and past is None:
            past = DynamicCache()
        output = self.model(
            input_ids=input_ids,
            images=images,
            image_masks=image_masks,
            image_input_idx=image_input_idx,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            **kwargs,
        )
        x = output.last_hidden_state
        if append_last_valid_logits is not None:
            rows = torch.arange(x.shape[0], device=x.device)
            last = x[rows, append_last_valid_logits.to(x.device)][:, None]
            x = last if last_logits_only or logits_to_keep == 1 else torch.cat((x[:, :-1], last), dim=1)
        elif last_logits_only:
            x = x[:, -1:]
        elif not isinstance(logits_to_keep, int):
            x = x[:, logits_to_keep]
        elif logits_to_keep:
            x = x[:, -logits_to_keep:]
        result = CausalLMOutputWithPast(
            logits=self.get_output_embeddings()(x),
            hidden_states=output.hidden_states,
            **{RETURNED_NAME: getattr(output, RETURNED_NAME)},
        )
        return result.to_tuple() if return_dict is False else result

    def prepare_inputs_for_generation(self, input_ids: Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What one forward of `generate()` is given: images with the prompt only."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(input_ids, *args, **kwargs)
        mask, ids = kwargs.get("attention_mask"), inputs["input_ids"]
        if mask is not None and mask.dim() == 2 and ids is not None:  # noqa: PLR2004
            # transformers counts on from the last column, which may be padding.
            tokens = ids.shape[1]
            inputs["position_ids"] = positions(mask, mask.shape[1] - tokens, tokens, ids.device)
        if kwargs.get("is_first_iteration"):
            if mask is not None and ids is not None and padding_mask(ids, mask) is not None:
                inputs["append_last_valid_logits"] = last_real_positions(mask)
        elif kwargs.get("use_cache", True):
            for name in _IMAGE_INPUTS:
                inputs.pop(name, None)
        return inputs

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, with the images' tensors as further arguments; ids of -1 are padding.

        The output repeats the prompt, its padding included.
        """
        ids = kwargs.get("input_ids") if inputs is None else inputs
        if ids is not None and kwargs.get("attention_mask") is None:
            kwargs["attention_mask"] = (ids >= 0).long()
        return super().generate(inputs, *args, **kwargs)

    def generate_from_batch(
        self, batch: dict[str, Tensor], generation_config: Any = None, **kwargs: Any
    ) -> Any:
        """`generate` under the published code's name: `batch` is what a Molmo processor makes."""
        return self.generate(**batch, generation_config=generation_config, **kwargs)
