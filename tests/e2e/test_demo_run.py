"""The research script's own flags on the built-in model: what is printed, and every file that is left."""

import csv
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.e2e.command import STATISTICS, Finished, maskprof, range_counts, read_result, traces_in
from tests.support.trace_checks import check_trace

pytestmark = pytest.mark.e2e

NAMES = {4: "first-04-of-16", 16: "first-16-of-16"}
PHASES = {
    "vision": "T_vision_total",
    "prefill": "T_LLM_prefill",
    "decode": "T_LLM_decode",
    "total": "T_total",
}


@dataclass
class DemoRun:
    said: Finished
    cwd: Path

    @property
    def output_dir(self):
        return self.cwd / "results" / "transformer_blocks_mask"

    @property
    def trace_dir(self):
        return self.cwd / "traces" / "transformer_blocks_mask"

    @cached_property
    def result(self):
        return read_result(self.output_dir)

    @cached_property
    def attribution(self):
        return json.loads((self.output_dir / "attribution.json").read_text())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("demo")
    return DemoRun(maskprof("run", "--num_samples", 2, "--num_active_blocks", 4, 16, cwd=cwd), cwd)


def test_it_ends_well_and_puts_everything_where_the_flags_say(demo):
    assert demo.said.code == 0, demo.said.err
    assert {path.name for path in demo.output_dir.iterdir()} == {
        "exp3_transformer_blocks_mask_results.json",
        "attribution.json",
        "attribution.csv",
        "journal.jsonl",
    }
    assert {path.name for path in demo.trace_dir.iterdir()} == {*NAMES.values(), "summary"}
    assert {path.name for path in demo.cwd.iterdir()} == {"results", "traces"}


def test_the_summary_has_the_keys_that_scripts_read(demo):
    assert [entry["num_active_blocks"] for entry in demo.result["summary"]] == [4, 16]
    for entry in demo.result["summary"]:
        assert entry["num_total_blocks"] == 16
        assert entry["active_block_indices"] == list(range(entry["num_active_blocks"]))
        assert (entry["skip_mode"], entry["dummy_cache"], entry["mask_on"]) == ("mask", "virtual", "host")
        for phase in ("vision", "prefill", "decode", "decode_per_token", "total"):
            assert entry[phase].keys() >= set(STATISTICS), phase
            assert all(entry[phase][name] > 0 for name in ("P50", "min", "max")), phase


def test_the_file_says_what_ran_where(demo):
    assert demo.result["schema_version"] == 1
    assert demo.result["config"]["num_samples"] == 2
    assert demo.result["failures"] == []
    environment = demo.result["environment"]
    assert environment.keys() >= {"device", "driver", "torch", "transformers", "threads", "time"}
    assert environment["threads"] == 1


def test_every_sample_is_there_and_whole(demo):
    samples = demo.result["all_samples"]
    assert sorted((s["num_active_blocks"], s["sample_id"]) for s in samples) == [
        (4, 0),
        (4, 1),
        (16, 0),
        (16, 1),
    ]
    for sample in samples:
        assert sample["num_total_blocks"] == 16
        assert sample["active_block_indices"] == list(range(sample["num_active_blocks"]))
        assert all(sample[key] > 0 for key in PHASES.values())
        parts = ("T_vision_total", "T_LLM_prefill", "T_LLM_decode", "T_remainder")
        assert sum(sample[part] for part in parts) == pytest.approx(sample["T_total"])
        assert sample["num_vision_tokens"] > 0
        assert sample["num_input_text_tokens"] > 0
        assert sample["num_output_tokens"] == 10
        assert sum(sample["decode_step_ms"]) == pytest.approx(sample["T_LLM_decode"])
        assert len(sample["decode_step_ms"]) == 9


def test_the_statistics_are_numpys_of_the_samples(demo):
    for entry in demo.result["summary"]:
        own = [s for s in demo.result["all_samples"] if s["configuration"] == entry["name"]]
        values = {phase: np.array([s[key] for s in own]) for phase, key in PHASES.items()}
        values["decode_per_token"] = values["decode"] / 9
        for phase, times in values.items():
            p50, p95, p99 = np.percentile(times, (50, 95, 99))
            recomputed = (p50, p95, p99, times.mean(), times.std(), times.min(), times.max())
            assert [entry[phase][name] for name in STATISTICS] == pytest.approx(recomputed), phase


def test_the_reference_without_the_blocks_is_kept_apart(demo):
    references = demo.result["reference_samples"]
    assert sorted((s["configuration"], s["sample_id"]) for s in references) == [
        ("first-04-of-16", 0),
        ("first-04-of-16", 1),
    ]


