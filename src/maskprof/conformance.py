"""Are masks exact on an architecture? Tried out on a tiny random model of it, mask by mask.

Two oracles. Bit for bit: the same model with the blocks taken out of its list and its config (skip mode
`remove`), where that model can run. Within a bound: the forward without a cache under the same mask, which
needs no cache to be kept right, against prefill and single-token steps with one.

Every mask is tried in a plain forward and in cached steps. Some are also tried in the ways of
`models.tiny_runs`: with padding, beams, and `generate()` with several caches, against the first oracle alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

from maskprof.errors import MaskError, ModelError
from maskprof.masks.mask import BlockMask
from maskprof.models.blocks import probe
from maskprof.models.tiny import (
    NOT_CACHE_CONSISTENT,
    Architecture,
    cached_logits,
    full_logits,
    tiny_inputs,
    tiny_model,
)
from maskprof.models.tiny_runs import NEW_TOKENS, PROMPT_TOKENS, WAYS
from maskprof.models.unsupported import NOT_SUPPORTED
from maskprof.skipping.wrapper import BlockMaskWrapper

BLOCKS = 4
MASKS_PER_WAY = 3

Run = Callable[[], tuple[Tensor, ...]]

# Of the largest logit: what chunked and single-step arithmetic of the untouched model may differ by, doubled.
_LEAST_BOUND = 1e-4
_BOUND_OF_UNTOUCHED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came out for one architecture.

    Attributes:
        outcome: `exact`, `inexact`, `refused` (outside the scheme, with the reason) or `unavailable` (not
            buildable or not runnable here, such as for a missing package or a bug of this transformers).
        path: where the blocks are.
        bit_exact: masks equal bit for bit to the model with the blocks removed.
        within_bound: masks equal within the bound only, since the smaller model cannot be made.
        masks_refused: masks under which skipping is not defined for this architecture.
        ways: by name, how many masks gave in this way exactly what the model without the blocks gives; a way
            that the untouched model cannot do is not among them.
        reason: for all but `exact`, in one sentence; for `exact` a note where masks were refused.
    """

    architecture: Architecture
    outcome: str
    path: str = ""
    bit_exact: int = 0
    within_bound: int = 0
    masks_refused: int = 0
    ways: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


def masks_to_try(total: int = BLOCKS) -> tuple[BlockMask, ...]:
    """All on, halves, middle, ends, only one, all but one, every other; each once."""
    half, everything = total // 2, range(total)
    choices = [
        list(everything),
        list(range(half)),
        list(range(half, total)),
        list(range(1, total - 1)),
        sorted({0, total - 1}),
        *([i] for i in everything),
        *([j for j in everything if j != i] for i in everything),
        list(range(0, total, 2)),
        list(range(1, total, 2)),
    ]
    # Of very few blocks there is no half or middle.
    return tuple(dict.fromkeys(BlockMask.from_indices(active, total) for active in choices if active))


def check(architecture: Architecture, *, settings: Mapping[str, Any] | None = None) -> Verdict:
    """Build the architecture tiny and hold every mask of `masks_to_try` against the oracles.

    `settings` are fields of the text stack's configuration that are to have just these values.
    """
    if architecture.model_type in NOT_SUPPORTED:
        reason = f"it {NOT_SUPPORTED[architecture.model_type]}"
        return Verdict(architecture=architecture, outcome="refused", reason=reason)
    try:
        model = tiny_model(architecture, blocks=BLOCKS, settings=settings)
    except ModelError as error:
        return Verdict(architecture=architecture, outcome="unavailable", reason=str(error))
    try:
        anatomy = probe(model)
    except MaskError as error:
        failure = _own_failure(architecture, model)
        outcome = "inexact" if failure is None else "unavailable"
        return Verdict(architecture=architecture, outcome=outcome, reason=failure or str(error))
    return _Check(architecture, model).verdict(anatomy.path, len(anatomy.blocks))


def _own_failure(architecture: Architecture, model: PreTrainedModel) -> str | None:
    """Why the untouched model cannot run at all, None where it can: some releases of transformers break some."""
    try:
        full_logits(model, tiny_inputs(model, architecture))
    except Exception as error:  # noqa: BLE001 - each architecture has its own way to fail
        return (
            f"{type(model).__name__} cannot run in transformers {transformers.__version__}: its own forward "
            f"fails with {type(error).__name__}: {' '.join(str(error).split())}"
        )
    return None


class _InexactError(Exception):
    """What a mask got wrong, in one sentence."""


