"""Explicit masks, each carried out in every way: names of folders, and what the summaries say."""

import json

import pytest

from tests.e2e.command import maskprof, range_counts, read_result, traces_in

pytestmark = pytest.mark.e2e

MASKS = {"blocks-0_1-of-04": [0, 1], "blocks-0_3-of-04": [0, 3]}
WAYS = {
    "mask-zeros-host": ("mask", "zeros", "host"),
    "mask-zeros-cpu": ("mask", "zeros", "cpu"),
    "mask-virtual-host": ("mask", "virtual", "host"),
    "mask-virtual-cpu": ("mask", "virtual", "cpu"),
    "remove": ("remove", None, None),
    "splice": ("splice", None, None),
}
NAMES = [f"{mask}-{way}" for mask in MASKS for way in WAYS]


@pytest.fixture(scope="module")
def variants(tmp_path_factory, llama):
    cwd = tmp_path_factory.mktemp("variants")
    said = maskprof(
        *("run", "--model_path", llama, "--output_dir", "out", "--trace_dir", "seen"),
        *("--active_block_indices", 0, 1, "--active_block_indices", 3, 0, "--num_active_blocks", 4),
        *("--skip_mode", "mask", "remove", "splice", "--dummy_cache", "zeros", "virtual"),
        *("--mask_on", "host", "cpu", "--num_samples", 2, "--num_warmup", 1, "--trace_steps", 2),
        cwd=cwd,
    )
    assert said.code == 0, said.err
    return said, cwd


def test_the_folders_of_the_traces_name_mask_and_way(variants):
    assert sorted(traces_in(variants[1] / "seen")) == sorted(NAMES)


def test_each_summary_says_how_it_was_measured(variants):
    result = read_result(variants[1] / "out")
    assert {entry["name"] for entry in result["summary"]} == set(NAMES)
    for entry in result["summary"]:
        mask, way = entry["name"][:16], entry["name"][17:]
        mode, cache, place = WAYS[way]
        assert entry["active_block_indices"] == MASKS[mask]
        assert entry["skip_mode"] == mode
        if mode == "mask":
            assert (entry["dummy_cache"], entry["mask_on"]) == (cache, place)
        assert entry["num_samples"] == 2
        assert entry["vision"] == {}
    assert len(result["all_samples"]) == 2 * len(NAMES)
    # A model whose blocks are removed anyway is its own reference.
    assert {s["skip_mode"] for s in result["reference_samples"]} == {"mask"}


def test_a_skipped_block_has_ranges_only_where_it_is_masked_in_place(variants):
    traces = traces_in(variants[1] / "seen")
    masked = range_counts(traces["blocks-0_3-of-04-mask-zeros-cpu"])
    assert (masked["block.01.skipped"], masked["block.01.mask_check"], masked["block.01.cache.dummy"]) == (
        3,
        3,
        1,
    )
    assert (masked["block.03.active"], masked["block.03.mask_check"]) == (3, 3)
    for way in ("remove", "splice"):
        counts = range_counts(traces[f"blocks-0_3-of-04-{way}"])
        assert (counts["phase.prefill"], counts["phase.decode"]) == (1, 2)
        assert not [name for name in counts if name.startswith(("block.01", "block.02"))]


def test_the_table_tells_the_ways_apart(variants):
    said, cwd = variants
    latency = said.out.partition("Latency (")[2].partition("\n\n")[0]
    for way in WAYS:
        assert sum(f" {way} " in f"{line} " for line in latency.splitlines()) == len(MASKS), way
    assert {
        entry["configuration"] for entry in json.loads((cwd / "out/attribution.json").read_text())
    } == set(NAMES)


@pytest.mark.parametrize(
    ("words", "masks"),
    [
        (
            ["--strategy", "last", "--fractions", "0.25", "1"],
            {"last-01-of-04": [3], "last-04-of-04": [0, 1, 2, 3]},
        ),
        (["--strategy", "middle", "--num_active_blocks", "2"], {"middle-02-of-04": [1, 2]}),
        (["--strategy", "uniform", "--num-active-blocks", "2"], {"uniform-02-of-04": [0, 3]}),
        (
            ["--skip_mode", "early_exit"],
            {f"first-0{count}-of-04": list(range(count)) for count in range(1, 5)},
        ),
    ],
)
def test_counts_and_shares_choose_blocks_by_the_strategy(call, llama, tmp_path, words, masks):
    brief = (
        "--no_trace",
        "--num_samples",
        1,
        "--num_warmup",
        0,
        "--max_new_tokens",
        2,
        "--output_dir",
        "out",
    )
    said = call("run", "--model_path", llama, *words, *brief)
    assert said.code == 0, said.err
    found = {
        entry["name"]: entry["active_block_indices"] for entry in read_result(tmp_path / "out")["summary"]
    }
    assert found == masks


def test_a_random_mask_is_the_same_for_the_same_seed(call, llama, tmp_path):
    brief = ("--no_trace", "--num_samples", 1, "--num_warmup", 0, "--max_new_tokens", 2)
    for output_dir in ("one", "two"):
        words = (
            "--strategy",
            "random",
            "--seed",
            7,
            "--num_active_blocks",
            1,
            2,
            3,
            "--output_dir",
            output_dir,
        )
        assert call("run", "--model_path", llama, *words, *brief).code == 0
    one, two = (
        [entry["active_block_indices"] for entry in read_result(tmp_path / name)["summary"]]
        for name in ("one", "two")
    )
    assert one == two
    assert [len(indices) for indices in one] == [1, 2, 3]


def test_depth_together_with_experts_crops_and_length(tmp_path):
    said = maskprof(
        *("run", "--num_active_blocks", 8, 16, "--moe_top_k", 1, 2, "--num_crops", 1, 2),
        *("--max_new_tokens", 1, 3, "--num_samples", 1, "--num_warmup", 0, "--closure_samples", 0),
        *("--no_trace", "--output_dir", "out"),
        cwd=tmp_path,
    )
    assert said.code == 0, said.err
    result = read_result(tmp_path / "out")
    seen = {
        (s["num_active_blocks"], s["moe_top_k"], s["num_crops"], s["max_new_tokens"], s["num_output_tokens"])
        for s in result["all_samples"]
    }
    assert seen == {(b, k, c, t, t) for b in (8, 16) for k in (1, 2) for c in (1, 2) for t in (1, 3)}
    vision_tokens = {s["num_crops"]: s["num_vision_tokens"] for s in result["all_samples"]}
    assert vision_tokens[1] == 288 < vision_tokens[2]
    assert {fit["knob"] for fit in result["knob_fits"]} == {"moe_top_k", "num_crops", "max_new_tokens"}
    assert "What each knob buys" in said.out
