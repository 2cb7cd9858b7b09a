"""What things are called where there is little room: configurations, ways of skipping, settings of the knobs."""

from collections.abc import Mapping, Sequence

from maskprof.config.knobs import Knobs, knob_suffix, varying_knobs
from maskprof.counted_nouns import count
from maskprof.reports import units
from maskprof.reports.columns import KNOB_LABELS
from maskprof.reports.tables import Group
from maskprof.results.schema import Configuration, RunResult
from maskprof.terminal_cells import cut_middle

_LONGEST = 44


def short_names(result: RunResult) -> dict[str, str]:
    """By configuration name the least that tells it apart: `8 blocks`, `8 blocks · top-k 4`."""
    configurations = result.configurations
    settings = [configuration.knobs for configuration in configurations]
    counted = {(c.num_active_blocks, c.variant, c.knobs) for c in configurations}
    count_tells = len(counted) == len(configurations)
    groups = {(c.variant, c.knobs): None for c in configurations}
    of_group = group_names(list(groups))
    names = {}
    for c in configurations:
        blocks = count(c.num_active_blocks, "block")
        if not count_tells:
            bare = c.name.removesuffix(knob_suffix(c.knobs, settings)).removesuffix(f"-{c.variant}")
            blocks = bare.removesuffix(f"-of-{c.num_total_blocks:02d}")
        parts = [blocks, of_group[c.variant, c.knobs]]
        names[c.name] = cut_middle(" · ".join(part for part in parts if part), _LONGEST)
    return names


def group_names(groups: Sequence[Group]) -> dict[Group, str]:
    """What tells groups apart, such as `splice · top-k 4`; empty where there is one."""
    several = len({variant for variant, _ in groups}) > 1
    varying = varying_knobs(knobs for _, knobs in groups)
    return {
        (variant, knobs): " · ".join([variant] * several + knob_words(knobs, varying))
        for variant, knobs in groups
    }


def knob_words(knobs: Knobs, varying: Sequence[str]) -> list[str]:
    """`top-k 4` for each of the knobs."""
    return [
        f"{KNOB_LABELS[knob]} {units.MISSING if knobs.value(knob) is None else knobs.value(knob)}"
        for knob in varying
    ]


def described(configuration: Configuration, names: Mapping[str, str]) -> str:
    """A configuration in one line of a tooltip."""
    counts = f"{configuration.num_active_blocks} of {configuration.num_total_blocks} blocks"
    short = names.get(configuration.name, configuration.name)
    return (
        counts
        if short.startswith(f"{configuration.num_active_blocks} block") and "·" not in short
        else f"{short}: {counts}"
    )
