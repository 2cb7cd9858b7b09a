"""Tiny random models of the decoder architectures that transformers knows, and how to run their text path.

They have the structure of the real ones (kinds of layers, experts, cache slots, towers) at sizes that build and
run in milliseconds. Their weights are drawn large enough that each block visibly changes the logits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
import transformers
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from maskprof.errors import ModelError
from maskprof.models.cache_names import RETURNED_NAME, cache_argument, cache_arguments, carried
from maskprof.models.shrinking.configs import shrunk_config
from maskprof.models.two_tokens import rows_per_text, special_inputs

NOT_CACHE_CONSISTENT: Final[Mapping[str, str]] = {
    "cpmant": "lets prompt tokens attend both ways and places them by the length of the text",
    "paligemma": "lets all tokens of the first call attend both ways",
    "prophetnet": "predicts from several streams, of which cached steps see one",
    "xlnet": "keeps hidden states as memory, by relative positions that count from the end",
}
"""Architectures whose cached steps differ from the full forward pass by design, with the reason."""

_REDRAWN_STD: Final = 0.2
_SHIFT_STD: Final = 0.1
_ORDINARY_IDS: Final = (8, 80)
"""Token ids that no tiny configuration gives a special meaning."""

_PER_TOKEN: Final = frozenset(
    {"input_ids", "position_ids", "image_embeds_position_mask", "image_attention_mask"}
)
_NO_POSITIONS_FROM_CACHE: Final = frozenset({"bamba", "recurrent_gemma"})
_MAKES_NO_CACHE: Final = frozenset({"granite4_vision", "recurrent_gemma"})
_NEEDS_ALL_IDS: Final = frozenset({"cpmant", "openai-gpt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One entry of transformers' tables of models.

    Attributes:
        model_type: the key of the entry.
        task: the table, as transformers' pipelines name it, with hyphens.
        class_name: the model class, an attribute of `transformers`.
    """

    model_type: str
    task: Literal["causal-lm", "image-text-to-text"]
    class_name: str


