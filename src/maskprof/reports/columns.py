"""Columns that several tables share: what tells configurations apart, and medians with their intervals."""

from collections.abc import Sequence

from maskprof.config.knobs import Knobs, knob_suffix, varying_knobs
from maskprof.reports import units
from maskprof.reports.layout import Column
from maskprof.results.schema import Configuration, RunResult, Statistics
from maskprof.terminal_cells import cut_middle

# Ranks of the shared columns are above 10, so that a table's own columns stay longer.
NAME_WIDTH = 28
PHASE_LABELS = {
    "prefill": "prefill",
    "decode": "decode",
    "decode_per_token": "decode per token",
    "total": "total",
}
KNOB_LABELS = {
    "num_crops": "crops",
    "prompt_tokens": "prompt tokens",
    "moe_top_k": "top-k",
    "max_new_tokens": "new tokens",
}
_NARROW_CELLS = 16


def identity_columns(configurations: Sequence[Configuration], result: RunResult) -> list[Column]:
    """What tells the rows apart: as little as does, where the width is short."""
    variants = {configuration.variant for configuration in result.configurations}
    settings = [configuration.knobs for configuration in result.configurations]
    varying = varying_knobs(settings)
    narrow = [units.mask_cells(c.active, max_cells=_NARROW_CELLS) for c in configurations]
    by_count = {(c.num_active_blocks, c.variant, c.knobs) for c in configurations}
    by_cells = {(cells, c.variant, c.knobs) for cells, c in zip(narrow, configurations, strict=True)}
    # The variant and the knobs have columns of their own where there are several.
    names = [c.name.removesuffix(knob_suffix(c.knobs, settings)) for c in configurations]
    if len(variants) > 1:
        names = [n.removesuffix(f"-{c.variant}") for n, c in zip(names, configurations, strict=True)]
    count_tells = len(by_count) == len(configurations)
    cells_tell = len(by_cells) == len(configurations)
    columns = [
        Column(
            key="name",
            title="\nconfiguration",
            cells=tuple(cut_middle(name, NAME_WIDTH) for name in names),
            justify="left",
            rank=13 if count_tells or cells_tell else 0,
            role="name",
        ),
        Column(
            key="active",
            title="active\nblocks",
            cells=tuple(str(c.num_active_blocks) for c in configurations),
        ),
        Column(
            key="mask",
            title="\nmask",
            cells=tuple(units.mask_cells(c.active) for c in configurations),
            justify="left",
            rank=12,
            role="mask",
        ),
        Column(
            key="mask_narrow",
            title="\nmask",
            cells=tuple(narrow),
            justify="left",
            rank=11 if count_tells or not cells_tell else 0,
            instead_of="mask",
            role="mask",
        ),
    ]
    if len(variants) > 1:
        cells = tuple(c.variant for c in configurations)
        columns.append(Column(key="variant", title="\nvariant", cells=cells, justify="left", role="name"))
    return columns + knob_columns([configuration.knobs for configuration in configurations], varying)


def knob_columns(settings: Sequence[Knobs], varying: Sequence[str]) -> list[Column]:
    """A column for each knob that varies, one setting per row."""
    return [
        Column(
            key=knob,
            title=KNOB_LABELS[knob].replace(" ", "\n")
            if " " in KNOB_LABELS[knob]
            else f"\n{KNOB_LABELS[knob]}",
            cells=tuple(units.MISSING if s.value(knob) is None else str(s.value(knob)) for s in settings),
        )
        for knob in varying
    ]


def time_columns(
    key: str, label: str, values: Sequence[Statistics | None], *, rank: int, plain_rank: int | None = None
) -> list[Column]:
    """A phase's medians with their intervals, and a narrower stand-in without; none where all are absent."""
    if all(value is None for value in values):
        return []
    medians_us = [None if value is None else value.p50 * 1e3 for value in values]
    unit = units.time_unit(medians_us)
    scale = 1e3 / units.time_factor(unit)
    decimals = units.decimals_for([None if us is None else us / units.time_factor(unit) for us in medians_us])
    full: list[str] = []
    plain: list[str] = []
    for value in values:
        median = None if value is None else value.p50 * scale
        interval = (
            None if value is None or value.median_ci95 is None else [b * scale for b in value.median_ci95]
        )
        full.append(units.with_interval(median, interval, decimals))
        plain.append(units.fixed(median, decimals))
    title = f"{label}\n{unit}"
    columns = [Column(key=key, title=title, cells=tuple(full), rank=rank)]
    if plain_rank is not None:
        columns.append(
            Column(key=f"{key}_plain", title=title, cells=tuple(plain), rank=plain_rank, instead_of=key)
        )
    return columns
