"""What the wrapper promises beside exact numbers: structure kept, restored exactly, clear refusals."""

import gc
import weakref

import pytest
import torch
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from maskprof import BlockMask, BlockMaskWrapper, MaskError, find_blocks
from tests.support.tiny_models import BLOCKS, tiny_model

HALF = BlockMask.first(2, BLOCKS)


def snapshot(model):
    """Everything a wrapper could leave behind: each module's attributes, hooks and children, each config."""
    state = {}
    for name, module in model.named_modules():
        attributes = {key: id(value) for key, value in module.__dict__.items()}
        state[name] = (
            attributes,
            {key: id(child) for key, child in module._modules.items()},
            tuple(module._forward_pre_hooks),
            tuple(module._forward_hooks),
            getattr(module, "layer_idx", None),
        )
    return state, repr(model.config.to_dict()), list(model.state_dict())


@pytest.fixture
def model():
    torch.set_num_threads(1)
    model = tiny_model("llama")
    find_blocks(model)
    return model


def ids():
    return torch.arange(3, 11).repeat(2, 1)


@pytest.mark.parametrize("skip", ["mask", "splice", "remove", "early_exit"])
def test_the_model_is_restored_exactly(model, skip):
    before = snapshot(model)
    wrapper = BlockMaskWrapper(model, HALF, skip=skip)
    assert snapshot(model) == before, "nothing changes before apply"
    wrapper.apply()
    wrapper.apply()
    assert snapshot(model) != before
    wrapper.remove()
    wrapper.remove()
    assert snapshot(model) == before


@pytest.mark.parametrize("skip", ["mask", "splice", "remove", "early_exit"])
def test_the_model_is_restored_after_an_exception_inside_a_forward(model, skip):
    before = snapshot(model)

    def fail(*_args):
        raise RuntimeError("broken block")

    handle = find_blocks(model)[1].mlp.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="broken block"), BlockMaskWrapper(model, HALF, skip=skip):
        model(input_ids=ids())
    handle.remove()
    assert snapshot(model) == before


def test_a_forward_overridden_by_somebody_else_is_kept(model):
    block = find_blocks(model)[0]
    original = block.forward
    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    block.forward = counted
    with BlockMaskWrapper(model, HALF):
        model(input_ids=ids())
    assert calls == [1]
    assert block.__dict__["forward"] is counted


def test_structure_stays_and_hooks_fire_on_skipped_blocks(model):
    keys, fired = list(model.state_dict()), []
    blocks = find_blocks(model)
    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda _m, _i, _o, index=index: fired.append(index))
    with BlockMaskWrapper(model, HALF):
        assert list(model.state_dict()) == keys
        assert find_blocks(model) is blocks
        assert len(blocks) == BLOCKS
        model(input_ids=ids())
    assert fired == [0, 1, 2, 3]


@pytest.mark.parametrize("dummy_cache", ["zeros", "virtual"])
def test_the_dummy_cache_has_the_true_shape(model, dummy_cache):
    with BlockMaskWrapper(model, HALF, dummy_cache=dummy_cache), torch.inference_mode():
        cache = model(input_ids=ids(), use_cache=True).past_key_values
        model(input_ids=ids()[:, :1], past_key_values=cache, use_cache=True)
    for layer in cache.layers:
        # 2 key-value heads of 8, while there are 4 query heads and the hidden size is 32.
        assert layer.keys.shape == layer.values.shape == (2, 2, 9, 8)
        assert layer.get_seq_length() == 9
    held = cache.layers[3].keys.untyped_storage().nbytes()
    assert held == (4 if dummy_cache == "virtual" else 2 * 2 * 9 * 8 * 4)
    assert not cache.layers[3].keys.any()


