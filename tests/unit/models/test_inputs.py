import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, ModelError
from maskprof.models.inputs import make_inputs
from maskprof.models.load import LoadedModel, load_model
from maskprof.models.patches import cut_patches, pooling_windows
from maskprof.models.pictures import open_picture
from tests.unit.models.checkpoints import IMAGE_ID, SPECIAL, save_gemma3, save_gpt2, save_llama, save_llava

CPU = torch.device("cpu")


def load(path, **changes) -> LoadedModel:
    return load_model(RunConfig(model_path=str(path), **changes), CPU)


def inputs(loaded, *, num_crops=None, prompt_tokens=None, **changes):
    return make_inputs(loaded, RunConfig(**changes), CPU, num_crops=num_crops, prompt_tokens=prompt_tokens)


def forward(loaded, made):
    with torch.inference_mode():
        return loaded.model(**made.tensors, use_cache=True)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def demo():
    return load("molmo2-tiny")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    save_llama(folder)
    return load(folder)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    save_llava(folder)
    return load(folder)


# Text


def test_a_prompt_goes_through_the_tokenizer_as_plain_text(llama):
    made = inputs(llama, prompt="the quick fox .")
    assert made.tensors.keys() == {"input_ids"}  # the mask would be all ones
    assert made.tensors["input_ids"].tolist() == [[4, 5, 7, 12]]
    assert (made.num_input_text_tokens, made.num_vision_tokens, made.batch_size) == (4, 0, 1)


def test_the_default_text_is_ten_tokens(llama):
    assert inputs(llama).num_input_text_tokens == 10


def test_a_batch_has_equal_rows(llama):
    made = inputs(llama, prompt="a b c", batch_size=3)
    assert made.tensors["input_ids"].shape == (3, 3)
    assert (made.tensors["input_ids"] == made.tensors["input_ids"][0]).all()
    assert (made.num_input_text_tokens, made.batch_size) == (3, 3)


