"""Taking blocks out of the list gives what passing them over gives, or is refused: never something else."""

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper, MaskError
from maskprof.conformance import masks_to_try
from maskprof.models.tiny import architectures, cached_logits, full_logits, tiny_inputs, tiny_model

BLOCKS = 4

# model type, settings, what the refusals say, and how many masks are left; all kinds in which numbers matter
BY_NUMBER = [
    ("longcat_flash", {}, "", 15),  # two cache slots for each block
    ("zamba2", {}, "", 12),  # adapters by block number
    ("mllama", {}, "counts past tokens by its first block", 11),  # a list of block numbers
    ("minimax", {}, "counts past tokens by its first block", 10),
    ("bamba", {}, "", 12),  # kinds worked out from a list of block numbers
    ("jamba", {}, "from block numbers", 5),
    ("recurrent_gemma", {}, "", 8),  # kinds worked out from a pattern
    ("gemma3n_text", {}, "", 15),  # an embedding for each block
    ("gemma4", {"num_kv_shared_layers": 2}, "is not defined for", 8),
    ("rwkv", {}, "its first block has a norm", 8),
    ("idefics", {}, "cross-attention layers after every few", 1),
    ("inkling2_text", {}, "states before every few", 1),
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def built(model_type, settings):
    architecture = next(one for one in reversed(architectures()) if one.model_type == model_type)
    return architecture, tiny_model(architecture, settings=settings)


@pytest.mark.parametrize(("model_type", "settings", "refusal", "exact"), BY_NUMBER)
def test_removing_is_exact_or_refused(model_type, settings, refusal, exact):
    architecture, model = built(model_type, settings)
    inputs = tiny_inputs(model, architecture, tokens=11)

    def run():
        return full_logits(model, inputs), cached_logits(model, architecture, inputs)

    before, same, refused = model.config.to_dict(), 0, set()
    untouched = run()
    for mask in masks_to_try(BLOCKS):
        try:
            with BlockMaskWrapper(model, mask, skip="remove"):
                removed = run()
        except MaskError as error:
            refused.add(str(error))
            continue
        with BlockMaskWrapper(model, mask):
            masked = run()
        assert all(torch.equal(a, b) for a, b in zip(removed, masked, strict=True)), mask
        same += 1
    assert same == exact
    # Without attention there is nothing to count tokens by, in a model that has some.
    others = {sentence for sentence in refused if "none of them is left" not in sentence}
    assert bool(others) == bool(refusal)
    assert all(refusal in sentence for sentence in others)
    assert model.config.to_dict() == before
    assert all(torch.equal(a, b) for a, b in zip(run(), untouched, strict=True))


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("mllama", "'cross_attention_layers' of its config by block"),
        ("jamba", "'layer_types' of its config by block"),
        ("idefics", "cross-attention layers after every few numbers of blocks"),
    ],
)
def test_splice_is_refused_where_the_loop_knows_block_numbers(model_type, reason):
    _, model = built(model_type, {})
    with pytest.raises(MaskError, match=f"skip mode 'splice' does not fit .*{reason}"):
        BlockMaskWrapper(model, BlockMask.first(2, BLOCKS), skip="splice").apply()


@pytest.mark.parametrize("skip", ["splice", "remove", "early_exit"])
def test_a_second_wrapper_on_a_shortened_model_is_refused(skip):
    _, model = built("llama", {})
    half = BlockMask.first(2, BLOCKS)
    other = BlockMaskWrapper(model, half)
    with BlockMaskWrapper(model, half, skip=skip):
        for mask in (half, [True, True]):
            with pytest.raises(MaskError, match="another wrapper"):
                BlockMaskWrapper(model, mask)
        with pytest.raises(MaskError, match="another wrapper"):
            other.apply()
    with other:
        assert other.applied
