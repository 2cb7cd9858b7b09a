"""Tiny Molmo models with weights that are the same everywhere, and inputs for them."""

import numpy as np
import torch

from maskprof.models.molmo import MolmoConfig, MolmoForCausalLM
from maskprof.models.molmo.images import MolmoImageProcessor
from maskprof.models.molmo.prompts import assemble, batched

BLOCKS = 4
BOS = 3
_TOWER = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "head_dim": 8,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "feature_layers": (-1, -3),
    "patch_size": 14,
}
_SHAPE = {
    "vocab_size": 90,
    "embedding_size": 96,
    "additional_vocab_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
CONFIGS = {
    # As MolmoE-1B: nested names, experts, norms of queries and keys.
    "moe": {
        **_SHAPE,
        "nested_names": True,
        "num_key_value_heads": 4,
        "intermediate_size": 48,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "qkv_bias": False,
        "attention_layer_norm": True,
        "layer_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "vision_config": {**_TOWER, "image_size": (56, 56), "num_positions": 17},
    },
    # As 7B-D: grouped-query attention with biases. An odd grid of patches, and ids beyond the first table.
    "dense": {
        **_SHAPE,
        "embedding_size": 90,
        "num_key_value_heads": 2,
        "intermediate_size": 64,
        "qkv_bias": True,
        "vision_config": {**_TOWER, "image_size": (70, 70), "num_positions": 26},
    },
    # As 7B-O: norms after their layers. Positions of a larger grid than the crops', and clamped projections.
    "norm_after": {
        **_SHAPE,
        "num_key_value_heads": 4,
        "intermediate_size": 64,
        "qkv_bias": False,
        "clip_qkv": 0.7,
        "attention_layer_norm": True,
        "norm_after": True,
        "rope_theta": 500_000.0,
        "vision_config": {**_TOWER, "image_size": (56, 56), "num_positions": 37},
    },
}


def tiny_molmo(kind, **changes):
    """A model of one of `CONFIGS`, float32, in eval mode."""
    model = MolmoForCausalLM(MolmoConfig(**{**CONFIGS[kind], **changes})).eval()
    fill(model)
    return model


def fill(model, seed=0):
    """Draw weights that do not depend on torch's generator, large enough for each block to matter."""
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = random.standard_normal(tuple(parameter.shape)).astype(np.float32)
            is_norm = name.endswith("weight") and parameter.dim() == 1
            parameter.copy_(torch.from_numpy(noise) * 0.2 + (1.0 if is_norm else 0.0))


def picture(width=93, height=61):
    """A picture with something to see everywhere, (height, width, 3)."""
    row, column = np.mgrid[:height, :width]
    return np.stack((row * 3, column * 2, row + column), axis=-1).astype(np.uint8)


def text_ids(count=11, seed=1):
    return np.random.default_rng(seed).integers(4, 90, size=count)


def text_inputs(count=11, seed=1):
    return {"input_ids": torch.from_numpy(text_ids(count, seed))[None]}


def prompt(model, *, text=7, size=(93, 61), max_crops=2, margins=(2, 0)):
    """One prompt with a picture, without a batch dimension."""
    processor = MolmoImageProcessor.for_config(model.config, max_crops=max_crops, margins=margins)
    return assemble(text_ids(text), model.config, processor(picture(*size)), BOS)


def image_inputs(model, **changes):
    return batched([prompt(model, **changes)])
