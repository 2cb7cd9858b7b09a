"""Columns that several tables share: what tells configurations apart, and medians with their intervals."""

from collections.abc import Sequence

from maskprof.reports import units
from maskprof.reports.layout import Column
from maskprof.results.schema import Configuration, RunResult, Statistics

# Ranks of the shared columns are above 10, so that a table's own columns stay longer.
NAME_WIDTH = 28
_NARROW_CELLS = 16


def identity_columns(configurations: Sequence[Configuration], result: RunResult) -> list[Column]:
    """What tells the rows apart: as little as does, where the width is short."""
    variants = {configuration.variant for configuration in result.configurations}
    narrow = [units.mask_cells(c.active, max_cells=_NARROW_CELLS) for c in configurations]
    by_count = {(c.num_active_blocks, c.variant) for c in configurations}
    by_cells = {(cells, c.variant) for cells, c in zip(narrow, configurations, strict=True)}
    # The variant has a column of its own where there are several.
    names = [c.name.removesuffix(f"-{c.variant}") if len(variants) > 1 else c.name for c in configurations]
    count_tells = len(by_count) == len(configurations)
    cells_tell = len(by_cells) == len(configurations)
    columns = [
        Column(
            key="name",
            title="\nconfiguration",
            cells=tuple(units.shorten(name, NAME_WIDTH) for name in names),
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
    return columns


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
