"""What is looked at once a forward: the new tokens, and whether the cache fits the mask in force."""

from typing import Any

import torch

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import find_cache, is_cache
from maskprof.models.cache_names import RETURNED_NAME, cache_argument
from maskprof.skipping.caches import Turn
from maskprof.skipping.override import Forward

_MARK = "_maskprof_mask"
_INPUTS = ("input_ids", "inputs_embeds", "hidden_states")


class Watch:
    """Stands around the forward of the module that loops over the blocks.

    Attributes:
        in_force: the mask and the way it is carried out, in words; what caches are marked with.
        turn: what is the same for all blocks of the forward that is running.
        seen_compiling: whether torch.compile has made a graph of the model under this watch.
    """

    def __init__(self, mask: BlockMask, mode: str) -> None:
        self.turn = Turn()
        self.seen_compiling = False
        self._counts = mode == "mask"  # nothing is skipped in place in the other modes
        self._unmasked = "1" * mask.total
        self.change(mask, mode)

    def change(self, mask: BlockMask, mode: str) -> None:
        """Another mask is in force from now on."""
        # A text and no mask: compiled graphs are specialised on its value, whichever object holds it.
        plain = mode == "mask" or mask.num_active == mask.total
        self.in_force = str(mask) if plain else f"{mask} in mode '{mode}'"

    def around(self, original: Forward) -> Forward:
        """A forward that does what `original` does, watched."""
        turn, is_compiling = self.turn, torch.compiler.is_compiling
        usual_name = cache_argument(original) or RETURNED_NAME

        def forward(*args: Any, **kwargs: Any) -> Any:
            # The usual name first: asking every argument whether it is a cache takes microseconds.
            given = kwargs.get(usual_name)
            if given is None or not is_cache(given):
                given = find_cache(args, kwargs)
            if given is not None and getattr(given, _MARK, None) != self.in_force:
                self._check_cache(given)
            if is_compiling():
                self.seen_compiling = True
            if self._counts:
                _count(turn, args, kwargs)
            output = original(*args, **kwargs)
            cache = _cache_in(output) if given is None else given
            if cache is not None:
                setattr(cache, _MARK, self.in_force)
            return output

        return forward

    def _check_cache(self, cache: Any) -> None:
        filled_under: str = getattr(cache, _MARK, self._unmasked)
        if filled_under == self.in_force or not _has_past(cache):
            return
        raise MaskError(
            f"this cache was filled under another mask ({filled_under}) than the one in force "
            f"({self.in_force}); the blocks' keys and values would not fit each other: start from an empty cache"
        )


def _count(turn: Turn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    # At the model's input: hidden states may carry further streams in front of the tokens.
    for name in _INPUTS:
        given = kwargs.get(name)
        if given is not None:
            break
    else:
        given = args[0] if args else None
    if isinstance(given, torch.Tensor):
        shape = given.shape
        turn.batch, turn.tokens = shape[0], shape[1] if len(shape) > 1 else 1


def _cache_in(output: Any) -> Any:
    values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else ()
    return find_cache(tuple(values), {})


def _has_past(cache: Any) -> bool:
    try:
        return bool(cache.get_seq_length() > 0)
    except ValueError:  # a cache of nothing but linear attention has no length
        return bool(cache.has_previous_state())
