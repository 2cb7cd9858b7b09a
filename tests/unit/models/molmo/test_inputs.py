"""Loading by path or preset, and the inputs that a run makes of a picture."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, ModelError
from maskprof.measuring.phases import GreedyPass
from maskprof.models.inputs import make_inputs
from maskprof.models.load import load_model
from tests.support.molmo_models import tiny_molmo
from tests.support.molmo_reference import weights_of
from tests.unit.models.checkpoints import SPECIAL, word_tokenizer

CPU = torch.device("cpu")


def load(path, **changes):
    return load_model(RunConfig(model_path=str(path), **changes), CPU)


def inputs(loaded, *, num_crops=None, prompt_tokens=None, **changes):
    return make_inputs(loaded, RunConfig(**changes), CPU, num_crops=num_crops, prompt_tokens=prompt_tokens)


@pytest.fixture(scope="module")
def preset():
    return load("molmoe-tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint with a tokenizer, and with the published mentions of remote code, none of which is there."""
    path = tmp_path_factory.mktemp("molmo")
    model = tiny_molmo("moe", overlap_margins=[2, 0], max_crops=2)
    save_file({name: w.contiguous() for name, w in weights_of(model).items()}, path / "model.safetensors")
    word_tokenizer().save_pretrained(path)
    auto_map = {"AutoConfig": "config_molmo.MolmoConfig", "AutoModelForCausalLM": "modeling_molmo.Molmo"}
    settings = model.config.to_dict() | {"auto_map": auto_map}
    (path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    processor = {
        "auto_map": {
            "AutoProcessor": "preprocessing_molmo.MolmoProcessor",
            "AutoImageProcessor": "image_preprocessing_molmo.MolmoImageProcessor",
        },
        "processor_class": "MolmoProcessor",
    }
    (path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def checkpoint(folder):
    return load(folder)


def test_the_tiny_preset(preset):
    assert (preset.architecture, preset.has_vision, preset.num_parameters) == (
        "MolmoForCausalLM",
        True,
        1_405_792,
    )
    made = inputs(preset)
    # A 336x336 picture: the global crop and one magnified one, 144 tokens each.
    assert (made.num_vision_tokens, made.batch_size) == (288, 1)
    assert made.tensors.keys() == {"input_ids", "images", "image_masks", "image_input_idx"}
    assert made.tensors["images"].shape == (1, 2, 576, 588)
    assert int((made.tensors["image_input_idx"] >= 0).sum()) == 288
    assert made.num_input_text_tokens + 288 == made.tensors["input_ids"].shape[1]


def test_a_pass_over_the_tiny_preset(preset):
    class Watch:
        def __init__(self):
            self.phases = []

        def begin(self):
            pass

        end = begin

        def enter(self, phase):
            self.phases.append(phase)

        def leave(self, phase):
            pass

    watch = Watch()
    tokens = GreedyPass(preset.model, inputs(preset, prompt_tokens=40)).run(3, watch)
    assert tokens.shape == (1, 4)
    assert watch.phases == ["prefill", "vision", "projector", "projector", "decode", "decode", "decode"]
    made = inputs(preset, prompt_tokens=40)
    generated = preset.model.generate(**made.tensors, max_new_tokens=4, do_sample=False)
    assert torch.equal(generated[:, -4:], tokens)


def test_text_alone_on_the_preset(preset):
    made = inputs(preset, image="none", prompt_tokens=12)
    assert made.tensors.keys() == {"input_ids"}
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (12, 0)


@pytest.mark.parametrize("count", [1, 28, 29, 60])
def test_synthetic_prompts_have_exactly_as_many_text_tokens(preset, count):
    made = inputs(preset, prompt_tokens=count, batch_size=2)
    assert (made.num_input_text_tokens, made.num_vision_tokens, made.batch_size) == (count, 288, 2)
    assert made.tensors["input_ids"].shape == (2, count + 288)
    index, ids = made.tensors["image_input_idx"], made.tensors["input_ids"]
    places = index[index >= 0].view(2, -1)
    assert (ids.gather(1, places) == preset.model.config.image_token_id).all()
    with torch.inference_mode():
        assert preset.model(**made.tensors).logits.isfinite().all()


def test_a_larger_picture_has_more_crops(preset, tmp_path):
    Image.new("RGB", (640, 480), (9, 9, 9)).save(tmp_path / "large.png")
    made = inputs(preset, image=str(tmp_path / "large.png"))
    assert made.num_vision_tokens == 704
    assert made.tensors["images"].shape[1] == 7


def test_a_checkpoint_loads_without_its_code(checkpoint, folder):
    assert (checkpoint.architecture, checkpoint.source, checkpoint.has_vision) == (
        "MolmoForCausalLM",
        "directory",
        True,
    )
    assert checkpoint.processor is None
    assert checkpoint.tokenizer is not None
    # Nor with leave to run it.
    assert load(folder, trust_remote_code=True).architecture == "MolmoForCausalLM"


def test_a_checkpoint_s_inputs_go_through_its_tokenizer_and_its_settings(checkpoint):
    made = inputs(checkpoint, prompt="the quick fox .")
    config, ids = checkpoint.model.config, made.tensors["input_ids"][0]
    words = ["User", ":", "the", "quick", "fox", ".", "Assistant", ":"]
    tokenizer = checkpoint.tokenizer
    assert ids[-8:].tolist() == tokenizer.convert_tokens_to_ids(words)
    assert ids[0] == SPECIAL.index("<s>")
    assert ids[1] == config.image_start_id
    assert made.num_vision_tokens == int((ids == config.image_token_id).sum()) == 8
    # Margins and the most crops are the config's.
    assert made.tensors["images"].shape == (1, 2, 16, 588)


def test_too_few_tokens_for_the_frame_of_a_checkpoint_s_picture(checkpoint):
    with pytest.raises(ConfigError, match="already puts 9 text tokens around an image, so 8 is too few"):
        inputs(checkpoint, prompt_tokens=8)
    made = inputs(checkpoint, prompt_tokens=9)
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (9, 8)


def test_an_incomplete_checkpoint_is_one_sentence(folder, tmp_path):
    for file in folder.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"the checkpoint lacks weight lm_head\.weight") as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)


def test_more_crops_give_more_tokens(preset):
    one, four = (inputs(preset, num_crops=crops).num_vision_tokens for crops in (1, 4))
    # Overlapping crops share tokens at their seams: (crops + 1) * 144 is the most.
    assert one == 2 * 144
    assert one < four <= 5 * 144