@given(count=st.integers(1, 100), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_synthetic_prompts_have_exactly_the_tokens_asked_for(llama, count, seed):
    ids = inputs(llama, prompt_tokens=count, seed=seed).tensors["input_ids"]
    assert ids.shape == (1, count)
    assert ids.min() >= len(SPECIAL)
    assert ids.max() < len(llama.tokenizer)
    assert torch.equal(ids, inputs(llama, prompt_tokens=count, seed=seed).tensors["input_ids"])


def test_without_tokenizer_each_word_and_mark_is_a_token(tmp_path):
    save_gpt2(tmp_path)
    loaded = load(tmp_path)
    assert inputs(loaded).num_input_text_tokens == 10
    assert inputs(loaded, prompt="Hello, world!").num_input_text_tokens == 4
    forward(loaded, inputs(loaded))


@pytest.mark.parametrize("prompt", ["", "  "])
def test_an_empty_prompt_is_told(llama, demo, prompt):
    with pytest.raises(ConfigError, match=r"--prompt: '\s*' gives no tokens"):
        inputs(llama, prompt=prompt)
    with pytest.raises(ConfigError, match=r"--prompt: '\s*' gives no tokens"):
        inputs(demo, prompt=prompt, image="none")


def test_a_prompt_longer_than_the_positions_is_told(llama):
    inputs(llama, prompt_tokens=118)
    with pytest.raises(
        ConfigError, match=r"--prompt_tokens: 119 input tokens and 10 new ones exceed the 128 positions"
    ):
        inputs(llama, prompt_tokens=119)


@pytest.mark.parametrize("image", ["cat.png", ""])
def test_an_image_for_a_text_model_is_told(llama, image):
    with pytest.raises(ConfigError, match=r"is a text model \(LlamaForCausalLM\) and takes no image"):
        inputs(llama, image=image)
    assert inputs(llama, image="none").num_vision_tokens == 0


# Pictures


def test_pictures(tmp_path):
    blue = open_picture(None)
    assert (blue.size, blue.mode, blue.getpixel((7, 9))) == ((336, 336), "RGB", (0, 0, 255))
    assert open_picture("none") is None
    Image.new("RGBA", (20, 30), (255, 0, 0, 128)).save(tmp_path / "x.png")
    assert open_picture(str(tmp_path / "x.png")).mode == "RGB"


def test_unreadable_pictures_are_told(tmp_path):
    with pytest.raises(ConfigError, match=r"--image: '.*none.png' does not exist"):
        open_picture(str(tmp_path / "none.png"))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(ConfigError, match="is no picture that can be read"):
        open_picture(str(tmp_path / "x.png"))
    with pytest.raises(ConfigError, match="is no picture that can be read"):
        open_picture(str(tmp_path))
    Image.new("RGB", (50, 50)).save(tmp_path / "y.jpg")
    (tmp_path / "y.jpg").write_bytes((tmp_path / "y.jpg").read_bytes()[:300])
    with pytest.raises(ConfigError, match="is no picture that can be read"):
        open_picture(str(tmp_path / "y.jpg"))


# The demo


def test_the_demo_takes_a_real_picture(demo, tmp_path):
    made = inputs(demo)
    assert (made.num_input_text_tokens, made.num_vision_tokens, made.batch_size) == (10, 144, 1)
    assert made.tensors["input_ids"].shape == (1, 154)
    assert made.tensors["pixel_values"].shape == (1, 576, 588)
    assert "attention_mask" not in made.tensors

    noise = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    other = inputs(demo, image=str(tmp_path / "noise.png"))
    assert torch.equal(other.tensors["input_ids"], made.tensors["input_ids"])
    assert not torch.equal(forward(demo, other).logits[:, -1], forward(demo, made).logits[:, -1])


def test_the_demo_decodes_from_its_cache(demo):
    output = forward(demo, inputs(demo))
    token = output.logits[:, -1:].argmax(-1)
    with torch.inference_mode():
        step = demo.model(input_ids=token, past_key_values=output.past_key_values, use_cache=True)
    assert step.logits.shape == (1, 1, 2048)
    assert step.past_key_values.get_seq_length() == 155


def test_rows_of_a_batch_see_their_own_picture(demo):
    one, three = inputs(demo), inputs(demo, batch_size=3)
    assert three.tensors["image_token_pooling"].shape == (3 * 144, 4)
    assert three.num_input_text_tokens == 10
    logits = forward(demo, three).logits
    assert torch.allclose(logits[2], forward(demo, one).logits[0], atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 32])
def test_the_demo_has_exactly_the_text_tokens_asked_for(demo, count):
    made = inputs(demo, prompt_tokens=count)
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (count, 144)
    forward(demo, made)


def test_the_demo_without_image_is_text_alone(demo):
    made = inputs(demo, image="none")
    assert made.tensors.keys() == {"input_ids"}
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (10, 0)


def test_floats_come_in_the_model_s_dtype():
    loaded = load("molmo2-tiny", dtype="bfloat16")
    made = inputs(loaded)
    assert made.tensors["pixel_values"].dtype is torch.bfloat16
    assert made.tensors["input_ids"].dtype is torch.int64
    forward(loaded, made)


def test_patches_hold_the_picture_row_by_row():
    values = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    patches = cut_patches(Image.fromarray(values), (4, 6), 2)
    assert patches.shape == (1, 6, 12)
    assert torch.equal(
        ((patches[0, 4] + 1) * 127.5).round().to(torch.uint8), torch.tensor(values[2:4, 2:4]).flatten()
    )


def test_pooling_windows_fill_up_an_odd_grid():
    windows, rows, columns = pooling_windows(3, 4)
    assert (rows, columns) == (2, 2)
    assert windows.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, -1, -1], [10, 11, -1, -1]]


# A checkpoint's processor


def test_a_processor_s_chat_template_is_used(llava):
    made = inputs(llava)
    ids = made.tensors["input_ids"][0]
    assert llava.tokenizer.decode(ids[ids != IMAGE_ID]) == "User : Describe this image . Assistant :"
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (8, 4)
    assert made.tensors["pixel_values"].shape == (1, 3, 28, 28)
    assert "attention_mask" not in made.tensors
    forward(llava, made)


