"""Shorter lists give what masks in place give, on every architecture, or are refused before anything runs."""

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper, MaskError
from maskprof.errors import ModelError
from maskprof.models.tiny import (
    architectures,
    cached_logits,
    full_logits,
    tiny_inputs,
    tiny_model,
)
from maskprof.models.unsupported import NOT_SUPPORTED

BLOCKS, PROMPT, TOKENS = 4, 8, 11
MIDDLE, ENDS, ODD, FIRST = ([1, 2], [0, 3], [1, 3], [0, 1])
MASKS = {
    "splice": (MIDDLE, ENDS, ODD, FIRST),
    "remove": (MIDDLE, ENDS, ODD, FIRST),
    "early_exit": (FIRST, [0], [0, 1, 2]),
}
# Uniform ones, windows, experts, linear attention, tuples, towers, and blocks that share keys or a transformer.
DIVERSE = {"bloom", "gemma2", "gemma3n_text", "jamba", "molmo2", "opt", "qwen3_moe", "qwen3_next", "zamba2"}

ALL = [each for each in architectures() if each.model_type not in NOT_SUPPORTED]


def by_name(chosen):
    return [pytest.param(each, id=f"{each.model_type}-{each.task}") for each in chosen]


def hold_against_masks(architecture, mode):
    """How many masks were exact, and the reasons for those that were refused."""
    torch.set_num_threads(1)
    try:
        model = tiny_model(architecture, blocks=BLOCKS)
    except ModelError as error:
        pytest.skip(str(error))
    inputs = tiny_inputs(model, architecture, tokens=TOKENS)

    def run():
        return full_logits(model, inputs), cached_logits(model, architecture, inputs, prompt=PROMPT)

    exact, refused = 0, []
    for active in MASKS[mode]:
        mask = BlockMask.from_indices(active, BLOCKS)
        try:
            wrapper = BlockMaskWrapper(model, mask, skip=mode).apply()
        except MaskError as error:
            refused.append(str(error))
            continue
        with wrapper:
            got = run()
        with BlockMaskWrapper(model, mask):
            expected = run()
        for ours, theirs in zip(got, expected, strict=True):
            assert torch.equal(ours, theirs), f"{mode} {mask}"
        exact += 1
    return exact, refused


@pytest.mark.parametrize("mode", sorted(MASKS))
@pytest.mark.parametrize("architecture", by_name(each for each in ALL if each.model_type in DIVERSE))
def test_a_few(architecture, mode):
    exact, refused = hold_against_masks(architecture, mode)
    assert exact + len(refused) == len(MASKS[mode])
    if mode != "splice":
        assert exact > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", sorted(MASKS))
@pytest.mark.parametrize("architecture", by_name(ALL))
def test_all(architecture, mode):
    _, refused = hold_against_masks(architecture, mode)
    assert all("skip mode" in reason or "is not defined" in reason for reason in refused)


@pytest.mark.parametrize(
    ("name", "mode", "active", "reason"),
    [
        ("gemma2", "splice", FIRST, "its forward reads 'layer_types' of its config by block number"),
        ("qwen3_next", "early_exit", [0], "counts past tokens by the keys of its attention blocks"),
        ("rwkv", "remove", MIDDLE, "its first block has a norm that no other has"),
    ],
)
def test_the_reason_is_named_before_anything_runs(name, mode, active, reason):
    model = tiny_model(next(each for each in ALL if each.model_type == name), blocks=BLOCKS)
    with pytest.raises(MaskError, match=reason):
        BlockMaskWrapper(model, BlockMask.from_indices(active, BLOCKS), skip=mode).apply()
    assert "forward" not in model.__dict__


@pytest.mark.parametrize("name", ["molmo2", "smollm3", "gpt_neo", "qwen3_moe"])
def test_lists_that_only_building_reads_do_not_hinder_splicing(name):
    architecture = next(each for each in ALL if each.model_type == name)
    assert hold_against_masks(architecture, "splice") == (len(MASKS["splice"]), [])
