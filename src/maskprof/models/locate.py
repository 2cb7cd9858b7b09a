"""Where `--model_path` points, decided from the disk alone: wrong paths fail before torch is imported."""

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, ModelError
from maskprof.models.presets import DEMO, PRESETS

Source = Literal["preset", "directory", "hub", "gguf"]

CHECKPOINTS = "checkpoints"
_GGUF_MAGIC = b"GGUF"
_GGUF_PACKAGES = ("gguf", "accelerate")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_COUNT_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
_WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLocation:
    """A model's place.

    Attributes:
        source: what kind of place it is.
        name: what to call the model: the preset, the hub name, the directory or the file.
        path: the directory or `.gguf` file; None for presets and the hub.
    """

    source: Source
    name: str
    path: Path | None = None


def preset_names() -> str:
    """The presets' names, for a sentence."""
    return ", ".join(PRESETS)


def check_model_path(config: RunConfig) -> ModelLocation:
    """Find what `config.model_path` means; loads nothing and does not ask the hub.

    An existing file or directory comes first, then the presets, then what may be a hub name. None means the
    directory `checkpoints` where there is one, else the demo preset.

    Raises:
        ModelError: a path that is not there, or whose content is no model.
        ConfigError: a package that reads this kind of file is missing.
    """
    if config.model_path is None:
        if Path(CHECKPOINTS).is_dir():
            return _check_directory(Path(CHECKPOINTS), CHECKPOINTS)
        return ModelLocation(source="preset", name=DEMO)
    text = config.model_path.strip()
    try:
        return _locate(text)
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` of an unknown user
        raise ModelError(f"--model_path: cannot read {text!r}: {error}") from error


def expected_blocks(location: ModelLocation) -> int | None:
    """How many blocks the model will have, as far as its preset or its config.json tells; None where neither does.

    Only for refusing a mask before a long loading: what counts is what the loaded model shows.
    """
    if location.source == "preset":
        return PRESETS[location.name].num_blocks
    if location.source != "directory" or location.path is None:
        return None
    try:
        config = json.loads((location.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    sections = [config, *(value for value in config.values() if isinstance(value, dict))]
    counts = [section.get(key) for section in sections for key in _COUNT_KEYS]
    return max((count for count in counts if isinstance(count, int)), default=None)


def _locate(text: str) -> ModelLocation:
    path = Path(text).expanduser()
    if text and path.is_dir():
        return _check_directory(path, text)
    if text and path.exists():
        return _check_file(path, text)
    if text.lower() in PRESETS:
        return ModelLocation(source="preset", name=text.lower())
    is_path = text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text
    if is_path or path.suffix == ".gguf":
        raise ModelError(f"--model_path: {text!r} does not exist")
    if not _HUB_NAME.fullmatch(text):
        raise ModelError(
            f"--model_path: {text!r} is neither a directory, a .gguf file nor a hub name such as org/name, "
            f"and none of the presets: {preset_names()}"
        )
    return ModelLocation(source="hub", name=text)


def _check_directory(path: Path, text: str) -> ModelLocation:
    config_file = path / "config.json"
    if not config_file.is_file():
        gguf_files = sorted(path.glob("*.gguf"))
        hint = f"; to load the GGUF file in it, give {gguf_files[0]}" if gguf_files else ""
        raise ModelError(
            f"--model_path: {text!r} has no config.json, so it is no Hugging Face checkpoint{hint}"
        )
    try:
        is_object = isinstance(json.loads(config_file.read_text(encoding="utf-8")), dict)
    except ValueError as error:
        raise ModelError(f"--model_path: {str(config_file)!r} is not valid JSON: {error}") from error
    if not is_object:
        raise ModelError(f"--model_path: {str(config_file)!r} does not hold a JSON object")
    if not any(next(path.glob(pattern), None) for pattern in _WEIGHT_FILES):
        raise ModelError(f"--model_path: {text!r} has a config.json but no weights (*.safetensors or *.bin)")
    return ModelLocation(source="directory", name=path.resolve().name, path=path)


def _check_file(path: Path, text: str) -> ModelLocation:
    if path.suffix.lower() != ".gguf":
        raise ModelError(
            f"--model_path: {text!r} is no model: give a directory with config.json or a .gguf file"
        )
    with path.open("rb") as file:
        magic = file.read(len(_GGUF_MAGIC))
    if magic != _GGUF_MAGIC:
        raise ModelError(
            f"--model_path: {text!r} is not a GGUF file: it begins with {magic!r}, not {_GGUF_MAGIC!r}"
        )
    missing = [package for package in _GGUF_PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"--model_path: {text!r} needs the package {' and '.join(missing)}: pip install 'maskprof[gguf]'"
        )
    return ModelLocation(source="gguf", name=path.name, path=path)
