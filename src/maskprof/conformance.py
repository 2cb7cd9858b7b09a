"""Are masks exact on an architecture? Tried out on a tiny random model of it, mask by mask.

Two oracles. Bit for bit: the same model with the blocks taken out of its list and its config (skip mode
`remove`), where that model can run. Within a bound: the forward without a cache under the same mask, which
needs no cache to be kept right, against prefill and single-token steps with one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from maskprof.errors import MaskError, ModelError
from maskprof.masks.mask import BlockMask
from maskprof.models.blocks import probe
from maskprof.models.tiny import (
    NOT_CACHE_CONSISTENT,
    NOT_SUPPORTED,
    Architecture,
    cached_logits,
    full_logits,
    tiny_inputs,
    tiny_model,
)
from maskprof.skipping.wrapper import BlockMaskWrapper

BLOCKS = 4
PROMPT_TOKENS = 8
STEPS = 3

# Of the largest logit: what chunked and single-step arithmetic of the untouched model may differ by, doubled.
_LEAST_BOUND = 1e-4
_BOUND_OF_UNTOUCHED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came out for one architecture.

    Attributes:
        outcome: `exact`, `inexact`, `refused` (outside the scheme, with the reason) or `unavailable` (not
            buildable here, such as for a missing package).
        path: where the blocks are.
        bit_exact: masks equal bit for bit to the model with the blocks removed.
        within_bound: masks equal within the bound only, since the smaller model cannot be made.
        masks_refused: masks under which skipping is not defined for this architecture.
        reason: for all but `exact`, in one sentence; for `exact` a note where masks were refused.
    """

    architecture: Architecture
    outcome: str
    path: str = ""
    bit_exact: int = 0
    within_bound: int = 0
    masks_refused: int = 0
    reason: str = ""


def masks_to_try(total: int = BLOCKS) -> tuple[BlockMask, ...]:
    """All on, halves, middle, ends, only one, all but one, every other; each once."""
    half, everything = total // 2, range(total)
    choices = [
        list(everything),
        list(range(half)),
        list(range(half, total)),
        list(range(1, total - 1)),
        [0, total - 1],
        *([i] for i in everything),
        *([j for j in everything if j != i] for i in everything),
        list(range(0, total, 2)),
        list(range(1, total, 2)),
    ]
    return tuple(dict.fromkeys(BlockMask.from_indices(active, total) for active in choices))


def check(architecture: Architecture) -> Verdict:
    """Build the architecture tiny and hold every mask of `masks_to_try` against the oracles."""
    if architecture.model_type in NOT_SUPPORTED:
        reason = f"it {NOT_SUPPORTED[architecture.model_type]}"
        return Verdict(architecture=architecture, outcome="refused", reason=reason)
    try:
        model = tiny_model(architecture, blocks=BLOCKS)
    except ModelError as error:
        return Verdict(architecture=architecture, outcome="unavailable", reason=str(error))
    try:
        anatomy = probe(model)
    except MaskError as error:
        return Verdict(architecture=architecture, outcome="inexact", reason=str(error))
    return _Check(architecture, model).verdict(anatomy.path, len(anatomy.blocks))


class _Check:
    """The runs of one tiny model that its verdict needs."""

    def __init__(self, architecture: Architecture, model: PreTrainedModel) -> None:
        self.architecture, self.model = architecture, model
        self.inputs = tiny_inputs(model, architecture, tokens=PROMPT_TOKENS + STEPS)
        self.untouched = self.full(), self.cached()
        self.bound = max(_LEAST_BOUND, _BOUND_OF_UNTOUCHED * _distance(*self.untouched))

    def full(self) -> Tensor:
        return full_logits(self.model, self.inputs)[:, PROMPT_TOKENS - 1 :]

    def cached(self) -> Tensor:
        return cached_logits(self.model, self.architecture, self.inputs, prompt=PROMPT_TOKENS)

    def verdict(self, path: str, total: int) -> Verdict:
        bit_exact = within_bound = 0
        refused: list[MaskError] = []
        for mask in masks_to_try(total):
            try:
                with BlockMaskWrapper(self.model, mask):
                    masked = self.full(), self.cached()
            except MaskError as error:
                refused.append(error)
                continue
            except Exception as error:  # noqa: BLE001 - a failing mask is what is looked for
                return self._inexact(path, f"mask {mask} fails with {type(error).__name__}: {error}")
            removed = self._attempt(lambda mask=mask: self._removed(mask))  # type: ignore[misc]
            if removed is not None and all(torch.equal(a, b) for a, b in zip(masked, removed, strict=True)):
                bit_exact += 1
            elif self._agrees(masked):
                within_bound += 1
            else:
                return self._inexact(
                    path, f"mask {mask}: cached steps differ by {_distance(*masked):.1e} of the logits"
                )
        if not all(
            torch.equal(a, b) for a, b in zip(self.untouched, (self.full(), self.cached()), strict=True)
        ):
            return self._inexact(path, "the model does not compute what it did before the masks")
        return Verdict(
            architecture=self.architecture,
            outcome="exact",
            path=path,
            bit_exact=bit_exact,
            within_bound=within_bound,
            masks_refused=len(refused),
            reason=str(refused[0]) if refused else "",
        )

    def _removed(self, mask: BlockMask) -> tuple[Tensor, Tensor]:
        with BlockMaskWrapper(self.model, mask, skip="remove"):
            return self.full(), self.cached()

    def _attempt(self, run: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor] | None:
        try:
            return run()
        except Exception:  # noqa: BLE001 - the smaller model may be impossible; the other oracle is there
            return None

    def _agrees(self, masked: tuple[Tensor, Tensor]) -> bool:
        if self.architecture.model_type in NOT_CACHE_CONSISTENT:
            return False
        return _distance(*masked) <= self.bound

    def _inexact(self, path: str, reason: str) -> Verdict:
        return Verdict(architecture=self.architecture, outcome="inexact", path=path, reason=reason)


def _distance(one: Tensor, other: Tensor) -> float:
    """Largest difference, as a share of the largest logit."""
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))


def check_all(chosen: tuple[Architecture, ...]) -> Iterator[Verdict]:
    """One verdict after the other."""
    for architecture in chosen:
        yield check(architecture)
