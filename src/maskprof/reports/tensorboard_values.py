"""What TensorBoard's dashboards read, one function each: a tag and a value in, a protocol buffer out.

They are put together here, because the plugins' own summary functions import TensorFlow.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar_metadata
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.text import metadata as text_metadata

_BUCKETS = 30


def scalar(tag: str, value: float) -> Summary.Value:
    """A point of a curve; its step comes with the event."""
    plugin = SummaryMetadata.PluginData(plugin_name="scalars")
    return Summary.Value(tag=tag, simple_value=value, metadata=SummaryMetadata(plugin_data=plugin))


def text(tag: str, markdown: str) -> Summary.Value:
    """A text that the page shows as Markdown."""
    metadata = text_metadata.create_summary_metadata(display_name=tag, description="")
    return Summary.Value(tag=tag, metadata=metadata, tensor=_strings([markdown.encode()], ()))


def image(tag: str, png: bytes, size: tuple[int, int], description: str) -> Summary.Value:
    """A picture of `size` pixels, width and height."""
    metadata = image_metadata.create_summary_metadata(display_name=tag, description=description)
    content = [str(length).encode() for length in size] + [png]
    return Summary.Value(tag=tag, metadata=metadata, tensor=_strings(content, (3,)))


def histogram(tag: str, values: Sequence[float], description: str) -> Summary.Value:
    """How `values`, of which there is at least one, are spread."""
    counts, edges = np.histogram(np.asarray(values, dtype=np.float64), bins=_BUCKETS)
    buckets = np.column_stack([edges[:-1], edges[1:], counts])
    metadata = histogram_metadata.create_summary_metadata(display_name=tag, description=description)
    tensor = TensorProto(
        dtype=DT_DOUBLE, tensor_shape=_shape(buckets.shape), double_val=buckets.ravel().tolist()
    )
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def layout(categories: Mapping[str, Sequence[layout_pb2.Chart]]) -> Summary.Value:
    """Which curves the Custom Scalars page draws together."""
    content = layout_pb2.Layout(
        category=[layout_pb2.Category(title=title, chart=charts) for title, charts in categories.items()]
    )
    return Summary.Value(
        tag=custom_scalar_metadata.CONFIG_SUMMARY_TAG,
        metadata=custom_scalar_metadata.create_summary_metadata(),
        tensor=_strings([content.SerializeToString()], ()),
    )


def lines_chart(title: str, tags: Sequence[str]) -> layout_pb2.Chart:
    """The curves of these tags (regular expressions), of every run that has them."""
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))


def margin_chart(title: str, middle: str, lower: str, upper: str) -> layout_pb2.Chart:
    """The curve of one tag and a band between two others."""
    series = layout_pb2.MarginChartContent.Series(value=middle, lower=lower, upper=upper)
    return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))


def experiment(
    hyperparameters: Sequence[Mapping[str, str | float]], metrics: Mapping[str, str], *, created_s: float
) -> Summary.Value:
    """The columns of the HParams page: hyperparameters with what to filter by, and metrics, names by tag."""
    infos = []
    for key in hyperparameters[0] if hyperparameters else ():
        values = [row[key] for row in hyperparameters]
        texts = [value for value in values if isinstance(value, str)]
        numbers = [value for value in values if not isinstance(value, str)]
        info = api_pb2.HParamInfo(
            name=key, type=api_pb2.DATA_TYPE_STRING if texts else api_pb2.DATA_TYPE_FLOAT64
        )
        if texts:
            info.domain_discrete.extend(sorted(set(texts)))
        else:
            info.domain_interval.min_value, info.domain_interval.max_value = min(numbers), max(numbers)
        infos.append(info)
    return _hparams(
        hparams_metadata.EXPERIMENT_TAG,
        plugin_data_pb2.HParamsPluginData(
            experiment=api_pb2.Experiment(
                description="One row per configuration",
                time_created_secs=created_s,
                hparam_infos=infos,
                metric_infos=[
                    api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=name)
                    for tag, name in metrics.items()
                ],
            )
        ),
    )


def session(
    name: str, hyperparameters: Mapping[str, str | float], *, at_s: float
) -> tuple[Summary.Value, ...]:
    """A row of the HParams page; its metrics are the scalars of the run that it is written to."""
    start = plugin_data_pb2.SessionStartInfo(group_name=name, start_time_secs=at_s)
    for key, value in hyperparameters.items():
        if isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = value
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=at_s)
    data = plugin_data_pb2.HParamsPluginData
    return (
        _hparams(hparams_metadata.SESSION_START_INFO_TAG, data(session_start_info=start)),
        _hparams(hparams_metadata.SESSION_END_INFO_TAG, data(session_end_info=end)),
    )


def _hparams(tag: str, data: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    # The page reads the metadata only, but readers expect a tensor beside it.
    empty = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto())
    return Summary.Value(tag=tag, metadata=hparams_metadata.create_summary_metadata(data), tensor=empty)


def _strings(values: Sequence[bytes], shape: tuple[int, ...]) -> TensorProto:
    return TensorProto(dtype=DT_STRING, string_val=values, tensor_shape=_shape(shape))


def _shape(lengths: tuple[int, ...]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=length) for length in lengths])
