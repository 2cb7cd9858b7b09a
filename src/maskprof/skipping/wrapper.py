"""BlockMaskWrapper: a model runs at reduced depth while this is applied."""

import weakref
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from maskprof.config.schema import DUMMY_CACHES, MASK_PLACES, SKIP_MODES
from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.blocks import find_blocks, probe
from maskprof.skipping.in_place import Flags, masked_in_place
from maskprof.skipping.removal import shortened

_IN_FORCE: "weakref.WeakKeyDictionary[nn.Module, BlockMaskWrapper]" = weakref.WeakKeyDictionary()


class BlockMaskWrapper:
    """Skips the blocks that a mask leaves out, exactly and undoably.

    With the mask in force the model gives, bit for bit, what it gives with those blocks taken out, with and
    without a KV cache. In mode `mask` it keeps its structure: same state dict, same blocks, user hooks fire.

    >>> with BlockMaskWrapper(model, BlockMask.first(4, total=16)):  # doctest: +SKIP
    ...     model.generate(**inputs)
    """

    def __init__(
        self,
        model: nn.Module,
        mask: Any,
        *,
        skip: str = "mask",
        dummy_cache: str = "virtual",
        mask_on: str = "host",
        ranges: bool = False,
    ) -> None:
        """Check the mask against the model; nothing is changed before `apply`.

        Args:
            model: a bare decoder, a causal LM or a vision-language model. The first time a model is seen, two
                tokens are run through it to learn its blocks.
            mask: a BlockMask, a sequence of bools, or a bool tensor of shape (n_layers,); True is active.
            skip: `mask` (blocks in place, the mask read at every turn), `splice` (the list shortened and
                renumbered), `remove` (the config shortened too: a smaller model), `early_exit` (the tail of
                the list cut off).
            dummy_cache: in mode `mask`, `virtual` (a skipped block's cache slot counts tokens and holds none)
                or `zeros` (it is filled with zeros of its true shape).
            mask_on: in mode `mask`, where the mask is read: `host` (a Python list), `cpu` (a CPU tensor) or
                `device` (a tensor on the model's device, which waits for a GPU at every block).
            ranges: in mode `mask`, put profiler ranges around turns; never for timings.

        Raises:
            MaskError: the mask does not fit, the blocks cannot be found, or another wrapper is in force.
        """
        _check_choice("skip", skip, SKIP_MODES)
        _check_choice("dummy_cache", dummy_cache, DUMMY_CACHES)
        _check_choice("mask_on", mask_on, MASK_PLACES)
        self.model = model
        self.skip, self.dummy_cache, self.mask_on, self.ranges = skip, dummy_cache, mask_on, ranges
        self._blocks = find_blocks(model)
        self._mask = _fitting(mask, len(self._blocks), type(model).__name__)
        self._check_alone()
        self._flags: Flags | None = None
        self._applied: AbstractContextManager[None] | None = None

    @property
    def mask(self) -> BlockMask:
        """The mask; it may be changed between forwards, also while applied.

        A cache that was filled under the old mask is refused under the new one.
        """
        return self._mask

    @mask.setter
    def mask(self, mask: Any) -> None:
        new = _fitting(mask, len(self._blocks), type(self.model).__name__)
        if self._applied is not None and self._flags is None:
            # The list itself was changed: back, and to the new state.
            self.remove()
            self._mask = new
            self.apply()
            return
        self._mask = new
        if self._flags is not None:
            self._flags.change(new)

    @property
    def applied(self) -> bool:
        """Whether the mask is in force."""
        return self._applied is not None

    def apply(self) -> Self:
        """Put the mask in force; nothing happens if it is.

        Raises:
            MaskError: another wrapper is in force on this model, or the skip mode does not fit it.
        """
        if self._applied is not None:
            return self
        self._check_alone()
        anatomy = probe(self.model)
        if self.skip == "mask":
            flags = Flags(self._mask, self.mask_on, _device_of(self._blocks))
            change: AbstractContextManager[None] = masked_in_place(
                self.model,
                self._blocks,
                anatomy,
                flags,
                zeros=self.dummy_cache == "zeros",
                ranges=self.ranges,
            )
        else:
            flags = None
            change = shortened(self.model, self._blocks, anatomy, self._mask, self.skip)
        change.__enter__()
        self._applied, self._flags = change, flags
        _IN_FORCE[self._blocks] = self
        return self

    def remove(self) -> None:
        """Restore the model exactly; nothing happens if the mask is not in force."""
        if self._applied is None:
            return
        change, self._applied, self._flags = self._applied, None, None
        _IN_FORCE.pop(self._blocks, None)
        change.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self.apply()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _check_alone(self) -> None:
        other = _IN_FORCE.get(self._blocks)
        if other is not None and other is not self:
            raise MaskError(
                f"another wrapper (mask {other.mask}) is in force on this {type(self.model).__name__}: "
                "remove() it first, or set its .mask"
            )

    def __repr__(self) -> str:
        state = "applied" if self.applied else "not applied"
        return f"BlockMaskWrapper({type(self.model).__name__}, {self._mask}, skip={self.skip!r}, {state})"


def _fitting(mask: Any, total: int, model_name: str) -> BlockMask:
    fitting = BlockMask(mask)
    if fitting.total != total:
        raise MaskError(f"the mask has {fitting.total} entries, but {model_name} has {total} blocks")
    if fitting.num_active == 0:
        raise MaskError(f"at least one block must stay active, the mask skips all {total} of {model_name}")
    return fitting


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise MaskError(f"{name}={value!r} is not one of {', '.join(choices)}")


def _device_of(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters() if p.device.type != "meta"), torch.device("cpu"))
