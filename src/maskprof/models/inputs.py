"""The tensors that a model is run on: a prompt and a picture, or synthetic tokens."""

import inspect
import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from maskprof.config.schema import DEFAULT_PROMPT, RunConfig
from maskprof.errors import ConfigError, ModelError
from maskprof.models.crops import crops_set, most_square, tiles_of
from maskprof.models.load import LoadedModel
from maskprof.models.messages import first_sentence, quiet
from maskprof.models.patches import cut_patches, pooling_windows
from maskprof.models.pictures import NO_IMAGE, open_picture

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_TEXT_PROMPT = "The quick brown fox jumps over the lazy dog."

# The frame that Molmo's processor puts around a question.
_MOLMO_PROMPT = "User: {} Assistant:"

_IMAGE_TOKEN_KEYS = ("image_token_id", "image_token_index", "image_patch_id")
_SPECIAL_ID_KEY = re.compile(r".*(_token_id|_token_index|_patch_id)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInputs:
    """What one prefill is given.

    Attributes:
        tensors: for `model(**tensors)`, on the device, floats in the model's dtype; `input_ids` has shape
            (batch_size, tokens). No attention mask where it would be all ones.
        num_input_text_tokens: per row, everything that is no image placeholder, the image's marks included.
        num_vision_tokens: image placeholders per row.
        batch_size: rows, all alike.
    """

    tensors: dict[str, torch.Tensor]
    num_input_text_tokens: int
    num_vision_tokens: int
    batch_size: int


def make_inputs(
    loaded: LoadedModel,
    config: RunConfig,
    device: torch.device,
    *,
    num_crops: int | None = None,
    prompt_tokens: int | None = None,
) -> ModelInputs:
    """Make the inputs that `config` asks for (prompt, image, batch size) at one setting of the knobs.

    A prompt goes through the tokenizer as plain text; where there is none (presets), every word and
    punctuation mark becomes one token, drawn by the seed. With an image, the checkpoint's processor and its
    chat template make the inputs.

    Args:
        loaded: the model.
        config: the run's settings; its `num_crops` and `prompt_tokens` list what the next two are taken from.
        device: where the tensors go.
        num_crops: high-resolution crops of the picture beside the whole one; None is the model's own choice.
        prompt_tokens: a synthetic prompt of so many text tokens instead of the config's prompt.

    Raises:
        ConfigError: an image or crops for a text model, an unreadable image, a prompt that is empty or too
            long, a processor whose resolution cannot be set.
        ModelError: the checkpoint's processor fails.
    """
    if not loaded.has_vision and config.image not in (None, NO_IMAGE):
        raise ConfigError(
            f"--image: {loaded.name} is a text model ({loaded.architecture}) and takes no image"
        )
    if not loaded.has_vision and num_crops is not None:
        raise ConfigError(
            f"--num_crops: {loaded.name} is a text model ({loaded.architecture}) and takes no image"
        )
    picture = open_picture(config.image) if loaded.has_vision else None
    if picture is None:
        tensors = {"input_ids": _text_row(loaded, config, prompt_tokens).repeat(config.batch_size, 1)}
    elif loaded.processor is not None:
        tensors = _through_processor(loaded, config, picture, num_crops, prompt_tokens)
    elif loaded.model.config.model_type == "molmo2":
        tensors = _molmo2_tensors(loaded, config, picture, num_crops or 0, prompt_tokens)
    elif loaded.model.config.model_type == "molmo":
        tensors = _molmo_tensors(loaded, config, picture, num_crops, prompt_tokens)
    else:
        raise ConfigError(f"--image: {loaded.name} has no processor for pictures; use --image none")
    _check_length(tensors["input_ids"].shape[1], loaded, config, num_crops, prompt_tokens)
    return _finish(tensors, loaded, device)


def _finish(tensors: dict[str, torch.Tensor], loaded: LoadedModel, device: torch.device) -> ModelInputs:
    ids = tensors["input_ids"]
    mask = tensors.get("attention_mask")
    if mask is not None and bool((mask == 1).all()):
        # A mask that is passed is materialised at four dimensions and keeps attention off its fast path.
        del tensors["attention_mask"]
    num_vision = int((ids[0] == _image_token_id(loaded)).sum())
    accepted = inspect.signature(loaded.model.forward).parameters
    dtype = loaded.model.dtype
    return ModelInputs(
        tensors={
            name: tensor.to(device, dtype if tensor.is_floating_point() else None).contiguous()
            for name, tensor in tensors.items()
            # Processors also return what only their own code reads; a model without named inputs takes all.
            if name in accepted or "input_ids" not in accepted
        },
        num_input_text_tokens=ids.shape[1] - num_vision,
        num_vision_tokens=num_vision,
        batch_size=ids.shape[0],
    )


def _check_length(
    tokens: int, loaded: LoadedModel, config: RunConfig, num_crops: int | None, prompt_tokens: int | None
) -> None:
    new_tokens = max(config.max_new_tokens)
    limit = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if isinstance(limit, int) and 0 < limit < tokens + new_tokens:
        flag = "num_crops" if num_crops else "prompt" if prompt_tokens is None else "prompt_tokens"
        raise ConfigError(
            f"--{flag}: {tokens} input tokens and "
            f"{new_tokens} new ones exceed the {limit} positions of {loaded.name}"
        )


def _text_row(loaded: LoadedModel, config: RunConfig, prompt_tokens: int | None) -> torch.Tensor:
    """The token ids of a text without a picture, shape (1, tokens)."""
    if prompt_tokens is not None:
        return _synthetic_ids(loaded, config.seed, prompt_tokens)
    return _prompt_row(loaded, config, DEFAULT_TEXT_PROMPT if config.prompt is None else config.prompt)


def _prompt_row(loaded: LoadedModel, config: RunConfig, prompt: str) -> torch.Tensor:
    """A prompt's token ids, shape (1, tokens)."""
    if loaded.tokenizer is None:
        return _synthetic_ids(loaded, config.seed, _count_pieces(prompt))
    with quiet():
        ids = torch.tensor([list(loaded.tokenizer(prompt)["input_ids"])], dtype=torch.long)
    if ids.shape[1] == 0:
        raise ConfigError(f"--prompt: {prompt!r} gives no tokens; give at least a word")
    return ids


def _count_pieces(prompt: str) -> int:
    """Words and punctuation marks: roughly what a tokenizer makes of English text."""
    pieces = len(re.findall(r"\w+|[^\w\s]", prompt))
    if pieces == 0:
        raise ConfigError(f"--prompt: {prompt!r} gives no tokens; give at least a word")
    return pieces


def _synthetic_ids(loaded: LoadedModel, seed: int, count: int) -> torch.Tensor:
    """Random ordinary token ids, shape (1, count): in the vocabulary, none that means something special."""
    size = int(loaded.model.config.get_text_config().vocab_size)
    special = set(_special_ids(loaded.model.config.to_dict()))
    if loaded.tokenizer is not None:
        size = min(size, len(loaded.tokenizer))
        special |= {*loaded.tokenizer.all_special_ids, *loaded.tokenizer.get_added_vocab().values()}
    ordinary = torch.ones(size, dtype=torch.bool)
    ordinary[[i for i in special if 0 <= i < size]] = False
    ids = ordinary.nonzero().flatten()
    if ids.numel() == 0:
        raise ModelError(f"--prompt_tokens: the vocabulary of {loaded.name} has only special tokens")
    choice = torch.randint(ids.numel(), (1, count), generator=torch.Generator().manual_seed(seed))
    return ids[choice]


def _special_ids(settings: dict[Any, Any]) -> list[int]:
    """Every token id that a configuration, or one inside it, names."""
    found: list[int] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            found += _special_ids(value)
        elif _SPECIAL_ID_KEY.fullmatch(str(key)):
            found += [i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int)]
    return found


