"""BlockMaskWrapper: a model runs at reduced depth while this is applied."""

import threading
import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from maskprof.config.schema import DUMMY_CACHES, MASK_PLACES, SKIP_MODES
from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask
from maskprof.models.anatomy import Anatomy, looping_module
from maskprof.models.blocks import find_blocks, probe, uncompiled
from maskprof.skipping.compiled import announce, is_compiled, note_graph
from maskprof.skipping.in_place import Flags, masked_in_place
from maskprof.skipping.override import overridden
from maskprof.skipping.removal import decoder_config, shortened
from maskprof.skipping.requirements import check_defined, requirements
from maskprof.skipping.turn_ranges import ranges_around_active
from maskprof.skipping.watch import Watch

_IN_FORCE: "weakref.WeakKeyDictionary[nn.Module, BlockMaskWrapper]" = weakref.WeakKeyDictionary()
# Looking whether another wrapper is in force and changing the model are one step.
_LOCK = threading.RLock()


class BlockMaskWrapper:
    """Skips the blocks that a mask leaves out, exactly and undoably.

    With the mask in force the model gives, bit for bit, what it gives with those blocks taken out, with and
    without a KV cache. In mode `mask` it keeps its structure: same state dict, same blocks, user hooks fire.

    A model in force cannot be copied or pickled (`MaskError`): the copy's blocks would go on calling this model's.
    Remove the wrapper, copy, and wrap the copy. `save_pretrained` and `state_dict` work, and give in mode `mask`
    the whole model. What `torch.compile` made of a model may be wrapped, and a wrapped model compiled.

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
            ranges: put profiler ranges around the blocks' turns; never for timings.

        Raises:
            MaskError: the mask does not fit, a block that it keeps reuses what a skipped one computes, the
                blocks cannot be found, or another wrapper is in force.
        """
        _check_choice("skip", skip, SKIP_MODES)
        _check_choice("dummy_cache", dummy_cache, DUMMY_CACHES)
        _check_choice("mask_on", mask_on, MASK_PLACES)
        self.model = model
        self.skip, self.dummy_cache, self.mask_on, self.ranges = skip, dummy_cache, mask_on, ranges
        self._decoder = uncompiled(model)
        self._blocks = find_blocks(model)
        self._check_alone()
        self._requirements = requirements(
            decoder_config(self._decoder, probe(self._decoder)), len(self._blocks)
        )
        self._mask = self._fitting(mask)
        self._state: _State | None = None

    @property
    def mask(self) -> BlockMask:
        """The mask; it may be changed between forwards, also while applied.

        A cache that was filled under the old mask is refused under the new one.
        """
        return self._mask

    @mask.setter
    def mask(self, mask: Any) -> None:
        new, old = self._fitting(mask), self._mask
        state = self._state
        if state is None or new == old:
            self._mask = new
        elif state.flags is not None:
            self._note_graph(state)
            self._mask = new
            state.flags.change(new)
            state.watch.change(new, self.skip)
            self._announce_graph(state)
        else:
            # The list itself was changed: back, and to the new state, or to the old one where that is refused.
            self.remove()
            self._mask = new
            try:
                self.apply()
            except MaskError:
                self._mask = old
                self.apply()
                raise

    @property
    def applied(self) -> bool:
        """Whether the mask is in force."""
        return self._state is not None

    def apply(self) -> Self:
        """Put the mask in force; nothing happens if it is.

        Raises:
            MaskError: another wrapper is in force on this model, or the skip mode does not fit it.
        """
        if self._state is not None:
            return self
        with _LOCK:
            self._check_alone()
            anatomy = probe(self._decoder)
            self._state = self._change(anatomy)
            # Also by the list that now stands in its place, which is all that another wrapper may know.
            for blocks in (self._blocks, self._decoder.get_submodule(anatomy.path)):
                _IN_FORCE[blocks] = self
        self._announce_graph(self._state)
        return self

    def remove(self) -> None:
        """Restore the model exactly; nothing happens if the mask is not in force."""
        if self._state is None:
            return
        state, self._state = self._state, None
        self._note_graph(state)
        with _LOCK:
            for blocks in [blocks for blocks, wrapper in _IN_FORCE.items() if wrapper is self]:
                del _IN_FORCE[blocks]
            state.undo.close()

    def _change(self, anatomy: Anatomy) -> "_State":
        """Change the model; what was done by then is undone if a part of it is refused."""
        watch, flags = Watch(self._mask, self.skip), None
        with ExitStack() as stack:
            stack.enter_context(overridden(looping_module(self._decoder, anatomy), watch.around))
            if self.skip == "mask":
                flags = Flags(self._mask, self.mask_on, _device_of(self._blocks))
                zeros = self.dummy_cache == "zeros"
                stack.enter_context(
                    masked_in_place(self._blocks, anatomy, flags, watch.turn, zeros=zeros, ranges=self.ranges)
                )
            else:
                stack.enter_context(shortened(self._decoder, self._blocks, anatomy, self._mask, self.skip))
                if self.ranges:
                    stack.enter_context(ranges_around_active(self._blocks, self._mask))
            return _State(undo=stack.pop_all(), watch=watch, flags=flags, path=anatomy.path)

    def _note_graph(self, state: "_State") -> None:
        if state.watch.seen_compiling:
            note_graph(self._blocks, self._mask)

    def _announce_graph(self, state: "_State") -> None:
        if is_compiled(self.model, state.path, self._blocks):
            announce(self._decoder, self._blocks, self._mask)

    def __enter__(self) -> Self:
        return self.apply()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _fitting(self, mask: Any) -> BlockMask:
        total, name = len(self._blocks), type(self._decoder).__name__
        fitting = BlockMask(mask)
        if fitting.total != total:
            raise MaskError(f"the mask has {fitting.total} entries, but {name} has {total} blocks")
        if fitting.num_active == 0:
            raise MaskError(f"at least one block must stay active, the mask skips all {total} of {name}")
        check_defined(fitting, self._requirements, name)
        return fitting

    def _check_alone(self) -> None:
        other = _IN_FORCE.get(self._blocks)
        if other is not None and other is not self:
            raise MaskError(
                f"another wrapper (mask {other.mask}) is in force on this {type(self._decoder).__name__}: "
                "remove() it first, or set its .mask"
            )

    def __repr__(self) -> str:
        state = "applied" if self.applied else "not applied"
        return f"BlockMaskWrapper({type(self._decoder).__name__}, {self._mask}, skip={self.skip!r}, {state})"


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What there is while a mask is in force; `flags` in mode `mask` only, `path` to the blocks as it was before."""

    undo: ExitStack
    watch: Watch
    flags: Flags | None
    path: str


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise MaskError(f"{name}={value!r} is not one of {', '.join(choices)}")


def _device_of(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters() if p.device.type != "meta"), torch.device("cpu"))
