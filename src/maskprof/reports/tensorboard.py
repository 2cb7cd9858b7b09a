"""A result as native TensorBoard data, which every TensorBoard shows without plugin or network.

Run `summary`: latency as scalars with the number of active blocks as the step, the ends of the medians' intervals
likewise, the same curves as pictures, the times of the blocks as histograms, the tables as text, and a layout for
the Custom Scalars page; run `summary/ideal`, drawn in the same charts: what the same depths would take if time fell
with the blocks. Where several variants or settings of the knobs were measured, each is a run below `summary`.

Runs of the configurations, beside their traces: hyperparameters and metrics for the HParams page, and the blocks
of the trace as scalars, whose step is the block's number, and as text.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from time import time

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from maskprof.config.knobs import knob_suffix
from maskprof.errors import ConfigError
from maskprof.reports import tensorboard_values as values
from maskprof.reports.cost_tables import block_table
from maskprof.reports.curve_picture import Curve, curve_picture
from maskprof.reports.headline import headline, subject
from maskprof.reports.layout import to_markdown
from maskprof.reports.tables import Group, all_tables, full_summaries, group_of
from maskprof.results.schema import Attribution, Configuration, ConfigurationSummary, RunResult, Statistics

SUMMARY_RUN = "summary"
# Marks the event files that are ours to replace.
_SUFFIX = ".maskprof"
_PHASES = {
    "prefill": "Prefill",
    "decode_per_token": "Decode per token",
    "vision": "Vision",
    "total": "Total",
}
# Those that would fall with the blocks if blocks were all that takes time.
_IDEAL_PHASES = ("prefill", "decode_per_token")

# The median again: the page that draws a band wants all three from the same runs, and the ideal has no interval.
_INTERVAL = ("p50", "low", "high")

# A step and what is shown there.
_Values = list[tuple[int, Summary.Value]]


def write_events(result: RunResult, trace_dir: Path) -> None:
    """Write a result below `trace_dir`, replacing what an earlier call wrote there.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        _remove_own_files(trace_dir)
        _write_summary_runs(result, trace_dir / SUMMARY_RUN)
        attributions = {item.configuration: item for item in result.attribution}
        for summary in result.summary:
            name = summary.configuration.name
            _write_run(trace_dir / name, _configuration_values(summary, attributions.get(name)))
    except OSError as error:
        raise ConfigError(f"{trace_dir} cannot be written to: {error.strerror or error}") from None


def _write_summary_runs(result: RunResult, folder: Path) -> None:
    groups: dict[Group, list[ConfigurationSummary]] = {}
    for summary in result.summary:
        groups.setdefault(group_of(summary), []).append(summary)
    full = full_summaries(result)
    attributions = {item.configuration: item for item in result.attribution}
    shared = _shared_values(result)
    names = _group_names(list(groups))
    for group, unordered in groups.items():
        members = sorted(unordered, key=lambda summary: summary.configuration.num_active_blocks)
        # With one group its line is the run `summary` itself; several share the charts as runs below it.
        run = folder / names[group]
        own = [
            *_depth_scalars(members),
            *_pictures(members, full.get(group), names[group]),
            *_block_histograms(members, attributions),
        ]
        _write_run(run, own if run != folder else [*shared, *own])
        if group in full:
            _write_run(run / "ideal", _ideal_scalars(members, full[group]))
    if len(groups) != 1:
        _write_run(folder, shared)


def _shared_values(result: RunResult) -> _Values:
    tables = enumerate(all_tables(result), 1)
    rows = [_hyperparameters(summary.configuration) for summary in result.summary]
    found = [
        values.text("headline", f"{headline(result)}\n\n{subject(result)}"),
        *(values.text(f"tables/{place}", to_markdown(table)) for place, table in tables),
        values.experiment(rows, _metrics(result), created_s=time()),
        values.layout(
            {
                "Latency over active blocks, with the 95 % interval of the median": [
                    values.margin_chart(f"{title} (ms)", *(_interval_tag(phase, end) for end in _INTERVAL))
                    for phase, title in _PHASES.items()
                ],
                "Latency over active blocks, and the ideal": [
                    values.lines_chart(f"{_PHASES[phase]} (ms)", [f"^{_tag(phase)}$"])
                    for phase in _IDEAL_PHASES
                ],
                "Each block's time on the host, over the block's number": [
                    values.lines_chart(f"{_PHASES[phase]} (us)", [f"^blocks/{name}_host_us$"])
                    for phase, name in (("prefill", "prefill"), ("decode_per_token", "decode"))
                ],
            }
        ),
    ]
    return [(0, value) for value in found]


def _group_names(groups: Sequence[Group]) -> dict[Group, str]:
    """Names of what differs: the variant, the knobs, both; nothing for a single group."""
    settings = [knobs for _, knobs in groups]
    several = len({variant for variant, _ in groups}) > 1
    return {
        (variant, knobs): f"{variant if several else ''}{knob_suffix(knobs, settings)}".removeprefix("-")
        for variant, knobs in groups
    }


def _tag(phase: str) -> str:
    return f"latency/{phase}_ms_p50"


def _interval_tag(phase: str, end: str) -> str:
    return f"interval/{phase}_ms_{end}"


def _depth_scalars(summaries: Sequence[ConfigurationSummary]) -> _Values:
    found: _Values = []
    for phase in _PHASES:
        for depth, statistics in _medians(summaries, phase):
            found.append((depth, values.scalar(_tag(phase), statistics.p50)))
            if statistics.median_ci95 is not None:
                interval = zip(_INTERVAL, (statistics.p50, *statistics.median_ci95), strict=True)
                found += [(depth, values.scalar(_interval_tag(phase, end), ms)) for end, ms in interval]
    return found


