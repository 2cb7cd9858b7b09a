"""A mask among everything else that is done to models: gradients, autocast, offloading, adapters, copies."""

import copy
import io
import threading
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM

from maskprof import BlockMask, BlockMaskWrapper, MaskError, find_blocks
from tests.support.tiny_models import BLOCKS, rebuilt_without, tiny_model

ACTIVE = [1, 3]
ODD = BlockMask.from_indices(ACTIVE, BLOCKS)
IDS = torch.arange(3, 11).repeat(2, 1)
ATTRIBUTES = ("forward", "_hf_hook", "_old_forward")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def model():
    return tiny_model("llama")


@pytest.fixture
def smaller(model):
    return rebuilt_without(model, "layers", ACTIVE)


def run(model):
    """Logits of a forward without a cache, and of a prefill and a step with one."""
    whole = model(input_ids=IDS, use_cache=False).logits
    output = model(input_ids=IDS[:, :5], use_cache=True)
    step = model(input_ids=IDS[:, 5:6], past_key_values=output.past_key_values, use_cache=True)
    return whole, output.logits, step.logits


def same(got, expected):
    return all(torch.equal(ours, theirs) for ours, theirs in zip(got, expected, strict=True))


@pytest.mark.parametrize(
    "surroundings",
    [torch.inference_mode, torch.no_grad, torch.enable_grad, lambda: torch.autocast("cpu", torch.bfloat16)],
    ids=["inference_mode", "no_grad", "enable_grad", "autocast"],
)
@pytest.mark.parametrize("dummy_cache", ["virtual", "zeros"])
def test_modes_of_torch(model, smaller, surroundings, dummy_cache):
    with surroundings():
        expected = run(smaller)
        with BlockMaskWrapper(model, ODD, dummy_cache=dummy_cache):
            assert same(run(model), expected)


def gradients_by_new_number(model):
    numbers = {f"layers.{old}.": f"layers.{new}." for new, old in enumerate(ACTIVE)}
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            old = next((old for old in numbers if old in name), None)
            found[name if old is None else name.replace(old, numbers[old])] = parameter.grad
    return found


@pytest.mark.parametrize("skip", ["mask", "splice", "remove"])
@pytest.mark.parametrize("checkpointing", [None, False, True], ids=["plain", "checkpointed", "reentrant"])
@pytest.mark.parametrize("backward_inside", [True, False], ids=["inside", "after"])
def test_gradients_are_those_of_the_removed_model(model, smaller, skip, checkpointing, backward_inside):
    for one in (model, smaller):
        one.train()
        if checkpointing is not None:
            one.gradient_checkpointing_enable({"use_reentrant": checkpointing})
            one.enable_input_require_grads()
    smaller(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
    with BlockMaskWrapper(model, ODD, skip=skip):
        loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
        if backward_inside:
            loss.backward()
    if not backward_inside:
        loss.backward()
    expected = {name: parameter.grad for name, parameter in smaller.named_parameters()}
    got = gradients_by_new_number(model)
    assert got.keys() == expected.keys(), "skipped blocks have no gradient at all"
    assert all(torch.equal(got[name], gradient) for name, gradient in expected.items())


@pytest.mark.parametrize("dispatch", ["dispatch_model", "cpu_offload"])
@pytest.mark.parametrize("skip", ["mask", "remove"])
def test_models_with_accelerate_hooks(model, smaller, dispatch, skip):
    accelerate = pytest.importorskip("accelerate")
    with torch.inference_mode():
        expected = run(smaller)
    if dispatch == "cpu_offload":
        accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    else:
        devices = {
            "model.embed_tokens": "cpu",
            "model.norm": "cpu",
            "model.rotary_emb": "cpu",
            "lm_head": "cpu",
        }
        devices |= {f"model.layers.{i}": "cpu" for i in range(BLOCKS)}
        accelerate.dispatch_model(model, devices, main_device="cpu", force_hooks=True)
    assert any(hasattr(module, "_hf_hook") for module in model.modules())
    with torch.inference_mode():
        unmasked = run(model)
        before = [[id(m.__dict__.get(name)) for name in ATTRIBUTES] for m in model.modules()]
        with BlockMaskWrapper(model, ODD, skip=skip):
            assert same(run(model), expected)
        assert [[id(m.__dict__.get(name)) for name in ATTRIBUTES] for m in model.modules()] == before
        assert same(run(model), unmasked)


def test_models_with_adapters(model, smaller):
    peft = pytest.importorskip("peft")
    settings = {"r": 2, "target_modules": ["q_proj", "down_proj"], "init_lora_weights": False}
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings)).eval()
    adapted_smaller = peft.get_peft_model(smaller, peft.LoraConfig(**settings)).eval()
    weights = adapted.state_dict()
    numbers = {f"layers.{new}.": f"layers.{old}." for new, old in enumerate(ACTIVE)}

    def of_whole(name):
        new = next((new for new in numbers if new in name), None)
        return weights[name if new is None else name.replace(new, numbers[new])]

    adapted_smaller.load_state_dict({name: of_whole(name) for name in adapted_smaller.state_dict()})
    assert len(find_blocks(adapted)) == BLOCKS
    with torch.inference_mode():
        expected = run(adapted_smaller)
        for skip in ("mask", "splice", "remove"):
            with BlockMaskWrapper(adapted, ODD, skip=skip):
                assert same(run(adapted), expected)
        with BlockMaskWrapper(adapted, ODD), adapted.disable_adapter():
            assert not same(run(adapted), expected), "the adapters have to matter"


