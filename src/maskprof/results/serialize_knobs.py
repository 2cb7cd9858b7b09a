"""The setting of the knobs, and the fits over them, to and from JSON values."""

from typing import Any

from maskprof.config.knobs import KNOBS, Knobs
from maskprof.results.jsonvalues import number, optional_number, optional_pair, typed, whole
from maskprof.results.schema import Estimate, KnobFit

_ESTIMATES = (
    *("intercept_ms", "ms_per_block", "ms_per_unit", "ms_per_block_and_unit"),
    *("halving_blocks_ms", "halving_knob_ms", "halving_both_ms"),
)


def knobs_from(entry: dict[str, Any]) -> Knobs:
    """The setting of the knobs that an entry names; results of before there were knobs name none.

    Raises:
        TypeError: a value is neither a whole number nor null.
    """
    return Knobs(**{knob: None if entry.get(knob) is None else whole(entry, knob) for knob in KNOBS})


def knob_fit_entry(fit: KnobFit) -> dict[str, Any]:
    """A fit as JSON values."""
    estimates = {name: getattr(fit, name) for name in _ESTIMATES}
    return {
        "phase": fit.phase,
        "variant": fit.variant,
        "knob": fit.knob,
        "held": fit.held.to_dict(),
        "num_points": fit.num_points,
        **{name: {"value": found.value, "ci95": found.ci95} for name, found in estimates.items()},
        "r2": fit.r2,
        "full_blocks": fit.full_blocks,
        "full_value": fit.full_value,
    }


def knob_fit_from(entry: dict[str, Any]) -> KnobFit:
    """The fit that `knob_fit_entry` wrote.

    Raises:
        KeyError, TypeError, ValueError: a key is absent or of the wrong type.
    """
    return KnobFit(
        phase=typed(entry, "phase", str),
        variant=typed(entry, "variant", str),
        knob=typed(entry, "knob", str),
        held=knobs_from(typed(entry, "held", dict)),
        num_points=whole(entry, "num_points"),
        **{name: _estimate(typed(entry, name, dict)) for name in _ESTIMATES},
        r2=optional_number(entry, "r2"),
        full_blocks=whole(entry, "full_blocks"),
        full_value=whole(entry, "full_value"),
    )


def _estimate(entry: dict[str, Any]) -> Estimate:
    return Estimate(value=number(entry, "value"), ci95=optional_pair(entry, "ci95"))
