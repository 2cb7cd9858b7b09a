"""What each token may attend to: made only where plain causal attention is not the whole story."""

from typing import Any

import torch
from torch import Tensor

# Dimensions of a mask over keys, over queries and keys, and of one that generate() makes for static caches.
_PLAIN, _PER_TOKEN, _READY_MADE = 2, 3, 4


def padding_mask(input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor | None:
    """The mask that matters, None where every token is real.

    Looking for padding waits for a GPU, so it is done for prompts only: a single new token is no padding, and a
    mask that comes with one is used as it is.

    Args:
        input_ids: (batch, tokens), with -1 for padding.
        attention_mask: (batch, past and new tokens or more), 1 for real tokens; made from the ids where None.
    """
    is_step = input_ids is not None and input_ids.is_cuda and input_ids.shape[1] == 1
    mask = attention_mask
    if mask is None and input_ids is not None and not is_step:
        mask = input_ids.ge(0)
    if mask is None or mask.dim() != _PLAIN or (is_step and attention_mask is not None):
        return mask
    return None if bool(mask.all()) else mask


def positions(mask: Tensor | None, past: Any, tokens: int, device: torch.device) -> Tensor:
    """Positions of the new tokens, (batch or 1, tokens): padding does not count, and starts at 0."""
    if mask is None or mask.dim() != _PLAIN:
        return torch.arange(tokens, device=device)[None].add(past)
    whole = _fitted(mask, past, tokens)
    return (whole.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -tokens:]


def attention_bias(
    mask: Tensor | None, *, past: Any, tokens: int, keys: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor | None:
    """What is added to the attention scores, (batch or 1, 1, tokens, keys); None for plain causal attention.

    `mask` is what `padding_mask` gives; with four dimensions it is passed on as it is. `past` is the number of
    tokens in the cache, also as a tensor; `tokens` that of new ones. `keys` is the number of slots of a cache of
    fixed size, filled or not, and None where the cache holds just what came before.
    """
    if mask is not None and mask.dim() == _READY_MADE:
        return mask
    if mask is None and keys is None and (tokens == 1 or not past):
        return None
    size = past + tokens if keys is None else keys
    columns = torch.arange(size, device=device)
    allowed = (columns <= torch.arange(tokens, device=device)[:, None] + past)[None, None]
    if mask is not None and mask.dim() == _PER_TOKEN:
        allowed = allowed & mask[:, None].bool()
    elif mask is not None:
        whole = _fitted(mask, past, tokens).bool()
        if whole.shape[1] < size:
            whole = torch.nn.functional.pad(whole, (0, size - whole.shape[1]))
        allowed = allowed & whole[:, None, None]
    # Not minus infinity: a row of padding must attend to something.
    zero = torch.zeros((), dtype=dtype, device=device)
    return torch.where(allowed, zero, torch.finfo(dtype).min)


def last_real_positions(mask: Tensor) -> Tensor:
    """Per row the index of the last real token, (batch,)."""
    columns = torch.arange(mask.shape[1], device=mask.device)
    return (mask.bool() * columns).argmax(dim=-1)


def _fitted(mask: Tensor, past: Any, tokens: int) -> Tensor:
    """The mask over past and new tokens: cut where it reaches further, past ones taken as real where it lacks them."""
    length = int(past) + tokens
    if mask.shape[1] < length:
        return torch.nn.functional.pad(mask, (length - mask.shape[1], 0), value=1)
    return mask[:, :length]
