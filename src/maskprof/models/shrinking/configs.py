"""Walking an architecture's default configuration and rebuilding it small."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import transformers
from transformers import PreTrainedConfig

from maskprof.models.shrinking import roles
from maskprof.models.shrinking.quirks import QUIRKS

_LAYER_INDICES = re.compile(r"\w*(_indexes|_indices|_idxs|_indexs|layer_ids?|_target_layers|_source_layers)")
_DROPOUT = re.compile(r"\w*(dropout|pdrop|drop_rate|layerdrop|layer_drop|drop_path)\w*")
_FIRST_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@dataclasses.dataclass(slots=True)
class _TokenIds:
    """Small ids for special tokens: an id met before keeps the small id it was given then."""

    given: dict[int, int] = dataclasses.field(default_factory=dict)

    def small(self, name: str, value: int) -> int:
        if name in _FIRST_IDS:
            return _FIRST_IDS[name]
        return value if value < 0 else self.given.setdefault(value, roles.VOCABULARY - 1 - len(self.given))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """What stays the same while a tree of configurations is walked."""

    text: PreTrainedConfig
    blocks: int
    settings: Mapping[str, Any]
    tokens: _TokenIds = dataclasses.field(default_factory=_TokenIds)


def shrunk_config(
    config: PreTrainedConfig, *, blocks: int, settings: Mapping[str, Any] | None = None
) -> PreTrainedConfig:
    """A small configuration of the class of `config`, whose text stack has `blocks` layers.

    `config` must be a default instance: what it says is what its class computes from its defaults.
    `settings` are fields of the text stack's configuration that are to have just these values.

    Raises:
        TypeError: the configuration does not declare its fields; those of transformers before 5.4 do not.
        Exception: whatever the configuration class raises when the small values do not fit together.
    """
    if not hasattr(config, "__dataclass_fields__"):
        raise TypeError(f"transformers 5.4 or newer is needed, this is {transformers.__version__}")
    walk = _Walk(text=config.get_text_config(decoder=True), blocks=blocks, settings=settings or {})
    return _shrunk(config, walk, given={}, root=True)


def _shrunk(
    config: PreTrainedConfig, walk: _Walk, *, given: Mapping[str, Any], root: bool = False
) -> PreTrainedConfig:
    layers = walk.blocks if config is walk.text or root else roles.TOWER_LAYERS
    declared = {field.name: field.default for field in dataclasses.fields(config) if field.init} | dict(given)
    arguments: dict[str, Any] = dict(given)
    for name, value in declared.items():
        small = _shrunk_value(name, value, config=config, layers=layers, tokens=walk.tokens)
        if small != value:
            arguments[name] = small
    arguments |= _per_layer_values(config, declared, layers=layers, tokens=walk.tokens)
    for name in config.sub_configs:
        if isinstance(sub_config := getattr(config, name, None), PreTrainedConfig):
            spec = config.sub_configs_defaults.get(name)
            arguments[name] = _shrunk(sub_config, walk, given=spec.init_kwargs if spec else {})
    if config is walk.text and declared.get("is_decoder") is False:
        # Encoders that were given a language head attend both ways, and keep no cache, until they are told.
        arguments["is_decoder"] = True
    if "head_dim" in declared:
        # Not every class works its own out where the default is none.
        arguments.setdefault("head_dim", roles.HEAD_DIM)
    arguments |= _rotary(config, head_dim=arguments.get("head_dim", roles.HEAD_DIM))
    if quirk := QUIRKS.get(type(config).__name__):
        arguments |= quirk.values(layers)
    if config is walk.text:
        arguments |= walk.settings
    return type(config)(**arguments)


def _shrunk_value(name: str, value: Any, *, config: PreTrainedConfig, layers: int, tokens: _TokenIds) -> Any:
    def shrink(item: Any) -> Any:
        return _shrunk_value(name, item, config=config, layers=layers, tokens=tokens)

    small = value
    match value:
        case bool():
            pass
        case float() if _DROPOUT.fullmatch(name):
            small = 0.0
        case int() if roles.is_token(name):
            small = tokens.small(name, value)
        case int() if roles.is_layer_count(name):
            small = layers
        case int() if roles.is_key_value_heads(name):
            # One head for each query head stays so, and shared ones stay shared.
            is_shared = value != vars(config).get("num_attention_heads")
            small = min(value, roles.KEY_VALUE_HEADS) if is_shared else roles.HEADS
        case int():
            small = roles.shrunk_size(name, value)
        case list() | tuple() if value and all(type(item) is int for item in value):
            if _LAYER_INDICES.fullmatch(name):
                deepest = max(value) + 1
                small = type(value)(item * layers // deepest for item in value)
            else:
                small = type(value)(shrink(item) for item in value)
    return small


def _per_layer_values(
    config: PreTrainedConfig, declared: Mapping[str, Any], *, layers: int, tokens: _TokenIds
) -> dict[str, list[Any]]:
    """Lists with one entry for each layer, cut so that every kind of layer still occurs."""
    depth = _published_depth(config)
    lists = {
        name: value
        for name in sorted(declared, key=lambda name: name != "layer_types")
        if isinstance(value := vars(config).get(name), (list, tuple)) and len(value) == depth
    }
    kinds = _one_layer_of_each_kind(list(lists.values()), at_most=layers)
    return {
        name: [
            _shrunk_value(name, value[index], config=config, layers=layers, tokens=tokens)
            for index in islice(cycle(kinds), layers)
        ]
        for name, value in lists.items()
    }


def _published_depth(config: PreTrainedConfig) -> int | None:
    for name in ("num_hidden_layers", "num_layers", "decoder_layers"):
        if isinstance(depth := getattr(config, name, None), int) and depth > 1:
            return depth
    return None


def _one_layer_of_each_kind(lists: Sequence[Sequence[Any]], *, at_most: int) -> list[int]:
    """Indices of the first layers that show each value of each list, earlier lists first."""
    chosen: set[int] = set()
    for values in lists:
        for index, value in enumerate(values):
            is_new = value not in [values[other] for other in chosen]
            if is_new and len(chosen) < at_most:
                chosen.add(index)
    return sorted(chosen)


def _rotary(config: PreTrainedConfig, *, head_dim: int) -> dict[str, Any]:
    """The rotary parameters, where they hold sections sized by a head."""
    parameters = getattr(config, "rope_parameters", None)
    if not isinstance(parameters, dict) or "mrope_section" not in parameters:
        return {}
    pairs = int(head_dim * parameters.get("partial_rotary_factor", 1.0)) // 2
    sections = _rescaled(parameters["mrope_section"], total=pairs)
    return {"rope_parameters": {**parameters, "mrope_section": sections}}


def _rescaled(values: Sequence[int], *, total: int) -> list[int]:
    """Whole numbers in about the proportions of `values` that add up to `total`."""
    bounds = [round(sum(values[: end + 1]) * total / sum(values)) for end in range(len(values))]
    return [bound - previous for previous, bound in zip([0, *bounds], bounds, strict=False)]
