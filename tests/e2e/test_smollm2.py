"""A real pretrained model from a GGUF file."""

import pytest

from tests.e2e.command import maskprof, range_counts, read_result, traces_in

pytestmark = pytest.mark.e2e


def test_smollm2_gets_faster_with_fewer_blocks(smollm2, tmp_path):
    said = maskprof(
        *(
            "run",
            "--model_path",
            smollm2,
            "--num_active_blocks",
            10,
            30,
            "--num_samples",
            2,
            "--num_warmup",
            1,
        ),
        *("--max_new_tokens", 3, "--closure_samples", 1, "--trace_steps", 1, "--output_dir", "out"),
        *("--prompt", "The capital of France is"),
        cwd=tmp_path,
    )
    assert said.code == 0, said.err
    assert "Traceback" not in said.err
    result = read_result(tmp_path / "out")
    assert result["model"]["source"] == "gguf"
    assert result["model"]["num_blocks"] == 30
    assert 130e6 < result["model"]["num_parameters"] < 140e6
    # Its own tokenizer makes five tokens of these five words.
    assert {sample["num_input_text_tokens"] for sample in result["all_samples"]} == {5}
    few, all_blocks = result["summary"]
    # A third of the blocks: the margin is far beyond any noise.
    assert few["prefill"]["min"] < all_blocks["prefill"]["min"]
    assert few["decode"]["min"] < all_blocks["decode"]["min"]
    counts = range_counts(traces_in(tmp_path / "traces" / "out")["first-10-of-30"])
    assert (counts["block.09.active"], counts["block.10.skipped"], counts["phase.decode"]) == (2, 2, 1)
    assert "Each active block costs" in said.out
