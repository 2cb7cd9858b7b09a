"""Models of other kinds, and the flags and files that decide what goes into them."""

import pytest
from PIL import Image

from tests.e2e.command import range_counts, read_result, traces_in

pytestmark = pytest.mark.e2e

BRIEF = ("--num_samples", 2, "--num_warmup", 0, "--max_new_tokens", 3, "--output_dir", "out")
PLACEHOLDERS = 4  # of a 28x28 picture in patches of 14


def only_sample_facts(result, *keys):
    facts = {tuple(sample[key] for key in keys) for sample in result["all_samples"]}
    assert len(facts) == 1
    return facts.pop()


def test_a_prompt_goes_through_the_checkpoints_own_tokenizer(call, llama, tmp_path):
    words = ("--prompt", "the quick brown fox .", "--num_active_blocks", 4, "--no_trace")
    said = call("run", "--model_path", llama, *words, *BRIEF)
    assert said.code == 0, said.err
    result = read_result(tmp_path / "out")
    assert result["model"]["architecture"] == "LlamaForCausalLM"
    assert only_sample_facts(result, "num_input_text_tokens", "num_vision_tokens", "T_vision_total") == (
        5,
        0,
        0,
    )


def test_a_synthetic_prompt_has_as_many_tokens_as_asked_for(call, llama, tmp_path):
    words = ("--prompt_tokens", 17, "--batch_size", 2, "--num_active_blocks", 1, 4)
    said = call("run", "--model_path", llama, *words, *BRIEF, "--no_trace")
    assert said.code == 0, said.err
    result = read_result(tmp_path / "out")
    assert only_sample_facts(result, "num_input_text_tokens", "num_output_tokens") == (17, 3)
    assert result["config"]["batch_size"] == 2


def test_without_traces_there_is_no_folder_for_them(call, llama, tmp_path):
    said = call("run", "--model_path", llama, "--num_active_blocks", 2, 4, "--no_trace", *BRIEF)
    assert said.code == 0, said.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "tensorboard" not in said.out
    assert "perfetto" not in said.out


def test_one_token_is_prefill_alone(call, gpt2, tmp_path):
    words = ("--max_new_tokens", 1, "--num_samples", 3, "--batch_size", 2, "--output_dir", "out")
    said = call("run", "--model_path", gpt2, *words)
    assert said.code == 0, said.err
    result = read_result(tmp_path / "out")
    assert result["model"]["architecture"] == "GPT2LMHeadModel"
    assert only_sample_facts(result, "T_LLM_decode", "num_output_tokens") == (0, 1)
    for entry in result["summary"]:
        assert entry["decode_per_token"] == {}
        assert entry["decode"]["max"] == 0
        assert entry["prefill"]["min"] > 0
    traces = traces_in(tmp_path / "traces" / "out")
    assert list(traces) == ["first-01-of-02", "first-02-of-02"]
    counts = range_counts(traces["first-01-of-02"])
    assert (counts["phase.prefill"], counts["phase.decode"], counts["block.01.skipped"]) == (1, 0, 1)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (50, 40), (255, 0, 0)).save(path)
    return path


def test_a_picture_goes_through_the_vision_tower(call, llava, picture, tmp_path):
    said = call("run", "--model_path", llava, "--image", picture, "--num_active_blocks", 1, 2, *BRIEF)
    assert said.code == 0, said.err
    result = read_result(tmp_path / "out")
    assert result["model"]["has_vision"] is True
    assert {sample["num_vision_tokens"] for sample in result["all_samples"]} == {PLACEHOLDERS}
    assert all(sample["T_vision_total"] > 0 for sample in result["all_samples"])
    for name, trace in traces_in(tmp_path / "traces" / "out").items():
        counts = range_counts(trace)
        assert (counts["phase.vision"], counts["phase.projector"], counts["phase.decode"]) == (1, 1, 2), name


def test_without_a_picture_its_language_model_runs_alone(call, llava, tmp_path):
    said = call("run", "--model_path", llava, "--image", "none", "--num_active_blocks", 2, *BRIEF)
    assert said.code == 0, said.err
    result = read_result(tmp_path / "out")
    assert only_sample_facts(result, "num_vision_tokens", "T_vision_total") == (0, 0)
    assert result["summary"][0]["vision"] == {}
    assert "phase.vision" not in range_counts(traces_in(tmp_path / "traces" / "out")["first-02-of-02"])


def test_a_file_of_settings_speaks_where_the_flags_do_not(call, llama, tmp_path):
    (tmp_path / "run.toml").write_text(
        f"model_path = {str(llama)!r}\nnum_samples = 4\nnum-active-blocks = [1, 3]\ntrace = false\n"
        'max_new_tokens = 3\noutput_dir = "from-file"\nnum_warmup = 0\n'
    )
    said = call("run", "--config", "run.toml", "--num_samples", 1, "--max-new-tokens", 2)
    assert said.code == 0, said.err
    result = read_result(tmp_path / "from-file")
    assert [entry["num_active_blocks"] for entry in result["summary"]] == [1, 3]
    assert [entry["num_samples"] for entry in result["summary"]] == [1, 1]
    assert only_sample_facts(result, "num_output_tokens") == (2,)
    assert not (tmp_path / "traces").exists()


@pytest.mark.parametrize(("flag", "logged"), [("-v", 0), ("-vv", 3)])
def test_v_logs_the_active_blocks_and_vv_each_step(call, llama, flag, logged):
    words = ("--active_block_indices", 0, 2, "--no_trace", "--closure_samples", 1)
    said = call("run", "--model_path", llama, *words, *BRIEF, flag)
    assert said.code == 0, said.err
    assert "blocks-0_2-of-04: active blocks [0, 2]" in said.err
    assert "active blocks" not in said.out
    assert sum("prefill" in line for line in said.err.splitlines()) == logged