def test_models_with_quantised_linear_layers(model, smaller):
    def quantised(one):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a farewell to torch.ao
            return torch.ao.quantization.quantize_dynamic(one, {torch.nn.Linear}, dtype=torch.qint8)

    if not torch.backends.quantized.supported_engines[1:]:
        pytest.skip("this torch has no engine for quantised layers")
    model, smaller = quantised(model), quantised(smaller)
    assert "Quantized" in type(model.model.layers[0].mlp.up_proj).__name__ or "quantized" in str(
        type(model.model.layers[0].mlp.up_proj)
    )
    with torch.inference_mode():
        expected = run(smaller)
        with BlockMaskWrapper(model, ODD):
            assert same(run(model), expected)


def in_another_thread(work):
    outcome = []

    def attempt():
        try:
            outcome.append(work())
        except MaskError as error:
            outcome.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return outcome[0]


def test_a_second_wrapper_from_another_thread_is_refused(model):
    second = BlockMaskWrapper(model, ODD)
    with BlockMaskWrapper(model, ODD):
        assert isinstance(in_another_thread(second.apply), MaskError)
        assert isinstance(in_another_thread(lambda: BlockMaskWrapper(model, ODD)), MaskError)
    assert in_another_thread(second.apply) is second
    second.remove()


def test_of_many_threads_one_gets_the_model(model):
    find_blocks(model)
    wrappers = [BlockMaskWrapper(model, ODD) for _ in range(8)]
    barrier, applied, refused = threading.Barrier(len(wrappers)), [], []

    def race(wrapper):
        barrier.wait()
        try:
            applied.append(wrapper.apply())
        except MaskError:
            refused.append(wrapper)

    threads = [threading.Thread(target=race, args=(wrapper,)) for wrapper in wrappers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(applied), len(refused)) == (1, len(wrappers) - 1)
    applied[0].remove()
    assert "forward" not in model.model.layers[0].__dict__


@pytest.mark.parametrize("skip", ["mask", "splice", "remove", "early_exit"])
def test_a_model_under_a_mask_is_not_copied(model, skip):
    mask = BlockMask.first(2, BLOCKS)
    with BlockMaskWrapper(model, mask, skip=skip):
        with pytest.raises(MaskError, match=r"cannot be copied.*remove\(\) the wrapper first"):
            copy.deepcopy(model)
        with pytest.raises(MaskError, match="cannot be pickled"):
            torch.save(model, io.BytesIO())
    with torch.inference_mode():
        copied = copy.deepcopy(model)
        expected = run(rebuilt_without(model, "layers", [0, 1]))
        with BlockMaskWrapper(copied, mask, skip=skip):
            assert same(run(copied), expected)
            assert not same(run(model), expected)


