"""A cache with room made in advance: a step writes its keys and values instead of copying all that came before."""

from typing import Any

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped
    """One block's keys and values at the beginning of two tensors that are allocated once.

    `keys` and `values` are views of the filled part, (batch, kv heads, tokens so far, head_dim).
    """

    def __init__(self, max_tokens: int) -> None:
        """Room for `max_tokens` is allocated at the first update; beyond it the room doubles."""
        super().__init__()
        self.keys: Any = None
        self.values: Any = None
        self.is_initialized: bool = False
        self.max_tokens = max_tokens
        self._room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> Any:
        """Append (batch, kv heads, new tokens, head_dim) and return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before: int = self.get_seq_length()
        after = before + key_states.shape[-2]
        room = self._room_for(after, before, key_states, value_states)
        room[0][..., before:after, :] = key_states
        room[1][..., before:after, :] = value_states
        self.keys, self.values = room[0][..., :after, :], room[1][..., :after, :]
        return self.keys, self.values

    def _room_for(self, after: int, before: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        room = self._room
        fits = room is not None and room[0].shape[-2] >= after and room[0].shape[:2] == keys.shape[:2]
        # Beam search puts other tensors in the place of the views.
        if room is not None and fits and (not before or self.keys.data_ptr() == room[0].data_ptr()):
            return room
        size = self.max_tokens if after <= self.max_tokens else 2 * after
        made = tuple(new.new_empty(*new.shape[:2], size, new.shape[3]) for new in (keys, values))
        if before:
            made[0][..., :before, :], made[1][..., :before, :] = self.keys, self.values
        self._room = made[0], made[1]
        return self._room

    def reset(self) -> None:
        """Forget all tokens and keep the room."""
        self.keys = self.values = None
        self.is_initialized = False


class PreallocatedCache(Cache):  # type: ignore[misc]
    """A transformers cache whose layers are `PreallocatedLayer`s; give it as `past_key_values`."""

    def __init__(self, max_tokens: int, num_blocks: int) -> None:
        """Room for `max_tokens` in each of `num_blocks` slots, allocated when a slot is first used."""
        super().__init__(layers=[PreallocatedLayer(max_tokens) for _ in range(num_blocks)])
