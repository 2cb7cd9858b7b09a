import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import pytest
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.util.tensor_util import make_ndarray

from maskprof.config.schema import Variant
from maskprof.errors import ConfigError
from maskprof.reports.tensorboard import write_events
from tests.support.results import knob_configurations, make_configuration, make_result


def accumulated(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def points(folder, tag):
    return [(event.step, pytest.approx(event.value)) for event in accumulated(folder).Scalars(tag)]


def provider(folder):
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    return MultiplexerDataProvider(multiplexer, str(folder))


def text(folder, tag):
    return accumulated(folder).Tensors(tag)[0].tensor_proto.string_val[0].decode()


def test_scalars_have_the_active_blocks_as_step(tmp_path):
    result = make_result()
    write_events(result, tmp_path)
    for phase in ("prefill", "decode_per_token", "vision", "total"):
        expected = [(s.configuration.num_active_blocks, getattr(s, phase).p50) for s in result.summary]
        assert points(tmp_path / "summary", f"latency/{phase}_ms_p50") == expected
    full = result.summary[-1].prefill.p50
    assert points(tmp_path / "summary" / "ideal", "latency/prefill_ms_p50") == [
        (n, full * n / 16) for n in (4, 8, 12, 16)
    ]


def test_the_ends_of_the_interval_lie_beside_the_median(tmp_path):
    result = make_result()
    write_events(result, tmp_path)
    for phase in ("prefill", "decode_per_token", "vision", "total"):
        found = [points(tmp_path / "summary", f"interval/{phase}_ms_{end}") for end in ("p50", "low", "high")]
        for place, summary in enumerate(result.summary):
            statistics = getattr(summary, phase)
            depth = summary.configuration.num_active_blocks
            assert [of_end[place] for of_end in found] == [
                (depth, ms) for ms in (statistics.p50, *statistics.median_ci95)
            ]


def test_too_few_samples_have_no_interval_and_a_text_model_no_vision(tmp_path):
    result = make_result(vision_ms=0)
    bare = [
        replace(s, **{p: replace(getattr(s, p), median_ci95=None) for p in ("prefill", "total")})
        for s in result.summary
    ]
    write_events(replace(result, summary=tuple(bare)), tmp_path)
    tags = accumulated(tmp_path / "summary").Tags()["scalars"]
    assert [tag for tag in tags if "vision" in tag] == []
    assert [tag for tag in tags if tag.startswith("interval/prefill")] == []
    assert "interval/decode_per_token_ms_low" in tags
    assert "latency/prefill_ms_p50" in tags


def test_the_custom_scalars_page_has_a_layout(tmp_path):
    write_events(make_result(), tmp_path)
    event = accumulated(tmp_path / "summary").Tensors("custom_scalars__config__")[0]
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    margins, lines, blocks = layout.category
    assert [chart.title for chart in margins.chart] == [
        "Prefill (ms)",
        "Decode per token (ms)",
        "Vision (ms)",
        "Total (ms)",
    ]
    scalars = accumulated(tmp_path / "summary").Tags()["scalars"]
    for chart in margins.chart:
        (series,) = chart.margin.series
        assert {series.value, series.lower, series.upper} <= set(scalars)
    patterns = [chart.multiline.tag[0] for chart in (*lines.chart, *blocks.chart)]
    assert patterns == [
        "^latency/prefill_ms_p50$",
        "^latency/decode_per_token_ms_p50$",
        "^blocks/prefill_host_us$",
        "^blocks/decode_host_us$",
    ]


def test_the_blocks_are_scalars_over_their_number_and_histograms_over_depth(tmp_path):
    write_events(make_result(device=True), tmp_path)
    run = tmp_path / "first-04-of-16"
    assert points(run, "blocks/prefill_host_us") == [
        (block, 1200 if block < 4 else 1.75) for block in range(16)
    ]
    assert points(run, "blocks/decode_device_us") == [(block, 60 if block < 4 else 0) for block in range(16)]
    assert histograms(tmp_path / "summary", "active_blocks/prefill_host_us") == {4: 4, 8: 8, 12: 12, 16: 16}
    assert histograms(tmp_path / "summary", "skipped_blocks/decode_host_us") == {4: 12, 8: 8, 12: 4}


def histograms(folder, tag):
    """Step to the number of values, each of which lies in one of the buckets."""
    found = {}
    for event in accumulated(folder).Tensors(tag):
        buckets = make_ndarray(event.tensor_proto)
        assert buckets.shape[1] == 3
        assert (buckets[:, 0] <= buckets[:, 1]).all()
        found[event.step] = buckets[:, 2].sum()
    return found


def test_the_curves_are_pictures(tmp_path):
    write_events(make_result(), tmp_path)
    for phase in ("prefill", "decode_per_token", "vision", "total"):
        width, height, png = (
            accumulated(tmp_path / "summary").Tensors(f"latency/{phase}")[0].tensor_proto.string_val
        )
        picture = Image.open(BytesIO(png))
        assert (picture.format, picture.size) == ("PNG", (int(width), int(height)))
        assert len(png) < 30_000


def test_tables_are_markdown_text(tmp_path):
    write_events(make_result(), tmp_path)
    assert "| first-08-of-16 | 8 | ████████░░░░░░░░ |" in text(tmp_path / "summary", "tables/1")
    assert text(tmp_path / "summary", "headline").startswith("Each active block costs 1.20 ms")
    assert "| prefill | 4 | skipped | 1.75 |" in text(tmp_path / "first-04-of-16", "blocks")


def test_the_hparams_page_has_a_row_per_configuration(tmp_path):
    result = make_result()
    write_events(result, tmp_path)
    context = Context(TBContext(data_provider=provider(tmp_path)))
    request_context = RequestContext()
    hparams = context.hparams_metadata(request_context, "")
    from_provider = context.hparams_from_data_provider(request_context, "", 0)
    experiment = get_experiment.Handler(request_context, context, "", api_pb2.GetExperimentRequest()).run()
    assert hparams is not None
    assert from_provider is not None
    assert {info.name for info in experiment.hparam_infos} == {
        "mask",
        "active_blocks",
        "strategy",
        "skip_mode",
        "dummy_cache",
        "mask_on",
    }
    assert [info.name.tag for info in experiment.metric_infos] == [
        f"{phase}_ms_p50" for phase in ("prefill", "decode_per_token", "vision", "total")
    ]
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=10, allowed_statuses=[api_pb2.STATUS_SUCCESS]
    )
    request.col_params.add().metric.tag = "prefill_ms_p50"
    groups = list_session_groups.Handler(request_context, context, "", request).run().session_groups
    assert len(groups) == 4
    rows = {group.hparams["mask"].string_value: group for group in groups}
    group = rows["1111000000000000"]
    assert group.hparams["active_blocks"].number_value == 4
    assert group.hparams["strategy"].string_value == "first"
    metrics = {value.name.tag: value.value for value in group.metric_values}
    assert metrics["prefill_ms_p50"] == pytest.approx(result.summary[0].prefill.p50)
    assert metrics["decode_per_token_ms_p50"] == pytest.approx(result.summary[0].decode_per_token.p50)
    assert "total_ms_p50" in metrics