def test_a_virtual_cache_takes_part_in_what_caches_do(model):
    with BlockMaskWrapper(model, HALF), torch.inference_mode():
        cache = model(input_ids=ids(), use_cache=True).past_key_values
        cache.crop(-3)
        assert [layer.get_seq_length() for layer in cache.layers] == [5] * BLOCKS
        cache.batch_repeat_interleave(2)
        cache.reorder_cache(torch.tensor([3, 2, 1, 0]))
        assert [layer.keys.shape[0] for layer in cache.layers] == [4] * BLOCKS
        cache.batch_select_indices(torch.tensor([0, 1]))
        assert [layer.keys.shape[0] for layer in cache.layers] == [2] * BLOCKS
        output = model(input_ids=ids()[:, :1], past_key_values=cache, use_cache=True)
        assert output.past_key_values.get_seq_length() == 6
        cache.reset()
    # Emptied, it may be filled under any mask.
    with BlockMaskWrapper(model, BlockMask.last(2, BLOCKS)), torch.inference_mode():
        model(input_ids=ids(), past_key_values=cache, use_cache=True)
        assert [layer.get_seq_length() for layer in cache.layers] == [8] * BLOCKS


def test_changing_the_mask_between_forwards(model):
    other = BlockMask.from_indices([0, 3], BLOCKS)
    with torch.inference_mode():
        with BlockMaskWrapper(model, other):
            expected = model(input_ids=ids()).logits
        for skip in ("mask", "splice", "remove"):
            with BlockMaskWrapper(model, HALF, skip=skip) as wrapper:
                model(input_ids=ids())
                wrapper.mask = other
                assert torch.equal(model(input_ids=ids()).logits, expected)


def test_a_cache_filled_under_another_mask_is_refused(model):
    with torch.inference_mode():
        unmasked = model(input_ids=ids(), use_cache=True).past_key_values
        with BlockMaskWrapper(model, HALF) as wrapper:
            with pytest.raises(MaskError, match=r"filled under another mask \(1111\).*\(1100\)"):
                model(input_ids=ids()[:, :1], past_key_values=unmasked, use_cache=True)
            cache = model(input_ids=ids(), use_cache=True).past_key_values
            wrapper.mask = BlockMask.last(2, BLOCKS)
            with pytest.raises(MaskError, match=r"filled under another mask \(1100\).*\(0011\)"):
                model(input_ids=ids()[:, :1], past_key_values=cache, use_cache=True)
        with pytest.raises(MaskError, match="this cache was filled while a mask skipped this block"):
            model(input_ids=ids()[:, :1], past_key_values=cache, use_cache=True)


def test_two_wrappers_on_one_model_are_refused(model):
    first = BlockMaskWrapper(model, HALF).apply()
    with pytest.raises(MaskError, match=r"another wrapper \(mask 1100\) is in force"):
        BlockMaskWrapper(model.model, HALF)
    first.remove()
    second = BlockMaskWrapper(model, HALF)
    with first, pytest.raises(MaskError, match="another wrapper"):
        second.apply()
    with second:
        assert second.applied


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        ([True] * 3, "the mask has 3 entries, but LlamaForCausalLM has 4 blocks"),
        ([True] * 5, "the mask has 5 entries, but LlamaForCausalLM has 4 blocks"),
        ([1, 0, 1, 0], "booleans"),
        (torch.tensor([1, 0, 1, 0]), "booleans"),
        (torch.ones(2, 2, dtype=torch.bool), r"shape \(n_layers,\)"),
        ([False] * 4, "at least one block must stay active"),
        ("1100", "sequence of bools"),
        (None, "sequence of bools"),
    ],
)
def test_masks_that_do_not_fit(model, mask, sentence):
    with pytest.raises(MaskError, match=sentence):
        BlockMaskWrapper(model, mask)


def test_mask_errors_are_value_errors(model):
    with pytest.raises(ValueError):
        BlockMaskWrapper(model, [True])


def test_masks_come_in_many_forms(model):
    flags = [True, True, False, False]
    for mask in (flags, tuple(flags), torch.tensor(flags), HALF):
        assert BlockMaskWrapper(model, mask).mask == HALF


@pytest.mark.parametrize("option", [{"skip": "hop"}, {"dummy_cache": "ones"}, {"mask_on": "disk"}])
def test_unknown_options_are_named(model, option):
    ((name, value),) = option.items()
    with pytest.raises(MaskError, match=f"{name}='{value}' is not one of"):
        BlockMaskWrapper(model, HALF, **option)


