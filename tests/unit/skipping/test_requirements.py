"""Masks under which a block would lack what it reuses are refused, and all others are exact."""

from types import SimpleNamespace

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper, MaskError
from maskprof.conformance import masks_to_try
from maskprof.models.tiny import architectures, cached_logits, full_logits, tiny_inputs, tiny_model
from maskprof.skipping.requirements import Requirement, check_defined, requirements

BLOCKS = 4

# model type, settings, and for each block the blocks of which one has to run too
SHARING = {
    "gemma3n": ("gemma3n_text", {"num_kv_shared_layers": 2}, {2: (0,), 3: (1,)}),
    "gemma4": ("gemma4", {"num_kv_shared_layers": 2}, {2: (0,), 3: (1,)}),
    "gemma4_unified": ("gemma4_unified", {"num_kv_shared_layers": 1}, {3: (1,)}),
    "mistral_large4": (
        "mistral_large4",
        {"kv_source_layers": [0, 0, 2, 2], "no_rope_layers": [1, 1, 0, 0]},
        {1: (0,), 3: (2,)},
    ),
    "mistral_large4 with shared indexers": (
        "mistral_large4",
        {
            "kv_source_layers": [0, 0, 0, 0],
            "no_rope_layers": [1, 1, 1, 1],
            "indexer_types": ["full", "shared", "full", "shared"],
        },
        {1: (0,), 2: (0,), 3: (0,)},
    ),
    "hy_v4": ("hy_v4", {}, {2: (0, 1)}),
    "glm_moe_dsa": (
        "glm_moe_dsa",
        {"indexer_types": ["full", "shared", "full", "shared"]},
        {1: (0,), 3: (0, 2)},
    ),
    "glm5_next": (
        "glm5_next",
        {
            "layer_types": ["indexed_attention"] * BLOCKS,
            "indexer_types": ["full", "shared", "full", "shared"],
        },
        {1: (0,), 3: (2,)},
    ),
}
ALTERNATING = {"layer_types": ["sliding_attention", "full_attention"] * 2}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", SHARING)
def test_every_mask_is_either_refused_or_exact(case):
    model_type, settings, needed = SHARING[case]
    architecture = next(one for one in architectures() if one.model_type == model_type)
    if model_type.startswith("gemma"):
        settings = ALTERNATING | settings
    model = tiny_model(architecture, settings=settings)
    inputs = tiny_inputs(model, architecture, tokens=11)

    def run():
        return full_logits(model, inputs), cached_logits(model, architecture, inputs)

    refused = 0
    for mask in masks_to_try(BLOCKS):
        if any(mask[block] and not any(mask[i] for i in any_of) for block, any_of in needed.items()):
            for skip in ("mask", "splice", "remove", "early_exit"):
                with pytest.raises(MaskError, match=f"mask {mask} is not defined for {type(model).__name__}"):
                    BlockMaskWrapper(model, mask, skip=skip)
            refused += 1
            continue
        with BlockMaskWrapper(model, mask):
            masked = run()
        with BlockMaskWrapper(model, mask, skip="remove"):
            removed = run()
        assert all(torch.equal(a, b) for a, b in zip(masked, removed, strict=True)), mask
    assert 0 < refused < len(masks_to_try(BLOCKS))


@pytest.mark.parametrize("skip", ["mask", "remove"])
def test_an_undefined_mask_is_refused_when_it_is_set_too(skip):
    architecture = next(one for one in architectures() if one.model_type == "hy_v4")
    model = tiny_model(architecture)
    allowed = BlockMask.first(2, BLOCKS)
    with BlockMaskWrapper(model, allowed, skip=skip) as wrapper:
        with pytest.raises(MaskError, match=r"block 2 .* block 1, which is skipped; block 1 would have to"):
            wrapper.mask = BlockMask.last(2, BLOCKS)
        assert wrapper.applied
        assert wrapper.mask == allowed


def test_all_blocks_that_would_have_to_stay_on_are_named():
    config = SimpleNamespace(num_kv_shared_layers=3, layer_types=list("aabbab"), kv_sharing_modes=None)
    needed = requirements(config, 6)
    assert [(one.block, one.any_of) for one in needed] == [(3, (2,)), (4, (1,)), (5, (2,))]
    with pytest.raises(MaskError) as caught:
        check_defined(BlockMask.from_indices([0, 3, 4], 6), needed, "Decoder")
    assert str(caught.value) == (
        "mask 100110 is not defined for Decoder: block 3 reuses the keys and values of block 2, which is skipped; "
        "blocks 1 and 2 would have to stay on"
    )


def test_sharing_is_read_from_the_modes_where_the_config_names_them():
    config = SimpleNamespace(
        kv_sharing_modes=[None, "store", "store", "reuse", "reuse"], layer_types=list("ababa"), num_layers=5
    )
    assert [(one.block, one.any_of) for one in requirements(config, 5)] == [(3, (1,)), (4, (2,))]


@pytest.mark.parametrize("config", [None, SimpleNamespace(), SimpleNamespace(num_kv_shared_layers=0)])
def test_most_models_demand_nothing(config):
    assert requirements(config, BLOCKS) == ()


def test_one_of_several_is_enough():
    needed = [Requirement(block=2, any_of=(0, 1), use="uses")]
    for active in ([0, 2], [1, 2], [0, 1, 2], [0], [1]):
        check_defined(BlockMask.from_indices(active, 3), needed, "Decoder")
    with pytest.raises(MaskError, match="block 2 uses block 1"):
        check_defined(BlockMask.from_indices([2], 3), needed, "Decoder")
