"""The knobs that are turned together with depth: crops of the picture, context, experts, output length."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """One setting of the knobs; None where the run leaves a knob as the model or the prompt has it.

    Attributes:
        num_crops: high-resolution crops of the picture, beside the whole one.
        prompt_tokens: text tokens of a synthetic prompt.
        moe_top_k: experts that each token goes through.
        max_new_tokens: tokens generated, of which prefill gives the first.
    """

    num_crops: int | None = None
    prompt_tokens: int | None = None
    moe_top_k: int | None = None
    max_new_tokens: int | None = None

    def value(self, knob: str) -> int | None:
        """The setting of one knob, by its name in `KNOBS`."""
        found: int | None = getattr(self, knob)
        return found

    def to_dict(self) -> dict[str, int | None]:
        """By name, in the order of `KNOBS`."""
        return {knob: self.value(knob) for knob in KNOBS}


KNOBS = tuple(field.name for field in fields(Knobs))

# What stands before the number in a configuration's name, and how many digits the number has at least.
_IN_NAMES: Mapping[str, tuple[str, int]] = {
    "num_crops": ("crops", 2),
    "prompt_tokens": ("prompt", 4),
    "moe_top_k": ("topk", 2),
    "max_new_tokens": ("new", 4),
}


def varying_knobs(settings: Iterable[Knobs]) -> tuple[str, ...]:
    """The knobs of which there is more than one value among the settings."""
    every = list(settings)
    return tuple(knob for knob in KNOBS if len({knobs.value(knob) for knobs in every}) > 1)


def knob_suffix(knobs: Knobs, among: Iterable[Knobs]) -> str:
    """What a setting adds to the names of its configurations, such as `-crops04-topk02`.

    Only knobs that vary `among` all settings of the run are named, in digits that sort as numbers do.
    """
    every = list(among)
    parts = []
    for knob in varying_knobs(every):
        label, least = _IN_NAMES[knob]
        width = max(least, *(len(str(other.value(knob))) for other in every))
        parts.append(f"-{label}{knobs.value(knob):0{width}d}")
    return "".join(parts)
