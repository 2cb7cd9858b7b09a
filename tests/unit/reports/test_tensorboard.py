import subprocess
import sys
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

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