@pytest.mark.parametrize("active", [4, 16])
def test_each_trace_has_the_ranges_of_its_mask(demo, active):
    (trace,) = (demo.trace_dir / NAMES[active]).glob("*.pt.trace.json.gz")
    counts = range_counts(trace)
    prefills, steps = 1, 4
    # Molmo's pooling and its projector are two calls, and both lie between tower and decoder.
    expected = {"phase.vision": 1, "phase.projector": 2, "phase.prefill": prefills, "phase.decode": steps}
    for block in range(16):
        expected[f"block.{block:02d}.mask_check"] = prefills + steps
        if block < active:
            expected[f"block.{block:02d}.active"] = prefills + steps
            expected[f"block.{block:02d}.compute"] = prefills + steps
        else:
            expected[f"block.{block:02d}.skipped"] = prefills + steps
            expected[f"block.{block:02d}.cache.dummy"] = prefills
            expected[f"block.{block:02d}.cache.reuse"] = steps
    assert counts == expected


def test_each_trace_can_be_read_by_every_viewer(demo):
    for active, name in NAMES.items():
        (trace,) = (demo.trace_dir / name).glob("*.pt.trace.json.gz")
        events = check_trace(trace)
        assert {e["args"]["blocks"] for e in events if e["ph"] == "C"} == {0, active}


def test_the_attribution_has_every_block_in_both_phases(demo):
    assert [entry["configuration"] for entry in demo.attribution] == list(NAMES.values())
    for entry, active in zip(demo.attribution, NAMES, strict=True):
        assert entry["phases"].keys() == {"prefill", "decode"}
        assert (demo.cwd / entry["trace"]).is_file()
        assert entry["instrument"]["turn_us"] > 0
        for phase in entry["phases"].values():
            assert [block["block"] for block in phase["blocks"]] == list(range(16))
            for block in phase["blocks"]:
                figures = {"host_us", "device_us", "mask_check_us", "cache_us", "kernel_count"}
                assert block.keys() >= {"block", "active", *figures}
                assert block["active"] == (block["block"] < active)
                assert (block["cache_us"] is None) == block["active"]
        in_blocks = sum(b["host_us"] for b in entry["phases"]["prefill"]["blocks"])
        assert 0 < in_blocks < 1.05 * entry["phases"]["prefill"]["host_us"]
    masked, full = demo.attribution
    assert full["closure"] == []
    assert [closure["phase"] for closure in masked["closure"]] == ["prefill", "decode"]
    assert all(closure["clean_us"] is not None for closure in masked["closure"])
    assert all(closure["attributed_us"] is not None for closure in masked["closure"])


def test_the_attribution_table_is_the_same(demo):
    with (demo.output_dir / "attribution.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 16
    flat = [
        (entry["configuration"], phase, block)
        for entry in demo.attribution
        for phase, cost in entry["phases"].items()
        for block in cost["blocks"]
    ]
    for row, (name, phase, block) in zip(rows, flat, strict=True):
        assert (row["configuration"], row["phase"], int(row["block"])) == (name, phase, block["block"])
        assert row["active"] == str(block["active"]).lower()
        assert float(row["host_us"]) == pytest.approx(block["host_us"])
        assert (row["cache_us"] == "") == (block["cache_us"] is None)
        assert row["device_us"] == ""


def test_tensorboard_reads_the_events(demo):
    summary = EventAccumulator(str(demo.trace_dir / "summary")).Reload()
    prefill = summary.Scalars("latency/prefill_ms_p50")
    assert [event.step for event in prefill] == [4, 16]
    medians = [entry["prefill"]["P50"] for entry in demo.result["summary"]]
    assert [event.value for event in prefill] == pytest.approx(medians, rel=1e-6)
    texts = {tag for tag in summary.Tags()["tensors"] if tag.startswith("tables/")}
    assert texts
    for name in NAMES.values():
        assert EventAccumulator(str(demo.trace_dir / name)).Reload().Tags()["scalars"]


def test_the_tables_and_the_ways_on_are_printed(demo):
    lines = demo.said.out.splitlines()
    assert lines[0].startswith("molmoe-tiny · 16 blocks · ")
    for title in ("Latency (", "What a skipped block costs", "The skip path measured twice", "Latency over"):
        assert sum(line.startswith(title) for line in lines) == 1, title
    assert any("████░░░░░░░░░░░░" in line for line in lines)
    results, report, tensorboard, trace = (re.split(r"  +", line)[1:] for line in lines[-4:])
    assert (demo.cwd / results[0]).resolve() == demo.output_dir
    assert report == ["maskprof report results/transformer_blocks_mask"]
    assert tensorboard == ["maskprof view traces/transformer_blocks_mask"]
    assert demo.cwd / trace[0] in traces_in(demo.trace_dir).values()
    assert "ui.perfetto.dev" in trace[1]
    assert "chrome://tracing" in trace[1]


def test_pipes_get_plain_lines_of_80(demo):
    for text in (demo.said.out, demo.said.err):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    # The lines that say where things are stay whole, so that they can be copied.
    tables = demo.said.out.splitlines()[:-4]
    assert max(map(len, tables)) <= 80


def test_stderr_says_how_far_it_is_in_a_few_lines(demo):
    assert demo.said.err.splitlines() == [
        "loading the model",
        "2 configurations, 6 samples",
        "warm-up",
        "measuring",
        "tracing first-04-of-16",
        "tracing first-16-of-16",
        "saving",
    ]