class _Check:
    """The runs of one tiny model that its verdict needs."""

    def __init__(self, architecture: Architecture, model: PreTrainedModel) -> None:
        self.architecture, self.model = architecture, model
        self.inputs = tiny_inputs(model, architecture, tokens=PROMPT_TOKENS + NEW_TOKENS)
        self.untouched = self.full_and_cached()
        self.bound = max(_LEAST_BOUND, _BOUND_OF_UNTOUCHED * _distance(*self.untouched))

    def verdict(self, path: str, total: int) -> Verdict:
        counts: Counter[str] = Counter()
        refused: dict[BlockMask, MaskError] = {}
        masks = masks_to_try(total)
        try:
            for mask in masks:
                try:
                    counts[self.agreement(mask)] += 1
                except MaskError as error:
                    refused[mask] = error
            ways = self.ways([mask for mask in masks if mask not in refused])
            if not _same(self.full_and_cached(), self.untouched):
                raise _InexactError("the model does not compute what it did before the masks")  # noqa: TRY301 - as for every other finding
        except _InexactError as error:
            return Verdict(architecture=self.architecture, outcome="inexact", path=path, reason=str(error))
        return Verdict(
            architecture=self.architecture,
            outcome="exact",
            path=path,
            bit_exact=counts["bit_exact"],
            within_bound=counts["within_bound"],
            masks_refused=len(refused),
            ways=ways,
            reason=str(next(iter(refused.values()))) if refused else "",
        )

    def full_and_cached(self) -> tuple[Tensor, Tensor]:
        """Logits from the prompt's last token on: of one forward, and of prefill and steps."""
        full = full_logits(self.model, self.inputs)[:, PROMPT_TOKENS - 1 :]
        return full, cached_logits(self.model, self.architecture, self.inputs, prompt=PROMPT_TOKENS)

    def agreement(self, mask: BlockMask) -> str:
        """Which oracle a mask agrees with, as the field of a verdict; MaskError where the mask is refused."""
        with BlockMaskWrapper(self.model, mask):
            masked = self.run(self.full_and_cached, f"mask {mask}")
        removed = self.removed(mask, self.full_and_cached)
        if removed is not None:
            if _same(masked, removed):
                return "bit_exact"
            raise _InexactError(f"mask {mask} does not give what the model without the blocks gives")
        if self.architecture.model_type in NOT_CACHE_CONSISTENT or _distance(*masked) > self.bound:
            raise _InexactError(f"mask {mask}: cached steps differ by {_distance(*masked):.1e} of the logits")
        return "within_bound"

    def ways(self, masks: Sequence[BlockMask]) -> dict[str, int]:
        """How many masks are bit for bit right in each way that the untouched model can do."""
        partial_masks = [mask for mask in masks if mask.num_active < mask.total]
        # Positions are read off the first block's slot, mostly: without it there is most to get wrong.
        chosen = sorted(partial_masks, key=lambda mask: (mask[0], mask.num_active == 1))
        right: dict[str, int] = {}
        for name, way in WAYS.items():
            run = partial(way, self.model, self.architecture, self.inputs)
            if not _can(run):
                continue
            right[name] = 0
            for mask in chosen:
                removed = self.removed(mask, run)
                if removed is None:
                    continue
                with BlockMaskWrapper(self.model, mask):
                    masked = self.run(run, f"{name} under mask {mask}")
                if not _same(masked, removed):
                    raise _InexactError(f"{name} under mask {mask} is not what it is without the blocks")
                right[name] += 1
                if right[name] == MASKS_PER_WAY:
                    break
        return right

    def run(self, what: Run, name: str) -> tuple[Tensor, ...]:
        try:
            return what()
        except Exception as error:
            raise _InexactError(f"{name} fails with {type(error).__name__}: {error}") from error

    def removed(self, mask: BlockMask, what: Run) -> tuple[Tensor, ...] | None:
        """What the model without the blocks gives; None where there cannot be such a model."""
        try:
            with BlockMaskWrapper(self.model, mask, skip="remove"):
                return what()
        except Exception:  # noqa: BLE001 - such as a cache without any attention, which transformers cannot do
            return None


def _can(run: Run) -> bool:
    """Whether the untouched model does this, and does the same twice: some keep states of an earlier text."""
    try:
        once, again = run(), run()
    except Exception:  # noqa: BLE001 - each architecture has its own way to say that it cannot
        return False
    return all(bool(tensor.isfinite().all()) for tensor in once) and _same(once, again)


def _same(ones: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def _distance(one: Tensor, other: Tensor) -> float:
    """Largest difference, as a share of the largest logit."""
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-12))
