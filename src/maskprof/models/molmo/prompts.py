"""Molmo's prompts: the words around a question, and a picture's tokens in front of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskprof.models.molmo.config import MolmoConfig
from maskprof.models.molmo.images import PreparedImage


def chat_text(question: str, style: str | None = None) -> str:
    """The text of one question as the released models expect it, with its leading space.

    `style` names a data set's way of answering ("vqa2"); the models' demonstrations use none.
    """
    asked = question if style is None else f"{style}: {question}"
    return f" User: {asked} Assistant:"


def image_token_ids(image: PreparedImage, config: MolmoConfig) -> Tensor:
    """The tokens that stand for a picture, (tokens,): both parts between marks, a token after each row."""
    parts: list[Tensor] = []
    for rows, columns in (image.global_grid, image.local_grid):
        block = torch.full((rows, columns + 1), config.image_token_id)
        block[:, -1] = config.image_column_id
        marks = torch.tensor([config.image_start_id, config.image_end_id])
        parts += [marks[:1], block.flatten(), marks[1:]]
    return torch.cat(parts)


def assemble(
    text_ids: Sequence[int] | Tensor,
    config: MolmoConfig,
    image: PreparedImage | None = None,
    bos_id: int | None = None,
) -> dict[str, Tensor]:
    """The tensors of one prompt, without a batch dimension: text, and a picture in front of it.

    Args:
        text_ids: tokens of `chat_text`, without special ones.
        config: the model's.
        image: the picture, or None for text alone.
        bos_id: the token at the very front; the released models use their end-of-text token. None is none.

    Returns:
        `input_ids` (tokens,); with a picture also `images`, `image_masks` and `image_input_idx`.
    """
    front = torch.tensor([] if bos_id is None else [bos_id], dtype=torch.long)
    text = torch.as_tensor(text_ids, dtype=torch.long)
    if image is None:
        return {"input_ids": torch.cat((front, text))}
    tokens = image_token_ids(image, config)
    ids = torch.cat((front, tokens, text))
    places = (ids == config.image_token_id).nonzero().flatten()
    index = torch.where(image.slots >= 0, places[image.slots.clamp(min=0)], image.slots)
    return {
        "input_ids": ids,
        "images": image.images,
        "image_masks": image.image_masks,
        "image_input_idx": index,
    }


def batched(prompts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Several prompts as one batch: whatever is shorter is padded at its end with -1."""
    batch: dict[str, Tensor] = {}
    names = {name: tensor for prompt in prompts for name, tensor in prompt.items()}
    for name, example in names.items():
        longest = max(prompt[name].shape[0] for prompt in prompts if name in prompt)
        rows = torch.full((len(prompts), longest, *example.shape[1:]), -1, dtype=example.dtype)
        for row, prompt in zip(rows, prompts, strict=True):
            if name in prompt:
                row[: prompt[name].shape[0]] = prompt[name]
        batch[name] = rows
    return batch


def bos_token_id(tokenizer: Any) -> int | None:
    """The token in front of every prompt: the tokenizer's own, else its end-of-text token."""
    for name in ("bos_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if isinstance(token, int):
            return token
    return None
