"""Masks and torch.compile: one graph per mask, wherever in the order of things the model was compiled."""

import logging
import shutil

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import StaticCache

from maskprof import BlockMask, BlockMaskWrapper, find_blocks
from tests.support.tiny_models import BLOCKS, rebuilt_without, tiny_model

FIRST, ODD = BlockMask.first(2, BLOCKS), BlockMask.from_indices([1, 3], BLOCKS)
IDS = torch.arange(3, 11).repeat(2, 1)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch.set_num_threads(1)
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def model():
    return tiny_model("llama")


def graphs():
    assert not counters["graph_break"], "the wrapper must not break graphs"
    return counters["stats"]["unique_graphs"]


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS, use_cache=False).logits


def expected_logits(model, mask):
    return logits(rebuilt_without(model, "layers", list(mask.active_indices)))


@torch.no_grad()
def decoded(step, prefill, make_cache):
    """Logits of three cached steps by `step`, after a prefill by `prefill`."""
    cache = make_cache()
    prefill(input_ids=IDS, past_key_values=cache, use_cache=True)
    return torch.cat([step(input_ids=IDS[:, i : i + 1], past_key_values=cache).logits for i in range(3)], 1)


def test_the_model_is_compiled_after_it_was_wrapped(model):
    expected = {mask: expected_logits(model, mask) for mask in (FIRST, ODD)}
    with BlockMaskWrapper(model, FIRST) as wrapper:
        compiled = torch.compile(model, backend="eager")
        assert torch.equal(logits(compiled), expected[FIRST])
        wrapper.mask = ODD
        assert torch.equal(logits(compiled), expected[ODD])
        assert graphs() == 2
        wrapper.mask = FIRST
        assert torch.equal(logits(compiled), expected[FIRST])
    assert graphs() == 2, "going back to a mask reuses its graph"
    with BlockMaskWrapper(model, ODD):
        assert torch.equal(logits(compiled), expected[ODD])
    assert graphs() == 2, "for another wrapper too"
    assert torch.equal(logits(compiled), logits(model))
    assert graphs() == 3


@pytest.mark.parametrize("skip", ["mask", "splice", "remove", "early_exit"])
def test_a_compiled_model_is_wrapped(model, skip):
    expected, unmasked = expected_logits(model, FIRST), logits(model)
    compiled = torch.compile(model, backend="eager")
    assert torch.equal(logits(compiled), unmasked)
    keys = list(compiled.state_dict())
    wrapper = BlockMaskWrapper(compiled, FIRST, skip=skip)
    assert find_blocks(compiled) is model.model.layers
    assert graphs() == 1, "the probe compiles nothing"
    with wrapper:
        assert skip != "mask" or list(compiled.state_dict()) == keys
        assert torch.equal(logits(compiled), expected)
    assert list(compiled.state_dict()) == keys
    assert torch.equal(logits(compiled), unmasked)


def compiled_in_place(model):
    model.compile(backend="eager")


def compiled_inside(model):
    model.model = torch.compile(model.model, backend="eager")


def compiled_block_by_block(model):
    for block in model.model.layers:
        block.compile(backend="eager")


@pytest.mark.parametrize("compile_it", [compiled_in_place, compiled_inside, compiled_block_by_block])
def test_other_ways_to_compile(model, compile_it):
    expected = {mask: expected_logits(model, mask) for mask in (FIRST, ODD)}
    compile_it(model)
    assert len(find_blocks(model)) == BLOCKS
    assert counters["stats"]["unique_graphs"] == 0, "the probe compiles nothing"
    with BlockMaskWrapper(model, FIRST) as wrapper:
        assert torch.equal(logits(model), expected[FIRST])
        wrapper.mask = ODD
        assert torch.equal(logits(model), expected[ODD])
    assert graphs() >= 2


def test_one_line_says_that_another_mask_recompiles(model, caplog):
    compiled = torch.compile(model, backend="eager")
    with caplog.at_level(logging.INFO, "maskprof.skipping"), BlockMaskWrapper(model, FIRST) as wrapper:
        logits(model)
        wrapper.mask = ODD
        assert not caplog.records, "nothing was compiled so far"
        logits(compiled)
        wrapper.mask = FIRST
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("maskprof.skipping", "INFO")
    assert "graphs are specialised per mask: the first forward under mask 1100 recompiles" in record.message
    caplog.clear()
    with caplog.at_level(logging.INFO, "maskprof.skipping"):
        with BlockMaskWrapper(model, ODD), BlockMaskWrapper(tiny_model("gpt2"), FIRST):
            pass
        assert not caplog.records, "these masks are known to the one model, and the other is not compiled"
        with BlockMaskWrapper(compiled, BlockMask.last(1, BLOCKS)):
            pass
    assert ["mask 0001" in record.message for record in caplog.records] == [True]


def last_block_replaced(model):
    model.model.layers[-1] = torch.compile(model.model.layers[-1], backend="eager")


ALL_WAYS = [compiled_in_place, compiled_inside, compiled_block_by_block, last_block_replaced]


