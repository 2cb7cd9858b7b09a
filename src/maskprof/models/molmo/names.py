"""The published names of weights: what a checkpoint must hold, and how the experts' become ours.

All names are kept as published, but for MolmoE's experts: `experts.0.gate_proj.weight` and so on are stacked into
`experts.gate_up_proj` and `experts.down_proj` while loading, and cut up again while saving.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from maskprof.errors import ModelError
from maskprof.models.molmo.config import MODEL_TYPE, MolmoConfig

Shape = tuple[int, ...]

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_SHOWN = 3


def published_shapes(config: MolmoConfig) -> dict[str, Shape]:
    """Every weight of a published checkpoint with this config, by name."""
    return {name: tuple(shape) for name, shape in _weights(config)}


def _weights(config: MolmoConfig) -> Iterator[tuple[str, Shape]]:
    hidden, vocabulary = config.hidden_size, config.embedding_size
    yield "model.transformer.wte.embedding", (vocabulary, hidden)
    yield "model.transformer.wte.new_embedding", (config.additional_vocab_size, hidden)
    yield "model.transformer.ln_f.weight", (hidden,)
    yield _head(config.nested_names), (vocabulary, hidden)
    for number in range(config.num_hidden_layers):
        for name, shape in _block(config):
            yield f"model.transformer.blocks.{number}.{name}", shape
    for name, shape in _vision(config):
        yield f"model.vision_backbone.{name}", shape


def _block(config: MolmoConfig) -> Iterator[tuple[str, Shape]]:
    hidden, wide = config.hidden_size, config.intermediate_size
    kv_width = config.num_key_value_heads * (hidden // config.num_attention_heads)
    attn, mlp = ("attn.", "mlp.") if config.nested_names else ("", "")
    yield f"{attn}att_proj.weight", (hidden + 2 * kv_width, hidden)
    if config.qkv_bias:
        yield f"{attn}att_proj.bias", (hidden + 2 * kv_width,)
    yield f"{attn}attn_out.weight", (hidden, hidden)
    yield f"{attn}attn_norm.weight", (hidden,)
    if config.attention_layer_norm:
        yield f"{attn}q_norm.weight", (hidden,)
        yield f"{attn}k_norm.weight", (kv_width,)
    yield f"{mlp}ff_norm.weight", (hidden,)
    if not config.num_experts:
        yield f"{mlp}ff_proj.weight", (wide, hidden)
        yield f"{mlp}ff_out.weight", (hidden, wide // 2)
        return
    yield f"{mlp}gate.weight", (config.num_experts, hidden)
    for expert in range(config.num_experts):
        yield f"{mlp}experts.{expert}.gate_proj.weight", (wide // 2, hidden)
        yield f"{mlp}experts.{expert}.up_proj.weight", (wide // 2, hidden)
        yield f"{mlp}experts.{expert}.down_proj.weight", (hidden, wide // 2)


def _vision(config: MolmoConfig) -> Iterator[tuple[str, Shape]]:
    vision, inner = config.vision_config, config.intermediate_size // 2
    width, wide = vision.hidden_size, vision.intermediate_size
    heads = vision.num_attention_heads * vision.head_dim
    features = width * len(vision.feature_layers)
    yield "pad_embed", (2, features)
    yield from _linear("image_pooling_2d", dict.fromkeys(("wq", "wk", "wv"), (heads, features)))
    yield from _linear("image_pooling_2d", {"wo": (width, heads)})
    yield "image_projector.w1.weight", (inner, width)
    yield "image_projector.w2.weight", (config.hidden_size, inner)
    yield "image_projector.w3.weight", (inner, width)
    yield "image_vit.class_embedding", (width,)
    yield "image_vit.positional_embedding", (vision.num_positions, width)
    yield "image_vit.patch_embedding.weight", (width, 3 * vision.patch_size**2)
    yield from _norm("image_vit.pre_ln", width)
    for number in range(vision.num_hidden_layers):
        block = f"image_vit.transformer.resblocks.{number}"
        yield from _linear(f"{block}.attention", dict.fromkeys(("wq", "wk", "wv"), (heads, width)))
        yield from _linear(f"{block}.attention", {"wo": (width, heads)})
        yield from _linear(f"{block}.feed_forward", {"w1": (wide, width), "w2": (width, wide)})
        yield from _norm(f"{block}.attention_norm", width)
        yield from _norm(f"{block}.ffn_norm", width)


def _linear(prefix: str, weights: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    for name, shape in weights.items():
        yield f"{prefix}.{name}.weight", shape
        yield f"{prefix}.{name}.bias", shape[:1]


def _norm(prefix: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{prefix}.weight", (width,)
    yield f"{prefix}.bias", (width,)


def check_checkpoint(where: Any, config: MolmoConfig | None) -> MolmoConfig | None:
    """Compare a directory's safetensors with what its config asks for, reading their headers only.

    A hub name, or a directory with weights of another kind, is left to `check_loaded`.

    Returns:
        The config to load with, where it is not the one given: weights may be named in the other dialect than
        their config. None where it is, and where nothing was compared.

    Raises:
        ModelError: a name is missing, left over or of another shape, or a shard is not there.
    """
    folder = Path(str(where))
    if not folder.is_dir():
        return None
    found = _names_in(folder)
    if found is None:
        return None
    own = config if isinstance(config, MolmoConfig) else MolmoConfig.from_pretrained(str(folder))
    heads = {nested: _head(nested) in found for nested in (True, False)}
    renamed = heads[not own.nested_names] and not heads[own.nested_names]
    if renamed:
        own = deepcopy(own)
        own.nested_names = not own.nested_names
    expected = published_shapes(own)
    _refuse(folder, "lacks", expected.keys() - found.keys())
    _refuse(folder, "has unexpected", found.keys() - expected.keys())
    for name, shape in expected.items():
        if found[name] != shape:
            raise ModelError(
                f"{folder}: {name} has shape {found[name]}, but its config.json asks for {shape}; "
                "config and weights are of different models"
            )
    return own if renamed else None


def _head(nested: bool) -> str:
    return "lm_head.weight" if nested else "model.transformer.ff_out.weight"


def check_loaded(where: Any, report: Mapping[str, Any]) -> None:
    """Refuse what transformers only warns of.

    Raises:
        ModelError: a weight was missing in the checkpoint or left over.
    """
    _refuse(where, "lacks", report["missing_keys"])
    _refuse(where, "has unexpected", report["unexpected_keys"])


def _refuse(where: Any, what: str, names: Iterable[str]) -> None:
    listed = sorted(names)
    if listed:
        more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
        raise ModelError(
            f"{where}: the checkpoint {what} {'weights' if len(listed) > 1 else 'weight'} "
            f"{', '.join(listed[:_SHOWN])}{more} for the Molmo model that its config describes"
        )


def _names_in(folder: Path) -> dict[str, Shape] | None:
    """Names and shapes in the headers of a directory's safetensors, None where it has none."""
    files = [folder / _SINGLE]
    # As in transformers, one whole file goes before shards.
    if not files[0].is_file():
        index = folder / _INDEX
        if not index.is_file():
            return None
        listed = _shards(index)
        files = sorted(folder / name for name in listed)
    found: dict[str, Shape] = {}
    for file in files:
        if not file.is_file():
            raise ModelError(f"{folder}: {file.name} is missing, which {_INDEX} names")
        try:
            with safe_open(file, framework="pt") as tensors:
                found |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ModelError(f"{file}: this safetensors file is damaged: {error}") from error
    return found