def _medians(summaries: Sequence[ConfigurationSummary], phase: str) -> list[tuple[int, Statistics]]:
    return [
        (summary.configuration.num_active_blocks, statistics)
        for summary in summaries
        if (statistics := getattr(summary, phase)) is not None
    ]


def _ideal(
    summaries: Sequence[ConfigurationSummary], full: ConfigurationSummary, phase: str
) -> tuple[tuple[int, float], ...]:
    """What would be if the language model's time fell in proportion to its blocks."""
    statistics: Statistics | None = getattr(full, phase)
    if statistics is None:
        return ()
    depths = sorted({summary.configuration.num_active_blocks for summary in summaries})
    return tuple((depth, statistics.p50 * depth / full.configuration.num_total_blocks) for depth in depths)


def _ideal_scalars(summaries: Sequence[ConfigurationSummary], full: ConfigurationSummary) -> _Values:
    return [
        (depth, values.scalar(_tag(phase), ms))
        for phase in _IDEAL_PHASES
        for depth, ms in _ideal(summaries, full, phase)
    ]


def _pictures(
    summaries: Sequence[ConfigurationSummary], full: ConfigurationSummary | None, group: str
) -> _Values:
    found: _Values = []
    for phase, title in _PHASES.items():
        medians = _medians(summaries, phase)
        if not medians:
            continue
        intervals = [statistics.median_ci95 or (statistics.p50, statistics.p50) for _, statistics in medians]
        curves = [
            Curve(
                name="median of the samples, with its 95 % interval",
                points=tuple((depth, statistics.p50) for depth, statistics in medians),
                low=tuple(low for low, _ in intervals),
                high=tuple(high for _, high in intervals),
            )
        ]
        if full is not None and phase in _IDEAL_PHASES and (ideal := _ideal(summaries, full, phase)):
            curves.append(Curve(name="ideal: in proportion to the blocks", points=ideal, dashed=True))
        png, size = curve_picture(f"{title}, {group}" if group else title, curves)
        found.append((0, values.image(f"latency/{phase}", png, size, f"{title} over active blocks, in ms")))
    return found


def _block_histograms(
    summaries: Sequence[ConfigurationSummary], attributions: dict[str, Attribution]
) -> _Values:
    """The spread of the blocks' times, a slice per configuration; the step is the number of active blocks."""
    found: _Values = []
    for summary in summaries:
        attribution = attributions.get(summary.configuration.name)
        for phase in attribution.phases if attribution else ():
            for kind, active in (("active", True), ("skipped", False)):
                times = [block.host_us for block in phase.blocks if block.active == active]
                if times:
                    tag = f"{kind}_blocks/{phase.phase}_host_us"
                    text = f"Host time of each {kind} block, in us, from the traces"
                    value = values.histogram(tag, times, text)
                    found.append((summary.configuration.num_active_blocks, value))
    return found


def _metrics(result: RunResult) -> dict[str, str]:
    """The columns of figures on the HParams page: the tag of each, and its heading."""
    measured = [
        phase for phase in _PHASES if any(getattr(summary, phase) is not None for summary in result.summary)
    ]
    return {f"{phase}_ms_p50": f"{phase.replace('_', ' ')} ms (P50)" for phase in measured}


def _configuration_values(summary: ConfigurationSummary, attribution: Attribution | None) -> _Values:
    configuration = summary.configuration
    found: _Values = [
        (0, value)
        for value in values.session(configuration.name, _hyperparameters(configuration), at_s=time())
    ]
    found += [
        (0, values.scalar(f"{phase}_ms_p50", statistics.p50))
        for phase in _PHASES
        if (statistics := getattr(summary, phase)) is not None
    ]
    if attribution is None:
        return found
    table = block_table(attribution)
    if table is not None:
        found.append((0, values.text("blocks", to_markdown(table))))
    for phase in attribution.phases:
        for block in phase.blocks:
            found.append((block.block, values.scalar(f"blocks/{phase.phase}_host_us", block.host_us)))
            if block.device_us is not None:
                found.append((block.block, values.scalar(f"blocks/{phase.phase}_device_us", block.device_us)))
    return found


def _hyperparameters(configuration: Configuration) -> dict[str, str | float]:
    return {
        "mask": "".join("1" if active else "0" for active in configuration.active),
        "active_blocks": float(configuration.num_active_blocks),
        "strategy": configuration.strategy,
        "skip_mode": configuration.skip_mode,
        "dummy_cache": configuration.dummy_cache,
        "mask_on": configuration.mask_on,
        **{knob: float(value) for knob, value in configuration.knobs.to_dict().items() if value is not None},
    }


def _write_run(folder: Path, values: Iterable[tuple[int, Summary.Value]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventFileWriter(str(folder), filename_suffix=_SUFFIX)
    try:
        for step, value in values:
            writer.add_event(Event(wall_time=time(), step=step, summary=Summary(value=[value])))
    finally:
        writer.close()


def _remove_own_files(trace_dir: Path) -> None:
    pattern = f"events.out.tfevents.*{_SUFFIX}"
    # Not deeper: other runs' folders may lie below.
    for path in (*trace_dir.glob(f"*/{pattern}"), *(trace_dir / SUMMARY_RUN).glob(f"**/{pattern}")):
        path.unlink(missing_ok=True)