def test_single_blocks_under_a_mask_are_not_copied(model):
    with BlockMaskWrapper(model, ODD), pytest.raises(MaskError, match="cannot be copied"):
        copy.deepcopy(model.model.layers[0])


def test_a_model_under_a_mask_is_saved_whole(model, tmp_path):
    with BlockMaskWrapper(model, ODD):
        model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        assert same(run(loaded), run(model))


@pytest.mark.parametrize("skip", ["splice", "remove"])
def test_caches_of_other_masks_and_modes_are_refused(model, skip):
    other = BlockMask.from_indices([0, 2], BLOCKS)
    with torch.inference_mode():
        with BlockMaskWrapper(model, ODD) as wrapper:
            in_place = model(input_ids=IDS, use_cache=True).past_key_values
        with BlockMaskWrapper(model, ODD, skip=skip) as wrapper:
            cache = model(input_ids=IDS, use_cache=True).past_key_values
            model(input_ids=IDS[:, :1], past_key_values=cache, use_cache=True)
            with pytest.raises(MaskError, match=r"another mask \(0101\)"):
                model(input_ids=IDS[:, :1], past_key_values=in_place, use_cache=True)
            wrapper.mask = other
            with pytest.raises(MaskError, match=rf"\(0101 in mode '{skip}'\).*\(1010 in mode '{skip}'\)"):
                model(input_ids=IDS[:, :1], past_key_values=cache, use_cache=True)


def test_a_refused_change_of_the_mask_changes_nothing(model):
    first = BlockMask.first(2, BLOCKS)
    with BlockMaskWrapper(model, first, skip="early_exit") as wrapper:
        with pytest.raises(MaskError, match="keeps the first blocks only"):
            wrapper.mask = ODD
        assert wrapper.applied
        assert wrapper.mask == first
        assert len(model.model.layers) == 2
    assert len(model.model.layers) == BLOCKS


def test_hooks_fire_as_documented(model):
    fired = []

    def note(name):
        return lambda *_call: fired.append(name)

    for index, block in enumerate(model.model.layers):
        block.register_forward_pre_hook(note(f"before {index}"))
        block.register_forward_hook(note(f"after {index}"))
        block.mlp.register_forward_hook(note(f"inside {index}"))
        block.register_full_backward_hook(note(f"backward {index}"))
    with BlockMaskWrapper(model, BlockMask.from_indices([1], BLOCKS)):
        fired.clear()
        model(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
        around = [f"{when} {i}" for i in range(BLOCKS) for when in ("before", "after")]
        expected = [*around[:3], "inside 1", *around[3:], *(f"backward {i}" for i in reversed(range(BLOCKS)))]
        assert fired == expected
    with BlockMaskWrapper(model, BlockMask.from_indices([1], BLOCKS), skip="splice"):
        fired.clear()
        model(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
        assert fired == ["before 1", "inside 1", "after 1", "backward 1"]


def test_hooks_of_skipped_blocks_may_change_what_passes(model, smaller):
    model.model.layers[2].register_forward_pre_hook(lambda _block, args: (args[0] * 2, *args[1:]))
    smaller.model.layers[1].register_forward_pre_hook(lambda _block, args: (args[0] * 2, *args[1:]))
    with torch.inference_mode(), BlockMaskWrapper(model, ODD):
        assert same(run(model), run(smaller))


def test_hidden_states_are_returned_for_every_block_in_place(model):
    with torch.inference_mode():
        with BlockMaskWrapper(model, ODD):
            states = model(input_ids=IDS, output_hidden_states=True).hidden_states
        with BlockMaskWrapper(model, ODD, skip="remove"):
            fewer = model(input_ids=IDS, output_hidden_states=True).hidden_states
    assert (len(states), len(fewer)) == (BLOCKS + 1, len(ACTIVE) + 1)
    assert torch.equal(states[0], states[1]), "block 0 passed its input on"
    assert torch.equal(states[-1], fewer[-1])
