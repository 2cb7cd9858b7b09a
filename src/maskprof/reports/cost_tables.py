"""What the skip path costs, as tables: from the traces, and measured twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from maskprof.reports import units
from maskprof.reports.columns import identity_columns
from maskprof.reports.layout import Column, Table
from maskprof.results.schema import Attribution, BlockCost, Closure, RunResult

_PHASES = ("prefill", "decode")


@dataclass(frozen=True, slots=True)
class _Skipped:
    """The median over a configuration's skipped blocks in one phase, us; None where there is no such figure."""

    check: float | None
    cache: float | None
    turn: float | None
    device: float | None


def overhead_table(result: RunResult) -> Table | None:
    """Per configuration and skipped block: mask check, cache and whole turn, as the traces attribute them."""
    found = [
        (configuration, item, [_skipped(item, phase) for phase in _PHASES])
        for item in result.attribution
        for configuration in result.configurations
        if configuration.name == item.configuration and configuration.num_skipped_blocks
    ]
    found = [entry for entry in found if any(cost.turn is not None for cost in entry[2])]
    if not found:
        return None
    resolutions = [item.instrument.inner_resolution_us if item.instrument else None for _, item, _ in found]
    parts: tuple[tuple[str, int, Callable[[_Skipped], float | None]], ...] = (
        ("check", 2, lambda cost: cost.check),
        ("cache", 3, lambda cost: cost.cache),
        ("turn", 0, lambda cost: cost.turn),
        ("device", 1, lambda cost: cost.device),
    )
    columns = identity_columns([configuration for configuration, _, _ in found], result)
    for place, phase in enumerate(_PHASES):
        for key, rank, figure in parts:
            values = [figure(costs[place]) for _, _, costs in found]
            if all(value is None for value in values):
                continue
            # The resolution is the host clock's; kernel times come from the device's own.
            limits = [None] * len(values) if key == "device" else resolutions
            decimals = units.decimals_for([*values, *limits])
            cells = (_resolved(value, limit, decimals) for value, limit in zip(values, limits, strict=True))
            columns.append(
                Column(
                    key=f"{phase}_{key}",
                    title=f"{phase}\n{key}",
                    cells=tuple(cells),
                    rank=rank,
                )
            )
    known = [limit for limit in resolutions if limit is not None]
    notes = [
        "Median over the skipped blocks; decode per step; the recording's own cost is subtracted.",
        "Check: reading the mask. Cache: its cache work. Turn: all that the host does for it, both included.",
    ]
    if any(column.key.endswith("_device") for column in columns):
        notes.append("Device: kernel time launched in its turn.")
    if known:
        spread = units.duration_us(max(known))
        notes.append(f"< marks what is below the instrument's resolution (at most {spread} here).")
    return Table(
        title="What a skipped block costs, from the traces (us per skipped block)",
        columns=tuple(columns),
        notes=tuple(notes),
    )


def closure_table(result: RunResult) -> Table | None:
    """The skip path measured twice: clean against removed blocks, and as the traces attribute it."""
    found = [
        (configuration, {closure.phase: closure for closure in item.closure})
        for item in result.attribution
        for configuration in result.configurations
        if configuration.name == item.configuration and item.closure
    ]
    if not found:
        return None
    columns = identity_columns([configuration for configuration, _ in found], result)
    for phase in _PHASES:
        entries = [closures.get(phase) for _, closures in found]
        clean = [_per_block(entry, entry.clean_us if entry else None) for entry in entries]
        traced = [_per_block(entry, entry.attributed_us if entry else None) for entry in entries]
        decimals = units.decimals_for([*clean, *traced])
        cells = tuple(
            # Without an interval, of one or two pairs, it would be noise in the clothes of a figure.
            units.with_interval(value, interval, decimals) if interval else units.MISSING
            for value, interval in zip(clean, map(_interval_per_block, entries), strict=True)
        )
        columns.append(Column(key=f"{phase}_clean", title=f"{phase}\nclean", cells=cells))
        cells = tuple(units.fixed(value, decimals) for value in traced)
        columns.append(Column(key=f"{phase}_traced", title=f"{phase}\ntraced", cells=cells))
    pairs = tuple(str(max((c.pairs for c in closures.values()), default=0)) for _, closures in found)
    columns.append(Column(key="pairs", title="\npairs", cells=pairs, rank=12, role="side"))
    reasons = {
        closure.note: None
        for _, closures in found
        for closure in closures.values()
        if closure.note is not None
    }
    return Table(
        title="The skip path measured twice (us per skipped block; decode per step)",
        columns=tuple(columns),
        notes=(
            "Clean: masked minus the same model with the blocks removed, no profiler, paired by round.",
            "Traced: all the skipped blocks' turns in the trace, divided by their number.",
            *(f"{units.MISSING}: {reason}." for reason in reasons),
        ),
    )


def block_table(item: Attribution) -> Table | None:
    """One configuration's blocks, per phase, as its trace attributes them."""
    rows = [(phase, block) for phase in item.phases for block in phase.blocks]
    if not rows:
        return None

    def column(key: str, title: str, figure: Callable[[BlockCost], float | None]) -> Column:
        return Column(key=key, title=title, cells=tuple(units.fixed(figure(block), 2) for _, block in rows))

    figures = (
        column("host", "host us", lambda block: block.host_us),
        column("device", "device us", lambda block: block.device_us),
        column("check", "mask check us", lambda block: block.mask_check_us),
        column("cache", "cache us", lambda block: block.cache_us),
        column("kernels", "kernels or operators", lambda block: block.kernel_count),
    )
    return Table(
        title=f"Blocks of {item.configuration}, from its trace",
        columns=(
            Column(key="phase", title="phase", cells=tuple(p.phase for p, _ in rows), justify="left"),
            Column(key="block", title="block", cells=tuple(str(b.block) for _, b in rows)),
            Column(
                key="active",
                title="turn",
                cells=tuple("active" if b.active else "skipped" for _, b in rows),
                justify="left",
            ),
            *(figure for figure in figures if set(figure.cells) != {units.MISSING}),
        ),
        notes=("Decode figures are per step; the recording's own cost is subtracted.",),
    )


def _skipped(item: Attribution, phase: str) -> _Skipped:
    blocks = [block for p in item.phases if p.phase == phase for block in p.blocks if not block.active]
    return _Skipped(
        check=_median([block.mask_check_us for block in blocks]),
        cache=_median([block.cache_us for block in blocks]),
        turn=_median([block.host_us for block in blocks]),
        device=_median([block.device_us for block in blocks]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    # Not the mean: the first skipped block after an active one finds cold caches and costs several times more.
    return median(present) if present else None


def _resolved(value: float | None, resolution: float | None, decimals: int) -> str:
    if value is not None and resolution is not None and value < resolution:
        return units.below(resolution, decimals)
    return units.fixed(value, decimals)


def _per_block(closure: Closure | None, value_us: float | None) -> float | None:
    if closure is None or value_us is None or not closure.skipped_blocks:
        return None
    return value_us / closure.skipped_blocks


def _interval_per_block(closure: Closure | None) -> tuple[float, float] | None:
    if closure is None or closure.clean_ci95_us is None or not closure.skipped_blocks:
        return None
    low, high = closure.clean_ci95_us
    return low / closure.skipped_blocks, high / closure.skipped_blocks
