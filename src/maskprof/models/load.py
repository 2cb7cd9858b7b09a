"""RunConfig -> LoadedModel: a model from a preset, a directory, the hub or a GGUF file, ready to run."""

import logging
import os
import re
import socket
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, ModelError
from maskprof.models.gguf_once import read_once
from maskprof.models.locate import ModelLocation, Source, check_model_path
from maskprof.models.messages import first_sentence, one_sentence, quiet
from maskprof.models.pictures import NO_IMAGE
from maskprof.models.presets import PRESETS, preset_config
from maskprof.models.remote_code import announce_code

_log = logging.getLogger(__name__)

# An empty tokenizer is what transformers makes of a directory without these.
_TOKENIZER_FILES = (
    *("tokenizer*.json", "tokenizer.model*", "vocab.*", "*.tiktoken", "spiece.model", "sentencepiece*.model"),
    *("tekken.json", "merges.txt", "tokenization_*.py"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model on its device, in evaluation mode and without gradients, with what prepares its inputs.

    Attributes:
        model: the transformers model, with its language-model head.
        tokenizer: None for presets and for checkpoints that bring none.
        processor: turns text and pictures into inputs; None for text models, and for a vision-language
            model whose inputs `models.inputs` makes itself or that runs without a picture.
        name: of the preset, directory, file or hub repository.
        source: where it came from.
        architecture: class name.
        num_parameters: all weights, shared ones counted once.
        dtype: of the weights, such as "bfloat16".
        has_vision: it can take images.
    """

    model: Any
    tokenizer: Any | None
    processor: Any | None
    name: str
    source: Source
    architecture: str
    num_parameters: int
    dtype: str
    has_vision: bool


def resolve_device(name: str) -> torch.device:
    """The device that `--device` means; "auto" is the first GPU where there is one.

    Raises:
        ConfigError: no such kind of device, or none on this machine.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise ConfigError(f"--device: {name!r} is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    if not torch.cuda.is_available():
        reason = (
            "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        )
        raise ConfigError(f"--device: {name!r} is not available: {reason}")
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if index >= count:
        raise ConfigError(
            f"--device: {name!r} does not exist: the last of {count} CUDA devices is cuda:{count - 1}"
        )
    return torch.device("cuda", index)


def default_dtype(device: torch.device) -> torch.dtype:
    """What a model runs in unless told: bfloat16 on a GPU, float32 on a CPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def load_model(config: RunConfig, device: torch.device) -> LoadedModel:
    """Load what `config.model_path` means onto `device`.

    Raises:
        ModelError: the model is not there, not a model of a usable kind, damaged or too large.
        ConfigError: a setting or a package that this model cannot be loaded with.
    """
    location = check_model_path(config)
    dtype = getattr(torch, config.dtype) if config.dtype else default_dtype(device)
    once = read_once() if location.source == "gguf" else nullcontext()
    with quiet(), one_sentence(location, config), once:
        if location.source == "preset":
            return _from_preset(location, config, device, dtype)
        return _from_checkpoint(location, config, device, dtype)


def _from_preset(
    location: ModelLocation, config: RunConfig, device: torch.device, dtype: torch.dtype
) -> LoadedModel:
    preset = PRESETS[location.name]
    _check_memory(preset.num_parameters * dtype.itemsize, location.name, device, dtype)
    model_config = preset_config(preset)
    all_devices = [device.index] if device.type == "cuda" else []
    # A caller's own random numbers must not depend on a model having been loaded in between.
    with torch.random.fork_rng(devices=all_devices), torch.device(device):
        torch.manual_seed(config.seed)
        model = _auto_class(model_config).from_config(
            model_config, dtype=dtype, attn_implementation=config.attn_implementation
        )
    return _finish(model, location, device, tokenizer=None, processor=None)


def _from_checkpoint(
    location: ModelLocation, config: RunConfig, device: torch.device, dtype: torch.dtype
) -> LoadedModel:
    from transformers import AutoConfig, PreTrainedConfig  # noqa: PLC0415  heavy

    import maskprof.models.molmo  # noqa: F401, PLC0415  heavy; registers itself, so that it needs no remote code

    where: str = location.name if location.path is None else str(location.path)
    options: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    if location.path is not None and location.source == "gguf":
        where, options["gguf_file"] = str(location.path.parent), location.path.name
    if location.source == "hub" and not _hub_answers():
        # Without this each file that is asked for costs half a minute of retries.
        options["local_files_only"] = True
    if config.trust_remote_code and location.source != "gguf":
        described, _ = PreTrainedConfig.get_config_dict(where, **options)
        # The code that Molmo checkpoints bring is for older transformers; nothing of it is used.
        options["trust_remote_code"] = described.get("model_type") != "molmo"
        if options["trust_remote_code"]:
            in_directory = location.source == "directory"
            announce_code(location.name, where, in_directory=in_directory, options=options)
    model_config = AutoConfig.from_pretrained(where, **options)
    # The GGUF reader draws its bar with plain tqdm, which no switch of transformers reaches.
    with redirect_stderr(StringIO()) if location.source == "gguf" else nullcontext():
        model, report = _auto_class(model_config).from_pretrained(
            where,
            config=model_config,
            dtype=dtype,
            attn_implementation=config.attn_implementation,
            output_loading_info=True,
            # The library's own default, which is not left to it: a pickled file could run anything.
            weights_only=True,
            **options,
        )
    if report["missing_keys"]:
        _log.warning(
            "%s: %d weights are not in the checkpoint and were drawn at random, first %s",
            *(location.name, len(report["missing_keys"]), min(report["missing_keys"])),
        )
    processor = _load_processor(model, where, options, config)
    tokenizer = getattr(processor, "tokenizer", None) or _load_tokenizer(location, where, options)
    return _finish(model, location, device, tokenizer=tokenizer, processor=processor)


def _finish(
    model: Any, location: ModelLocation, device: torch.device, *, tokenizer: Any, processor: Any
) -> LoadedModel:
    model = model.to(device).eval().requires_grad_(requires_grad=False)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        processor=processor,
        name=location.name,
        source=location.source,
        architecture=type(model).__name__,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        dtype=str(model.dtype).removeprefix("torch."),
        has_vision=_has_vision(model.config),
    )


def _auto_class(model_config: Any) -> Any:
    """The Auto class that loads this configuration: the one with images where there are two."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText  # noqa: PLC0415  heavy

    kind = getattr(model_config, "model_type", None) or type(model_config).__name__
    own_code = getattr(model_config, "auto_map", None) or {}
    for auto_class in (AutoModelForImageTextToText, AutoModelForCausalLM):
        if type(model_config) in auto_class._model_mapping or auto_class.__name__ in own_code:  # noqa: SLF001  no public way to ask
            if getattr(model_config, "is_encoder_decoder", False):
                raise ModelError(f"--model_path: {kind!r} is an encoder-decoder; only decoders can be masked")
            return auto_class
    raise ModelError(
        f"--model_path: {kind!r} is neither a causal language model nor an image-text-to-text one"
    )


def _has_vision(model_config: Any) -> bool:
    from transformers import AutoModelForImageTextToText  # noqa: PLC0415  heavy

    has_tower = getattr(model_config, "vision_config", None) is not None
    return has_tower or type(model_config) in AutoModelForImageTextToText._model_mapping  # noqa: SLF001  see above


def _load_processor(model: Any, where: str, options: dict[str, Any], config: RunConfig) -> Any | None:
    # Molmo's published processor is remote code; its inputs are made by our own.
    if not _has_vision(model.config) or model.config.model_type == "molmo":
        return None
    from transformers import AutoProcessor  # noqa: PLC0415  heavy

    try:
        processor = AutoProcessor.from_pretrained(where, **options)
        reason = f"what it has is only a {type(processor).__name__}"
    # A processor that cannot be had is no reason to fail where no picture is asked for.
    except Exception as error:  # noqa: BLE001
        processor, reason = None, first_sentence(error)
    if hasattr(processor, "image_processor"):
        return processor
    if config.image == NO_IMAGE or model.config.model_type == "molmo2":
        return None
    raise ModelError(
        f"--model_path: {Path(where).name!r} has no processor for pictures ({reason}); "
        f"--image none runs its language model alone"
    )


def _load_tokenizer(location: ModelLocation, where: str, options: dict[str, Any]) -> Any | None:
    from transformers import AutoTokenizer  # noqa: PLC0415  heavy

    if location.source == "directory" and not any(
        next(Path(where).glob(name), None) for name in _TOKENIZER_FILES
    ):
        _log.info("%s has no tokenizer: prompts are synthetic", location.name)
        return None
    try:
        return AutoTokenizer.from_pretrained(where, **options)
    except Exception:
        if location.source != "gguf":
            raise
        _log.warning("%s holds no tokenizer that can be read: prompts are synthetic", location.name)
        return None


def _check_memory(num_bytes: int, name: str, device: torch.device, dtype: torch.dtype) -> None:
    """Refuse what cannot fit before the operating system ends the process for it."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    elif "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return
    if num_bytes > total:
        kind = str(dtype).removeprefix("torch.")
        hint = "; try --dtype bfloat16" if dtype == torch.float32 else ""
        raise ModelError(
            f"--model_path: {name} needs {num_bytes / 1e9:.1f} GB for its weights in {kind}, "
            f"but {device} has {total / 1e9:.1f} GB{hint}"
        )


def _hub_answers() -> bool:
    """Whether the hub's name can be resolved at all; behind a proxy that says nothing, so it is assumed."""
    from huggingface_hub import constants  # noqa: PLC0415  heavy

    if constants.HF_HUB_OFFLINE:
        return False
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, None)
    except OSError:
        return False
    return True