def architectures() -> tuple[Architecture, ...]:
    """Every entry of the tables of causal language models and of image-text-to-text models.

    An entry that is in both with the same class is named once, as `causal-lm`.
    """
    causal = dict(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    image = dict(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    return (
        *(Architecture(model_type=key, task="causal-lm", class_name=name) for key, name in causal.items()),
        *(
            Architecture(model_type=key, task="image-text-to-text", class_name=name)
            for key, name in image.items()
            if causal.get(key) != name
        ),
    )


def tiny_config(
    architecture: Architecture, *, blocks: int = 4, settings: Mapping[str, Any] | None = None
) -> PreTrainedConfig:
    """The architecture's default configuration at tiny sizes.

    Args:
        architecture: which one.
        blocks: layers of the text stack; towers beside it have two.
        settings: fields of the text stack's configuration that are to have just these values.

    Raises:
        ModelError: the sizes do not fit together, or a package is missing.
    """
    try:
        return shrunk_config(CONFIG_MAPPING[architecture.model_type](), blocks=blocks, settings=settings)
    except Exception as error:
        raise _not_built(architecture, error) from error


def tiny_model(
    architecture: Architecture,
    *,
    seed: int = 0,
    blocks: int = 4,
    settings: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """A tiny random model, float32, on the CPU, in evaluation mode; of the order of a million parameters.

    `blocks` and `settings` are those of `tiny_config`. The same `seed` gives the same weights; torch's global
    generator is left as it was.

    Raises:
        ModelError: the model cannot be built, for instance since a package is missing.
    """
    config = tiny_config(architecture, blocks=blocks, settings=settings)
    try:
        model_class = getattr(transformers, architecture.class_name)
        # The public constructor would take the precision from the global default.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = model_class._from_config(_own_part(config, model_class), dtype=torch.float32)  # noqa: SLF001 - what the Auto classes call
            _redraw(model)
    except Exception as error:
        raise _not_built(architecture, error) from error
    return model.eval()


def _own_part(config: PreTrainedConfig, model_class: type[PreTrainedModel]) -> PreTrainedConfig:
    """`config`, or the part of it that `model_class` takes: some entries lead from a whole to its decoder."""
    parts = (config, *(getattr(config, name) for name in config.sub_configs))
    return next((part for part in parts if isinstance(part, model_class.config_class)), config)


@torch.no_grad()
def _redraw(model: PreTrainedModel) -> None:
    """Draws matrices anew and moves vectors a little, since the published scales make blocks nearly identities.

    Vectors keep their mean: norms, decays and time steps are only sound around it.
    """
    for parameter in model.parameters():
        if not parameter.is_floating_point():
            continue
        if parameter.ndim > 1:
            parameter.normal_(std=_REDRAWN_STD)
        else:
            parameter.nan_to_num_().add_(torch.randn_like(parameter), alpha=_SHIFT_STD)


def _not_built(architecture: Architecture, error: Exception) -> ModelError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        reason = f"a package is missing ({reason.partition('. ')[0]})"
    return ModelError(
        f"no tiny {architecture.class_name} (model type {architecture.model_type}) can be built: {reason}"
    )


def tiny_inputs(
    model: PreTrainedModel, architecture: Architecture, batch: int = 2, tokens: int = 8
) -> dict[str, Tensor]:
    """What the model's forward pass takes for `batch` random texts of `tokens` tokens, without any image.

    `input_ids` are (batch, tokens), with a row for each codebook in musicgen: (batch * codebooks, tokens). rwkv
    always gets one text, since its cached step is wrong for more. Where a model cannot do without tensors of
    an image there are some, of noise or empty.
    """
    generator = torch.Generator().manual_seed(tokens)
    batch = 1 if architecture.model_type == "rwkv" else batch
    rows = batch * rows_per_text(model)
    inputs = {"input_ids": torch.randint(*_ORDINARY_IDS, (rows, tokens), generator=generator)}
    if architecture.model_type in _NO_POSITIONS_FROM_CACHE:
        inputs["position_ids"] = torch.arange(tokens).expand(batch, -1)
    return inputs | special_inputs(model, batch, tokens)


@torch.no_grad()
def full_logits(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> Tensor:
    """Logits of all positions from one forward pass without a cache: (rows of `input_ids`, tokens, vocabulary)."""
    logits: Tensor = model(**inputs, use_cache=False, return_dict=True)["logits"]
    return logits


@torch.no_grad()
def cached_logits(
    model: PreTrainedModel, architecture: Architecture, inputs: Mapping[str, Tensor], *, prompt: int = 8
) -> Tensor:
    """Logits of a prefill's last position and of the single-token steps after it, with the model's own cache.

    The first `prompt` tokens of `inputs` are prefilled, each further one is a step. An `attention_mask` among the
    inputs grows with them.

    Returns:
        (rows of `input_ids`, 1 + steps, vocabulary); what `full_logits(...)[:, prompt - 1 :]` gives, except for
        the architectures in `NOT_CACHE_CONSISTENT`.
    """
    names = cache_arguments(model.forward)
    past: dict[str, Any] = {}
    if architecture.model_type in _MAKES_NO_CACHE:
        past[cache_argument(model.forward) or RETURNED_NAME] = DynamicCache(config=model.config)
    steps = []
    start = 0
    for stop in range(prompt, inputs["input_ids"].shape[-1] + 1):
        window = slice(0 if architecture.model_type in _NEEDS_ALL_IDS else start, stop)
        arguments = {name: _cut(name, value, window) for name, value in inputs.items()}
        output = model(**arguments, **past, use_cache=True, return_dict=True)
        past |= carried(output, names)
        steps.append(output["logits"][:, -1])
        start = stop
    return torch.stack(steps, dim=1)


def _cut(name: str, value: Tensor, window: slice) -> Tensor:
    if name in _PER_TOKEN:
        return value[:, window]
    return value[:, : window.stop] if name == "attention_mask" else value