def test_early_exit_wants_the_first_blocks(model):
    with pytest.raises(MaskError, match="keeps the first blocks only"):
        BlockMaskWrapper(model, BlockMask.last(2, BLOCKS), skip="early_exit").apply()


def test_splice_refuses_loops_that_read_the_config_by_block_number():
    model = tiny_model("gemma2")
    before = snapshot(model)
    with pytest.raises(MaskError, match="'layer_types'"):
        BlockMaskWrapper(model, HALF, skip="splice").apply()
    assert snapshot(model) == before


def test_models_without_blocks_are_refused():
    with pytest.raises(MaskError, match=r"no torch\.nn\.ModuleList"):
        find_blocks(nn.Linear(2, 2))
    with pytest.raises(MaskError, match="got str"):
        find_blocks("llama")

    class Unusual(nn.Module):
        def __init__(self):
            super().__init__()
            self.towers = nn.ModuleList([nn.Linear(2, 3), nn.Linear(3, 2)])

        def forward(self, input_ids, use_cache):
            return self.towers[1](self.towers[0](torch.ones(1, 2)))

    with pytest.raises(MaskError, match="none of its module lists"):
        find_blocks(Unusual())

    class Broken(Unusual):
        def forward(self, input_ids, use_cache):
            raise KeyError("pixels")

    with pytest.raises(MaskError, match="failed with KeyError"):
        find_blocks(Broken())


def test_the_probe_leaves_no_trace_in_the_model():
    model = tiny_model("qwen3_next")
    model.train()
    before, rng = snapshot(model), torch.get_rng_state()
    find_blocks(model)
    assert snapshot(model) == before
    assert torch.equal(torch.get_rng_state(), rng)


def test_the_probe_keeps_no_model_alive():
    model = tiny_model("gpt2")
    find_blocks(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_changed_block_list_is_noticed(model):
    model.model.layers = model.model.layers[:3]
    assert len(find_blocks(model)) == 3
    assert BlockMaskWrapper(model, [True, False, True]).mask.total == 3


def test_ranges_name_each_part_of_a_turn(model):
    with (
        BlockMaskWrapper(model, BlockMask.from_indices([0, 2], BLOCKS), ranges=True),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as session,
        torch.inference_mode(),
    ):
        cache = model(input_ids=ids(), use_cache=True).past_key_values
        model(input_ids=ids()[:, :1], past_key_values=cache, use_cache=True)
    counts = {}
    for event in session.events():
        if event.name.startswith("block."):
            counts[event.name] = counts.get(event.name, 0) + 1
    active = {f"block.{i:02d}.{part}": 2 for i in (0, 2) for part in ("active", "mask_check", "compute")}
    skipped = {f"block.{i:02d}.{part}": 2 for i in (1, 3) for part in ("skipped", "mask_check")}
    cache_work = {f"block.{i:02d}.cache.{part}": 1 for i in (1, 3) for part in ("dummy", "reuse")}
    assert counts == active | skipped | cache_work


def test_a_cache_without_slots_is_refused_and_not_passed_over():
    class ForeignCache:
        def get_seq_length(self):
            return 0

    class Block(nn.Module):
        def forward(self, x, past_key_values=None):
            return x + 1

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Block(), Block()])

        def forward(self, input_ids, use_cache=False):
            x, cache = torch.ones(*input_ids.shape, 4), ForeignCache()
            for layer in self.layers:
                x = layer(x, past_key_values=cache)
            return x

    with pytest.raises(MaskError, match="keeps its cache in a ForeignCache"):
        find_blocks(Decoder())


def test_a_static_slot_that_hides_its_length_is_refused(model):
    class OldStaticLayer(DynamicLayer):
        is_compileable = True

    cache = DynamicCache(config=model.config)
    cache.layers[3] = OldStaticLayer()
    with BlockMaskWrapper(model, HALF), pytest.raises(MaskError, match="a static cache of this version"):
        model(input_ids=ids(), past_key_values=cache, use_cache=True)