def test_writing_again_replaces_our_files_and_no_others(tmp_path):
    trace = tmp_path / "first-04-of-16" / "worker.1.pt.trace.json.gz"
    foreign = tmp_path / "first-04-of-16" / "events.out.tfevents.1.host"
    deeper = tmp_path / "another" / "run" / "events.out.tfevents.1.host.1.0.maskprof"
    for path in (trace, foreign, deeper):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    write_events(make_result(), tmp_path)
    first = set(tmp_path.rglob("events.out.tfevents.*.maskprof"))
    write_events(make_result(), tmp_path)
    second = set(tmp_path.rglob("events.out.tfevents.*.maskprof"))
    assert len(first) == len(second) == 7
    assert first & second == {deeper}
    assert trace.exists()
    assert foreign.exists()


def test_variants_share_the_charts_as_runs(tmp_path):
    variants = (Variant(), Variant(skip_mode="splice"))
    write_events(make_result([make_configuration(n, 16, v) for v in variants for n in (8, 16)]), tmp_path)
    for variant in variants:
        steps = accumulated(tmp_path / "summary" / variant.name).Scalars("latency/prefill_ms_p50")
        assert [event.step for event in steps] == [8, 16]
    assert "tables/1" in accumulated(tmp_path / "summary").Tags()["tensors"]


def test_a_run_in_which_all_failed_still_has_its_headline(tmp_path):
    write_events(replace(make_result(), summary=(), fits=(), attribution=()), tmp_path)
    assert text(tmp_path / "summary", "headline").startswith("No configuration")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(ConfigError, match="taken cannot be written to"):
        write_events(make_result(), taken)


def test_neither_torch_nor_tensorflow_is_imported():
    code = (
        "import sys, maskprof.reports.tensorboard, maskprof.reports.console, maskprof.results.store, "
        "maskprof.analysis.summary;"
        "print(sorted({'torch', 'tensorflow', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_settings_of_the_knobs_share_the_charts_as_runs(tmp_path):
    write_events(make_result(knob_configurations((8, 16), num_crops=(4,), moe_top_k=(2, 8))), tmp_path)
    for name in ("topk02", "topk08"):
        steps = accumulated(tmp_path / "summary" / name).Scalars("latency/prefill_ms_p50")
        assert [event.step for event in steps] == [8, 16]
        assert (tmp_path / "summary" / name / "ideal").is_dir()
    context = Context(TBContext(data_provider=provider(tmp_path)))
    experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    knobs = {
        i.name: (i.domain_interval.min_value, i.domain_interval.max_value) for i in experiment.hparam_infos
    }
    assert knobs["moe_top_k"] == (2, 8)
    assert knobs["num_crops"] == (4, 4)
    assert "prompt_tokens" not in knobs