def _image_token_id(loaded: LoadedModel) -> int:
    """The placeholder that image features replace; -1 where the model has none.

    The model's own settings come first: some processors (Gemma 3) call the mark before an image by this name.
    """
    for owner in (loaded.model.config, loaded.processor):
        for key in _IMAGE_TOKEN_KEYS:
            token = getattr(owner, key, None)
            if isinstance(token, int):
                return token
    return -1


def _question(config: RunConfig) -> str:
    return DEFAULT_PROMPT if config.prompt is None else config.prompt


def _through_processor(
    loaded: LoadedModel,
    config: RunConfig,
    picture: "Image.Image",
    num_crops: int | None,
    prompt_tokens: int | None,
) -> dict[str, torch.Tensor]:
    prompt = "" if prompt_tokens is not None else _question(config)
    cropped = (
        nullcontext(picture)
        if num_crops is None
        else crops_set(loaded.processor, loaded.name, picture, num_crops)
    )
    try:
        with quiet(), cropped as shown:
            tensors = _process(loaded, prompt, shown, config.batch_size)
    except ConfigError:
        raise
    # Processors are the checkpoint's code and settings: no list of types would be complete.
    except Exception as error:
        raise ModelError(
            f"--image: the processor of {loaded.name} fails on this picture: {first_sentence(error)}"
        ) from error
    if prompt_tokens is None:
        return tensors
    ids = tensors["input_ids"]
    frame = int((ids[0] != _image_token_id(loaded)).sum())
    if prompt_tokens < frame:
        raise _too_few_for_frame(loaded, prompt_tokens, frame)
    if prompt_tokens == frame:
        return tensors
    return _append(tensors, _synthetic_ids(loaded, config.seed, prompt_tokens - frame))


