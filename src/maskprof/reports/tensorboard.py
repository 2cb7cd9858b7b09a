"""A result as native TensorBoard data, which every TensorBoard shows without plugin or network.

Run `summary`: latency as scalars with the number of active blocks as the step, and the tables as text; run
`summary/ideal`, drawn in the same charts: what the same depths would take if time fell with the blocks.
Runs of the configurations, beside their traces: hyperparameters and metrics for the HParams page, and the
blocks of the trace as text.

The protocol buffers are put together here, because the plugins' own summary functions import TensorFlow.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from time import time

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from maskprof.config.knobs import knob_suffix
from maskprof.errors import ConfigError
from maskprof.reports.cost_tables import block_table
from maskprof.reports.headline import headline, subject
from maskprof.reports.layout import to_markdown
from maskprof.reports.tables import Group, all_tables, full_summaries, group_of
from maskprof.results.schema import Attribution, Configuration, ConfigurationSummary, RunResult

SUMMARY_RUN = "summary"
# Marks the event files that are ours to replace.
_SUFFIX = ".maskprof"
_SCALAR_PHASES = ("prefill", "decode_per_token", "vision", "total")
_METRIC_PHASES = ("prefill", "decode_per_token", "total")


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
    texts = [_text("headline", f"{headline(result)}\n\n{subject(result)}")]
    texts += [
        _text(f"tables/{place}", to_markdown(table)) for place, table in enumerate(all_tables(result), 1)
    ]
    experiment = [_experiment([summary.configuration for summary in result.summary])]
    shared: list[tuple[int, Summary.Value]] = [(0, value) for value in (*texts, *experiment)]
    names = _group_names(list(groups))
    for group, members in groups.items():
        # With one group its line is the run `summary` itself; several share the charts as runs below it.
        run = folder / names[group]
        scalars = _depth_scalars(members)
        _write_run(run, scalars if run != folder else [*shared, *scalars])
        if group in full:
            _write_run(run / "ideal", _ideal_scalars(members, full[group]))
    if len(groups) != 1:
        _write_run(folder, shared)


def _group_names(groups: Sequence[Group]) -> dict[Group, str]:
    """Names of what differs: the variant, the knobs, both; nothing for a single group."""
    settings = [knobs for _, knobs in groups]
    several = len({variant for variant, _ in groups}) > 1
    return {
        (variant, knobs): f"{variant if several else ''}{knob_suffix(knobs, settings)}".removeprefix("-")
        for variant, knobs in groups
    }


def _depth_scalars(summaries: Sequence[ConfigurationSummary]) -> list[tuple[int, Summary.Value]]:
    return [
        (summary.configuration.num_active_blocks, _scalar(f"latency/{phase}_ms_p50", statistics.p50))
        for phase in _SCALAR_PHASES
        for summary in _by_depth(summaries)
        if (statistics := getattr(summary, phase)) is not None
    ]


def _ideal_scalars(
    summaries: Sequence[ConfigurationSummary], full: ConfigurationSummary
) -> list[tuple[int, Summary.Value]]:
    """What would be if the language model's time fell in proportion to its blocks."""
    depths = sorted({summary.configuration.num_active_blocks for summary in summaries})
    total = full.configuration.num_total_blocks
    return [
        (depth, _scalar(f"latency/{phase}_ms_p50", statistics.p50 * depth / total))
        for phase in ("prefill", "decode_per_token")
        if (statistics := getattr(full, phase)) is not None
        for depth in depths
    ]


def _configuration_values(
    summary: ConfigurationSummary, attribution: Attribution | None
) -> list[tuple[int, Summary.Value]]:
    now = time()
    start = plugin_data_pb2.SessionStartInfo(group_name=summary.configuration.name, start_time_secs=now)
    for key, value in _hyperparameters(summary.configuration).items():
        if isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = value
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=now)
    values = [
        _hparams(hparams_metadata.SESSION_START_INFO_TAG, session_start_info=start),
        _hparams(hparams_metadata.SESSION_END_INFO_TAG, session_end_info=end),
    ]
    values += [
        _scalar(f"{phase}_ms_p50", statistics.p50)
        for phase in _METRIC_PHASES
        if (statistics := getattr(summary, phase)) is not None
    ]
    blocks = None if attribution is None else block_table(attribution)
    if blocks is not None:
        values.append(_text("blocks", to_markdown(blocks)))
    return [(0, value) for value in values]


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


def _experiment(configurations: Iterable[Configuration]) -> Summary.Value:
    """Which columns the HParams page has, and their values to filter by."""
    rows = [_hyperparameters(configuration) for configuration in configurations]
    infos = []
    for key in rows[0] if rows else ():
        values = [row[key] for row in rows]
        is_text = isinstance(values[0], str)
        info = api_pb2.HParamInfo(
            name=key, type=api_pb2.DATA_TYPE_STRING if is_text else api_pb2.DATA_TYPE_FLOAT64
        )
        if is_text:
            info.domain_discrete.extend(sorted({str(value) for value in values}))
        else:
            numbers = [float(value) for value in values]
            info.domain_interval.min_value, info.domain_interval.max_value = min(numbers), max(numbers)
        infos.append(info)
    metrics = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(tag=f"{phase}_ms_p50"), display_name=f"{phase.replace('_', ' ')} ms (P50)"
        )
        for phase in _METRIC_PHASES
    ]
    experiment = api_pb2.Experiment(
        description="One row per mask", time_created_secs=time(), hparam_infos=infos, metric_infos=metrics
    )
    return _hparams(hparams_metadata.EXPERIMENT_TAG, experiment=experiment)


def _hparams(
    tag: str,
    *,
    experiment: api_pb2.Experiment | None = None,
    session_start_info: plugin_data_pb2.SessionStartInfo | None = None,
    session_end_info: plugin_data_pb2.SessionEndInfo | None = None,
) -> Summary.Value:
    data = plugin_data_pb2.HParamsPluginData(
        experiment=experiment, session_start_info=session_start_info, session_end_info=session_end_info
    )
    # The page reads the metadata only, but readers expect a tensor beside it.
    empty = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto())
    return Summary.Value(tag=tag, metadata=hparams_metadata.create_summary_metadata(data), tensor=empty)


def _scalar(tag: str, value: float) -> Summary.Value:
    plugin = SummaryMetadata.PluginData(plugin_name="scalars")
    return Summary.Value(tag=tag, simple_value=value, metadata=SummaryMetadata(plugin_data=plugin))


def _text(tag: str, markdown: str) -> Summary.Value:
    return Summary.Value(
        tag=tag,
        metadata=text_metadata.create_summary_metadata(display_name=tag, description=""),
        tensor=TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=TensorShapeProto()),
    )


def _by_depth(summaries: Sequence[ConfigurationSummary]) -> list[ConfigurationSummary]:
    return sorted(summaries, key=lambda summary: summary.configuration.num_active_blocks)


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
