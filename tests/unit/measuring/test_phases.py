import pytest
import torch

from maskprof.errors import ModelError
from maskprof.measuring.phases import GreedyPass
from maskprof.models.inputs import ModelInputs
from tests.support.tiny_models import tiny_model


class Notes:
    """A watch that writes down what it is told."""

    def __init__(self):
        self.heard = []

    def begin(self):
        self.heard.append("begin")

    def end(self):
        self.heard.append("end")

    def enter(self, phase):
        self.heard.append(f"+{phase}")

    def leave(self, phase):
        self.heard.append(f"-{phase}")


def inputs_of(**tensors):
    return ModelInputs(
        tensors=tensors,
        num_input_text_tokens=tensors["input_ids"].shape[1],
        num_vision_tokens=0,
        batch_size=tensors["input_ids"].shape[0],
    )


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "bloom", "qwen3_next"])
def test_the_tokens_are_those_of_generate(family):
    model = tiny_model(family)
    ids = torch.arange(3, 13).repeat(2, 1)
    expected = model.generate(ids, max_new_tokens=7, do_sample=False, eos_token_id=None, pad_token_id=0)
    tokens = GreedyPass(model, inputs_of(input_ids=ids)).run(6, Notes())
    assert torch.equal(tokens, expected[:, 10:])


def test_a_padded_batch_keeps_its_attention_mask():
    model = tiny_model("gpt2")
    ids = torch.arange(3, 13).repeat(2, 1)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    expected = model.generate(
        ids, attention_mask=mask, max_new_tokens=5, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    with torch.inference_mode():
        first = model(input_ids=ids, attention_mask=mask).logits[:, -1].argmax(-1)
    tokens = GreedyPass(model, inputs_of(input_ids=ids, attention_mask=mask)).run(4, Notes())
    assert tokens.shape == (2, 5)
    # generate() also shifts positions by the padding; the row without padding is comparable token by token.
    assert torch.equal(tokens[1], expected[1, 10:])
    assert torch.equal(tokens[:, 0], first)


def test_the_watch_hears_each_phase_in_order():
    model, watch = tiny_model("llama"), Notes()
    GreedyPass(model, inputs_of(input_ids=torch.arange(3, 8)[None])).run(2, watch)
    assert watch.heard == ["begin", "+prefill", "-prefill", *["+decode", "-decode"] * 2, "end"]


def test_prefill_alone():
    model, watch = tiny_model("llama"), Notes()
    tokens = GreedyPass(model, inputs_of(input_ids=torch.arange(3, 8)[None])).run(0, watch)
    assert tokens.shape == (1, 1)
    assert watch.heard == ["begin", "+prefill", "-prefill", "end"]


def test_a_model_that_returns_no_cache_cannot_decode():
    class Forgetful(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, input_ids, use_cache=False):
            output = self.inner(input_ids)
            output.past_key_values = None
            return output

    model = Forgetful(tiny_model("llama"))
    with pytest.raises(ModelError, match="returned no cache"):
        GreedyPass(model, inputs_of(input_ids=torch.arange(3, 8)[None])).run(1, Notes())