def _shards(index: Path) -> set[str]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        listed = set(content["weight_map"].values())
        content["metadata"]  # transformers cannot do without it
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{index}: this is no index of a sharded checkpoint: {error!r}") from error
    return listed


def published_state_dict(model: Any) -> dict[str, Tensor]:
    """A MolmoForCausalLM's weights under their published names; the experts' are views."""
    state: dict[str, Tensor] = dict(model.state_dict())
    for name in [name for name in state if name.endswith("experts.gate_up_proj")]:
        prefix = name.removesuffix("gate_up_proj")
        gate_up, down = state.pop(name), state.pop(f"{prefix}down_proj")
        for expert, (both, third) in enumerate(zip(gate_up, down, strict=True)):
            gate, up = both.chunk(2)
            state[f"{prefix}{expert}.gate_proj.weight"] = gate
            state[f"{prefix}{expert}.up_proj.weight"] = up
            state[f"{prefix}{expert}.down_proj.weight"] = third
    return state


def register_conversions() -> None:
    """Tell transformers how to stack the experts while loading, and to cut them up while saving."""
    from transformers.conversion_mapping import (  # noqa: PLC0415  heavy, and only needed once
        register_checkpoint_conversion_mapping,
    )
    from transformers.core_model_loading import (  # noqa: PLC0415
        Concatenate,
        MergeModulelist,
        WeightConverter,
    )

    register_checkpoint_conversion_mapping(
        MODEL_TYPE,
        [
            WeightConverter(
                source_patterns=["mlp.experts.*.gate_proj.weight", "mlp.experts.*.up_proj.weight"],
                target_patterns="mlp.experts.gate_up_proj",
                operations=[MergeModulelist(dim=0), Concatenate(dim=1)],
            ),
            WeightConverter(
                source_patterns="mlp.experts.*.down_proj.weight",
                target_patterns="mlp.experts.down_proj",
                operations=[MergeModulelist(dim=0)],
            ),
        ],
        overwrite=True,
    )
