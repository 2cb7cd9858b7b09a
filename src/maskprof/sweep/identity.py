"""What must be the same for samples of two sittings to be put together: model, machine, settings."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskprof.config.schema import RunConfig
from maskprof.measuring.environment import machine_of
from maskprof.models.load import LoadedModel
from maskprof.models.pictures import NO_IMAGE
from maskprof.results.schema import Configuration

# Every setting stands in one of the two: a test holds that.
COMPARED = (
    *("prompt", "image", "num_crops", "prompt_tokens", "moe_top_k", "max_new_tokens", "batch_size"),
    *(
        "skip_mode",
        "dummy_cache",
        "mask_on",
        "trace_steps",
        "trace_shapes",
        "trace_stacks",
        "trace_memory",
        "attn_implementation",
        "seed",
        "trust_remote_code",
    ),
    "isolate",
)
NOT_COMPARED = {
    "model_path": "the model is compared itself, wherever it lies",
    "device": "the machine is compared",
    "dtype": "the model's is compared",
    "num_active_blocks": "the configurations are compared",
    "fractions": "the configurations are compared",
    "active_block_indices": "the configurations are compared",
    "strategy": "the configurations are compared",
    "output_dir": "it may have been moved",
    "trace": "says what is taken, and changes nothing of what was",
    "trace_dir": "it may have been moved",
    "num_samples": "more may be asked for",
    "closure_samples": "more may be asked for",
    "num_warmup": "every sitting warms up anew",
    "timeout_per_config": "says what is taken, and changes nothing of what was",
    "resume": "says how to begin",
}

_HASH_CHARACTERS = 16
# Of each weight tensor so many values are looked at: reading all of a large model takes longer than loading it.
_VALUES_PER_TENSOR = 16
# What from_pretrained writes into a configuration of where it came from and what wrote it.
_NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version")


def identity_of(
    config: RunConfig,
    configurations: Sequence[Configuration],
    loaded: LoadedModel,
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Plain values, by what they tell: not how many samples there are, but what each of them is of."""
    return {
        "model": _model(loaded),
        "machine": machine_of(environment) | _more_of_the_machine(environment),
        "settings": {name: getattr(config, name) for name in COMPARED} | {"picture": _picture(config.image)},
        "configurations": [configuration.name for configuration in configurations],
    }


def _model(loaded: LoadedModel) -> dict[str, Any]:
    return {
        "name": loaded.name,
        "source": loaded.source,
        "architecture": loaded.architecture,
        "parameters": loaded.num_parameters,
        "dtype": loaded.dtype,
        "attention": getattr(loaded.model.config, "_attn_implementation", None),
        "config": _config_hash(loaded.model.config),
        "weights": weights_fingerprint(loaded.model),
    }


def _more_of_the_machine(environment: dict[str, Any]) -> dict[str, Any]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {key: environment.get(key) for key in ("python", "cuda", "maskprof")} | {"processors": usable}


def _picture(image: str | None) -> str | None:
    """Of a picture's file, what is in it: a path may come to hold another one."""
    if image is None or image == NO_IMAGE:
        return None
    return _hash(Path(image).expanduser().read_bytes())


def _config_hash(model_config: Any) -> str:
    values = model_config.to_dict() if hasattr(model_config, "to_dict") else vars(model_config)
    return _hash(json.dumps(_plain(values), sort_keys=True).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if key not in _NOT_OF_THE_MODEL}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    # Foreign objects by their class: their text may hold an address, which is another one each time.
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__


def weights_fingerprint(model: nn.Module) -> str:
    """A hash of the weights' names, shapes and some values of each; those that are offloaded count by shape only."""
    digest = sha256()
    here: list[torch.Tensor] = []
    for name, tensor in model.named_parameters():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        if tensor.numel() and tensor.device.type != "meta":
            flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.detach().flatten()
            places = torch.linspace(0, flat.numel() - 1, _VALUES_PER_TENSOR, dtype=torch.float64).long()
            here.append(flat[places.to(flat.device)].float())
    for device in dict.fromkeys(values.device for values in here):
        # One transfer per device: each tensor on its own would wait for the GPU hundreds of times.
        together = torch.cat([values for values in here if values.device == device])
        digest.update(together.cpu().numpy().tobytes())
    return digest.hexdigest()[:_HASH_CHARACTERS]


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()[:_HASH_CHARACTERS]