def _process(
    loaded: LoadedModel, prompt: str, picture: "Image.Image", batch_size: int
) -> dict[str, torch.Tensor]:
    processor = loaded.processor
    assert processor is not None
    if getattr(processor, "chat_template", None):
        content = [{"type": "image", "image": picture}, {"type": "text", "text": prompt}]
        batch = processor.apply_chat_template(
            [[{"role": "user", "content": content}] for _ in range(batch_size)],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    else:
        mark = getattr(processor, "image_token", None)
        if mark is None and loaded.tokenizer is not None:
            mark = loaded.tokenizer.convert_ids_to_tokens(_image_token_id(loaded))
        batch = processor(
            images=[[picture] for _ in range(batch_size)],
            text=[f"{mark}\n{prompt}" for _ in range(batch_size)],
            return_tensors="pt",
        )
    return {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}


def _append(tensors: dict[str, torch.Tensor], extra: torch.Tensor) -> dict[str, torch.Tensor]:
    """Add text tokens at the end of each row, and of everything that goes along with the ids."""
    ids = tensors["input_ids"]
    longer = dict(tensors)
    for name, tensor in tensors.items():
        if name == "input_ids":
            longer[name] = torch.cat([tensor, extra.repeat(tensor.shape[0], 1)], dim=1)
        elif tensor.shape == ids.shape:
            longer[name] = functional.pad(tensor, (0, extra.shape[1]), value=int(name == "attention_mask"))
    return longer


def _molmo_tensors(
    loaded: LoadedModel,
    config: RunConfig,
    picture: "Image.Image",
    num_crops: int | None,
    prompt_tokens: int | None,
) -> dict[str, torch.Tensor]:
    """Inputs of a Molmo model, as its published processor makes them; see `models.molmo.prompts.assemble`."""
    from maskprof.models.molmo.images import MolmoImageProcessor  # noqa: PLC0415  heavy; other models need it not
    from maskprof.models.molmo.prompts import assemble, bos_token_id, chat_text  # noqa: PLC0415

    settings, tokenizer = loaded.model.config, loaded.tokenizer
    tiling = most_square(num_crops) if num_crops else None
    prepared = MolmoImageProcessor.for_config(settings)(picture, tiling=tiling)
    # The released models begin with their end-of-text token, which is the last of the vocabulary or beyond it.
    bos = bos_token_id(tokenizer) if tokenizer is not None else settings.vocab_size - 1
    if prompt_tokens is None:
        text = _text_ids(loaded, config, chat_text(_question(config)))
        row = assemble(text, settings, prepared, bos)
    else:
        row = assemble([], settings, prepared, bos)
        frame = int((row["input_ids"] != settings.image_token_id).sum())
        if prompt_tokens >= frame:
            text = _synthetic_ids(loaded, config.seed, prompt_tokens - frame)[0]
            row["input_ids"] = torch.cat((row["input_ids"], text))
        elif tokenizer is None:
            # Random weights need no marks around the image's tokens.
            text = _synthetic_ids(loaded, config.seed, prompt_tokens)[0]
            row["image_input_idx"] = prepared.slots
            features = int((prepared.slots >= 0).sum())
            row["input_ids"] = torch.cat((torch.full((features,), settings.image_token_id), text))
        else:
            raise _too_few_for_frame(loaded, prompt_tokens, frame)
    return {name: torch.stack([tensor] * config.batch_size) for name, tensor in row.items()}


def _text_ids(loaded: LoadedModel, config: RunConfig, text: str) -> torch.Tensor:
    """A text's token ids without special ones, shape (tokens,)."""
    if loaded.tokenizer is None:
        return _synthetic_ids(loaded, config.seed, _count_pieces(text))[0]
    with quiet():
        return torch.tensor(loaded.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.long)


def _too_few_for_frame(loaded: LoadedModel, prompt_tokens: int, frame: int) -> ConfigError:
    return ConfigError(
        f"--prompt_tokens: {loaded.name} already puts {frame} text tokens around an image, "
        f"so {prompt_tokens} is too few"
    )


def _molmo2_tensors(
    loaded: LoadedModel,
    config: RunConfig,
    picture: "Image.Image",
    num_crops: int,
    prompt_tokens: int | None,
) -> dict[str, torch.Tensor]:
    """Inputs of a Molmo2 model without its processor: Molmo's prompt, causal attention throughout.

    The whole picture is one crop; `num_crops` more, which do not overlap, tile it at a higher resolution. Each
    has the same number of placeholders (144 at 336x336), all in one frame.

    `pixel_values` has shape (batch * (1 + crops), patches, values per patch), `image_token_pooling`
    (placeholders, patches pooled into one), with -1 beyond the picture's edge; patches are counted through the
    whole batch.
    """
    settings, vision = loaded.model.config, loaded.model.config.vision_config
    height, width = (side // vision.patch_size for side in vision.image_size)
    windows, rows, columns = pooling_windows(height, width)
    tiling = most_square(num_crops) if num_crops else (0, 0)
    tiles = [picture, *tiles_of(picture, tiling, tuple(vision.image_size))]
    pixels = torch.cat([cut_patches(tile, tuple(vision.image_size), vision.patch_size) for tile in tiles])
    shifts = torch.arange(config.batch_size * len(tiles))[:, None, None] * (height * width)
    placeholders = len(tiles) * rows * columns

    image = torch.full((1, placeholders), settings.image_patch_id)
    num_marks = 2
    if prompt_tokens is None or prompt_tokens > num_marks:
        marks = (settings.low_res_image_start_token_id, settings.image_end_token_id)
        image = torch.cat([torch.tensor([marks[:1]]), image, torch.tensor([marks[1:]])], dim=1)
    if prompt_tokens is not None:
        own = image.shape[1] - placeholders
        text = _synthetic_ids(loaded, config.seed, prompt_tokens - own)
    else:
        text = _prompt_row(loaded, config, _MOLMO_PROMPT.format(_question(config)))
    return {
        "input_ids": torch.cat([image, text], dim=1).repeat(config.batch_size, 1),
        "pixel_values": pixels.repeat(config.batch_size, 1, 1),
        "image_token_pooling": torch.where(windows >= 0, windows + shifts, -1).flatten(0, 1),
        "image_grids": torch.tensor([[rows, columns, rows * tiling[0], columns * tiling[1]]]).repeat(
            config.batch_size, 1
        ),
        "image_num_crops": torch.full((config.batch_size,), len(tiles)),
    }