def test_a_processor_without_template_gets_image_and_text(tmp_path):
    save_llava(tmp_path, template=None)
    loaded = load(tmp_path)
    made = inputs(loaded, prompt="the dog", batch_size=2)
    assert made.tensors["input_ids"].tolist() == [[IMAGE_ID] * 4 + [4, 11]] * 2
    assert made.tensors["pixel_values"].shape == (2, 3, 28, 28)
    assert (made.num_input_text_tokens, made.num_vision_tokens, made.batch_size) == (2, 4, 2)
    forward(loaded, made)


def test_only_what_image_features_replace_counts_as_vision(tmp_path):
    # Gemma 3's processor calls the mark before an image its image token.
    save_gemma3(tmp_path)
    loaded = load(tmp_path)
    made = inputs(loaded, prompt="the dog", batch_size=2)
    assert made.num_vision_tokens == 4
    assert made.tensors["token_type_ids"].sum(1).tolist() == [4, 4]
    longer = inputs(loaded, prompt_tokens=20)
    assert (longer.num_input_text_tokens, longer.num_vision_tokens) == (20, 4)
    assert longer.tensors["token_type_ids"].shape == longer.tensors["input_ids"].shape
    forward(loaded, longer)


@pytest.mark.parametrize("count", [4, 9])
def test_synthetic_text_beside_a_picture(llava, count):
    made = inputs(llava, prompt_tokens=count, batch_size=2)
    assert (made.num_input_text_tokens, made.num_vision_tokens, made.batch_size) == (count, 4, 2)
    forward(llava, made)


def test_fewer_tokens_than_the_template_has_are_told(llava):
    with pytest.raises(ConfigError, match="already puts 4 text tokens around an image, so 3 is too few"):
        inputs(llava, prompt_tokens=3)


def test_a_processor_without_image_runs_text_alone(llava):
    made = inputs(llava, image="none", prompt="a b")
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (2, 0)
    forward(llava, made)


def test_a_failing_processor_is_told(llava, monkeypatch):
    def fail(*_arguments, **_named):
        message = "Bad template. Read on at length"
        raise TypeError(message)

    monkeypatch.setattr(llava.processor, "apply_chat_template", fail)
    with pytest.raises(ModelError, match=r"the processor of .* fails on this picture: Bad template$"):
        inputs(llava)


# Crops


@pytest.mark.parametrize("crops", [1, 4, 6, 12])
def test_the_demo_has_144_tokens_per_crop_and_for_the_whole(demo, crops):
    made = inputs(demo, num_crops=crops, batch_size=2)
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (10, 144 * (crops + 1))
    assert made.tensors["pixel_values"].shape == (2 * (crops + 1), 576, 588)
    logits = forward(demo, made).logits
    assert torch.allclose(logits[0], logits[1], atol=1e-4)


def test_the_first_crop_is_the_whole_picture(demo):
    one, five = inputs(demo), inputs(demo, num_crops=4)
    assert torch.equal(one.tensors["pixel_values"][0], five.tensors["pixel_values"][0])
    assert torch.equal(one.tensors["image_token_pooling"], five.tensors["image_token_pooling"][:144])


def test_crops_and_synthetic_text_go_together(demo):
    made = inputs(demo, num_crops=4, prompt_tokens=32)
    assert (made.num_input_text_tokens, made.num_vision_tokens) == (32, 720)


def test_crops_that_do_not_fit_are_told(demo, llama, llava):
    with pytest.raises(ConfigError, match=r"--num_crops: .* exceed the 4096 positions of molmo2-tiny"):
        inputs(demo, num_crops=30)
    with pytest.raises(ConfigError, match=r"--num_crops: .* is a text model \(LlamaForCausalLM\)"):
        inputs(llama, num_crops=2)
    with pytest.raises(ConfigError, match="has neither a number of crops nor a limit of pixels"):
        inputs(llava, num_crops=2)
