"""Architectures of transformers whose blocks cannot be skipped one by one, and what they are instead."""

from collections.abc import Mapping
from typing import Any, Final

from torch import nn

from maskprof.errors import MaskError

_ENCODER_DECODER = "is an encoder-decoder"
_LOOPED = "runs some of its blocks several times for each token, with a cache slot for each time"
_NEEDS_IMAGE = "needs an image even for text, and its forward pass takes no cache"
_DRAFT_HEAD = "is a draft head that needs the keys and values of its target model"

NOT_SUPPORTED: Final[Mapping[str, str]] = {
    "blip": _NEEDS_IMAGE,
    "blip-2": _NEEDS_IMAGE,
    "blt": "stacks blocks over bytes and over patches of them",
    "diffusion_gemma": "diffuses blocks of tokens instead of decoding one by one",
    "dory": _LOOPED,
    "florence2": _ENCODER_DECODER,
    "gemma4_assistant": _DRAFT_HEAD,
    "gemma4_unified_assistant": _DRAFT_HEAD,
    "hrm_text": "runs two stacks several times for each token, with a cache slot for each cycle",
    "inkling2_loop": _LOOPED,
    "inkling2_loop_text": _LOOPED,
    "instructblip": _NEEDS_IMAGE,
    "instructblipvideo": _NEEDS_IMAGE,
    "pi0": "is an action policy that needs a robot's state",
    "pix2struct": _ENCODER_DECODER,
    "pp_formulanet": _ENCODER_DECODER,
    "reformer": "has reversible blocks over two streams",
    "t5gemma2": _ENCODER_DECODER,
    "udop": _ENCODER_DECODER,
    "vision-encoder-decoder": _ENCODER_DECODER,
    "xlm": "has no block modules: the parts of a layer sit in four parallel lists",
}
"""Model types without one stack of blocks that decodes text token by token; to stand behind "it"."""


def refuse_unsupported(model: nn.Module) -> None:
    """Raise MaskError, with the reason, on a model of one of these architectures."""
    config: Any = getattr(model, "config", None)
    reason = NOT_SUPPORTED.get(str(getattr(config, "model_type", "")))
    if reason is not None:
        raise MaskError(f"{type(model).__name__} cannot be masked: it {reason}")
