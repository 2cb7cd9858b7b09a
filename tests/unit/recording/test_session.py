import gc
import gzip
import json
import re

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper, read_trace
from maskprof.analysis.attribution import attribute
from maskprof.errors import ConfigError
from maskprof.measuring.garbage import without_collection
from maskprof.measuring.phases import GreedyPass
from maskprof.models.inputs import ModelInputs
from maskprof.ranges import parse_block, parse_phase
from maskprof.recording.session import record
from tests.support.tiny_models import BLOCKS, tiny_model
from tests.support.trace_checks import check_trace

MASK = BlockMask.from_indices([0, 2], BLOCKS)
STEPS = 3
METADATA = {"configuration": "blocks-0_2-of-04", "mask": str(MASK), "note": 'a "quoted" wörd\n\\'}


def record_tiny(folder):
    torch.set_num_threads(1)
    model = tiny_model("llama")
    ids = torch.arange(3, 11)[None]
    inputs = ModelInputs(
        tensors={"input_ids": ids}, num_input_text_tokens=8, num_vision_tokens=0, batch_size=1
    )
    greedy = GreedyPass(model, inputs)
    with BlockMaskWrapper(model, MASK, ranges=True):
        return record(
            lambda watch: greedy.run(STEPS, watch),
            folder,
            device=torch.device("cpu"),
            num_active_blocks=2,
            metadata=METADATA,
        )


@pytest.fixture(scope="module")
def trace_path(tmp_path_factory):
    return record_tiny(tmp_path_factory.mktemp("runs") / "blocks-0_2-of-04")


def spans(path):
    document = json.loads(gzip.decompress(path.read_bytes()))
    return document, [event for event in document["traceEvents"] if event.get("ph") == "X"]


def test_the_file_is_what_the_plugin_looks_for(trace_path):
    assert re.fullmatch(r"maskprof\.\d+\.pt\.trace\.json\.gz", trace_path.name)
    assert [path.name for path in trace_path.parent.iterdir()] == [trace_path.name]


def test_every_viewer_can_read_it(trace_path):
    events = check_trace(trace_path)
    assert sum(e["ph"] == "C" for e in events) == 2 * (1 + STEPS)


def test_the_mask_is_in_the_metadata(trace_path):
    document, _ = spans(trace_path)
    # What the exporter would corrupt is replaced; the file stays valid JSON.
    assert document["maskprof"] == {**METADATA, "note": "a 'quoted' w?rd /"}


def test_ranges_are_counted_and_nested_as_they_should_be(trace_path):
    _, events = spans(trace_path)
    phases = [e for e in events if parse_phase(e["name"])]
    assert [e["name"] for e in sorted(phases, key=lambda e: e["ts"])] == [
        "phase.prefill",
        *["phase.decode"] * STEPS,
    ]
    turns = [e for e in events if (b := parse_block(e["name"])) and b.part in ("active", "skipped")]
    assert len(turns) == BLOCKS * (1 + STEPS)
    inner = [e for e in events if (b := parse_block(e["name"])) and b.part not in ("active", "skipped")]

    def lies_in(event, outer):
        return outer["ts"] <= event["ts"] and event["ts"] + event["dur"] <= outer["ts"] + outer["dur"]

    for turn in turns:
        assert sum(lies_in(turn, phase) for phase in phases) == 1
        parts = sorted((e for e in inner if lies_in(e, turn)), key=lambda e: e["ts"])
        assert {parse_block(e["name"]).block for e in parts} == {parse_block(turn["name"]).block}
        kinds = [parse_block(e["name"]).part for e in parts]
        if turn["name"].endswith("active"):
            assert kinds == ["mask_check", "compute"]
        else:
            first_time = lies_in(turn, min(phases, key=lambda e: e["ts"]))
            assert kinds == ["mask_check", "cache.dummy" if first_time else "cache.reuse"]


def test_the_reader_attributes_what_the_recorder_wrote(trace_path):
    found = attribute(read_trace(trace_path))
    assert [(phase.phase, phase.steps) for phase in found.phases] == [("prefill", 1), ("decode", STEPS)]
    for phase in found.phases:
        assert [block.active for block in phase.blocks] == list(MASK)
        assert all(block.device_us is None for block in phase.blocks)
        for block in phase.blocks:
            assert (block.cache_us is None) == block.active
            assert block.mask_check_us is not None
            assert (block.kernel_count > 5) == block.active
    assert found.instrument is not None
    assert found.instrument.samples == 50
    assert found.account["events_lost"] == 0


def test_an_older_trace_of_the_same_configuration_is_replaced(trace_path):
    again = record_tiny(trace_path.parent)
    assert [path.name for path in trace_path.parent.iterdir()] == [again.name]


def test_the_events_of_a_session_go_with_it(tmp_path):
    def sessions():
        return {id(one) for one in gc.get_objects() if issubclass(type(one), torch.autograd.profiler.profile)}

    record_tiny(tmp_path / "first")
    with without_collection():
        before = sessions()
        record_tiny(tmp_path / "second")
        assert sessions() <= before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        record_tiny(tmp_path / "file" / "run")
