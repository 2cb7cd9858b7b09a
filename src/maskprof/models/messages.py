"""What the libraries say while a model loads: kept off the terminal, or turned into one sentence of ours."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, MaskprofError, ModelError
from maskprof.models.locate import ModelLocation, preset_names

_PICKLED = (
    "its .bin file keeps pickled objects beside the weights, and they are not loaded since they can run anything; "
    "save it as safetensors"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the progress bars and advice of transformers and the hub client off the terminal."""
    import huggingface_hub.utils as hub_utils  # noqa: PLC0415  heavy
    from transformers.utils import logging as library_logging  # noqa: PLC0415  heavy

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(library_logging.set_verbosity, library_logging.get_verbosity())
        stack.callback(hub_utils.logging.set_verbosity, hub_utils.logging.get_verbosity())
        library_logging.set_verbosity(logging.CRITICAL)
        hub_utils.logging.set_verbosity(logging.CRITICAL)
        if library_logging.is_progress_bar_enabled():
            stack.callback(library_logging.enable_progress_bar)
        library_logging.disable_progress_bar()
        yield


@contextmanager
def one_sentence(location: ModelLocation, config: RunConfig) -> Iterator[None]:
    """Turn whatever the libraries raise on a bad checkpoint into one sentence of ours.

    Raises:
        ModelError: the model is damaged, not there, too large or needs its own code.
        ConfigError: `--attn_implementation` is what does not fit.
    """
    try:
        yield
    except (MaskprofError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    # Loading runs through parsers, tensor files and remote code: no list of types would be complete. And the
    # tokenizers library panics on a damaged file with an exception that is no Exception.
    except BaseException as error:
        raise _as_ours(error, location, config) from error


def first_sentence(error: BaseException) -> str:
    """The first sentence of a library's message, which may go on for a page."""
    text = " ".join(str(error).split())
    sentence = re.split(r"(?<=[a-z)\]`'\"])\.\s", text, maxsplit=1)[0].rstrip(". ")
    return sentence[:300] or type(error).__name__


def _as_ours(error: BaseException, location: ModelLocation, config: RunConfig) -> MaskprofError:
    text, where = str(error), f"--model_path: {location.name!r}"
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        return ModelError(f"{where} does not fit into memory; try a smaller dtype or model")
    if "trust_remote_code" in text and not config.trust_remote_code:
        return ModelError(
            f"{where} needs its own Python code, which runs only with --trust_remote_code; read it first"
        )
    attention = config.attn_implementation
    if attention is not None and ("attn_implementation" in text or "attention" in text.lower()):
        return ConfigError(f"--attn_implementation: {attention!r} cannot be used: {first_sentence(error)}")
    if location.source == "hub" and isinstance(error, OSError):
        return ModelError(
            f"{where} is no directory and no preset, and the Hugging Face hub does not give it "
            f"({first_sentence(error)}); the presets are {preset_names()}"
        )
    if location.source == "preset":
        return ModelError(f"{where} cannot be built by the installed transformers: {first_sentence(error)}")
    kind = "GGUF file" if location.source == "gguf" else "checkpoint"
    reason = _PICKLED if "weights only load failed" in text.lower() else first_sentence(error)
    return ModelError(f"{where} is a {kind} that cannot be loaded: {reason}")