@pytest.mark.parametrize("compile_it", ALL_WAYS)
def test_a_model_compiled_after_the_wrapper_was_made_is_noticed(model, compile_it, caplog):
    with caplog.at_level(logging.INFO, "maskprof.skipping"):
        wrapper = BlockMaskWrapper(model, FIRST)
        compile_it(model)
        assert not caplog.records
        wrapper.apply()
        wrapper.remove()
    assert ["mask 1100" in record.message for record in caplog.records] == [True]


def test_what_is_compiled_inside_a_block_has_no_graph_of_the_mask(model, caplog):
    for block in model.model.layers:
        block.mlp.compile(backend="eager")
    with caplog.at_level(logging.INFO, "maskprof.skipping"), BlockMaskWrapper(model, FIRST) as wrapper:
        logits(model)
        made = graphs()
        wrapper.mask = ODD
        logits(model)
        assert graphs() == made
    assert not caplog.records


def test_a_change_of_mask_does_not_walk_through_the_model(model, monkeypatch):
    def walked(*_args, **_kwargs):
        raise AssertionError("walked through all modules")

    with BlockMaskWrapper(model, FIRST) as wrapper:
        monkeypatch.setattr(torch.nn.Module, "named_modules", walked)
        wrapper.mask = ODD
        wrapper.mask = FIRST


@pytest.mark.parametrize("skip", ["mask", "splice", "remove"])
def test_a_step_with_a_static_cache_is_one_graph(model, skip):
    def static():
        return StaticCache(config=model.config, max_cache_len=16)

    smaller = rebuilt_without(model, "layers", [1, 3])
    expected = decoded(torch.compile(smaller, backend="eager"), smaller, static)
    torch._dynamo.reset()
    counters.clear()
    with BlockMaskWrapper(model, ODD, skip=skip):
        got = decoded(torch.compile(model, backend="eager"), model, static)
    assert graphs() == 1
    assert torch.equal(got, expected)


@pytest.mark.parametrize("dummy_cache", ["virtual", "zeros"])
def test_steps_with_a_growing_cache(model, dummy_cache):
    def growing():
        return model(input_ids=IDS[:, :2], use_cache=True).past_key_values

    compiled = torch.compile(model, backend="eager")
    decoded(compiled, compiled, growing)
    unmasked = graphs()
    torch._dynamo.reset()
    counters.clear()
    with BlockMaskWrapper(model, ODD, dummy_cache=dummy_cache):
        expected = decoded(model, model, growing)
        assert torch.equal(decoded(compiled, compiled, growing), expected)
        assert graphs() == unmasked
        # Slots that were filled by the one are gone on with by the other.
        assert torch.equal(decoded(model, compiled, growing), expected)
        assert torch.equal(decoded(compiled, model, growing), expected)


@torch.no_grad()
@pytest.mark.parametrize("skip", ["mask", "splice"])
def test_generate_with_a_static_cache(model, skip):
    settings = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    expected = rebuilt_without(model, "layers", [1, 3]).generate(IDS, **settings)
    compiled = torch.compile(model, backend="eager")
    with BlockMaskWrapper(model, ODD, skip=skip):
        got = compiled.generate(IDS, cache_implementation="static", **settings)
    assert torch.equal(got, expected)


@pytest.mark.parametrize("mask_on", ["cpu", "device"])
def test_a_mask_in_a_tensor_breaks_graphs_and_is_right(model, mask_on):
    expected = expected_logits(model, ODD)
    with BlockMaskWrapper(model, ODD, mask_on=mask_on):
        assert torch.equal(logits(torch.compile(model, backend="eager")), expected)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_inductor(model):
    compiled = torch.compile(model)
    for mask in (FIRST, ODD):
        with BlockMaskWrapper(model, mask):
            torch.testing.assert_close(logits(compiled), logits(model))
    assert graphs() == 2


@pytest.mark.gpu
def test_a_step_is_captured_in_a_cuda_graph(model):
    model = model.cuda()
    ids, token = IDS.cuda(), IDS[:, :1].cuda()

    def prefilled():
        cache = StaticCache(config=model.config, max_cache_len=32)
        model(input_ids=ids, past_key_values=cache, use_cache=True)
        return cache

    with torch.no_grad(), BlockMaskWrapper(model, ODD):
        cache = prefilled()
        expected = [model(input_ids=token, past_key_values=cache).logits for _ in range(4)]
        cache = prefilled()

        def step():
            return model(input_ids=token, past_key_values=cache).logits

        # What a first call sets up must not be recorded; on a side stream, as torch's own recipe has it.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            first = step()
        torch.cuda.current_stream().wait_stream(stream)
        torch.testing.assert_close(first, expected[0])
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = step()
        for wanted in expected[1:]:
            graph.replay()
            torch.testing.assert_close(captured, wanted)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
def test_compiled_for_a_gpu_with_graphs(model):
    model = model.cuda()
    compiled = torch.compile(model, mode="reduce-overhead")
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    for mask in (FIRST, ODD):
        with BlockMaskWrapper(model, mask):
            expected = model.generate(IDS.cuda(), **settings)
            got = compiled.generate(IDS.cuda(), cache_implementation="static", **settings)
        assert torch.equal(got, expected)
