"""Masks are exact on architectures of every kind; with `-m slow`, on every one that transformers has."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch

from maskprof import BlockMask, BlockMaskWrapper, MaskError
from maskprof.cli.verdicts import summary
from maskprof.conformance import MASKS_PER_WAY, Verdict, check, masks_to_try
from maskprof.models.messages import quiet
from maskprof.models.tiny import Architecture, architectures, tiny_model
from maskprof.models.unsupported import NOT_SUPPORTED
from maskprof.skipping import in_place

PAGE = Path(__file__).parents[2] / "docs" / "models.md"

# model type: (where its blocks are, masks bit-exact, masks refused); the rest is exact within the bound.
DIVERSE = {
    "llama": ("model.layers", 15, 0),  # the plain case
    "gpt2": ("transformer.h", 15, 0),  # the cache as a positional argument
    "bloom": ("transformer.h", 15, 0),  # blocks that return tuples
    "gpt_neox": ("gpt_neox.layers", 15, 0),
    "bert": ("bert.encoder.layer", 15, 0),  # an encoder told to decode
    "bart": ("model.decoder.layers", 15, 0),  # the decoder of a pair
    "openai-gpt": ("transformer.h", 15, 0),  # no cache, blocks that return lists
    "gemma2": ("model.layers", 15, 0),  # sliding and full slots
    "llama4": ("language_model.model.layers", 15, 0),  # chunked slots
    "mixtral": ("model.layers", 15, 0),  # experts
    "qwen3_next": ("model.layers", 12, 0),  # linear and full slots
    "mamba2": ("backbone.layers", 15, 0),  # linear slots only
    "nemotron_h": ("model.layers", 8, 0),  # blocks without a slot
    "zamba2": ("model.layers", 12, 0),  # one transformer shared by blocks
    "minimax": ("model.layers", 10, 0),  # a cache of its own
    "longcat_flash": ("model.layers", 15, 0),  # two slots for each block
    "deepseek_v4": ("model.layers", 15, 0),  # compressed slots, several residual streams
    "glm_moe_dsa": ("model.layers", 15, 0),  # indices handed from block to block
    "hy_v4": ("model.layers", 13, 2),  # a block that needs another one's indexer
    "rwkv": ("rwkv.blocks", 8, 0),  # a state instead of a cache
    "xlstm": ("backbone.blocks", 15, 0),  # a state in the second argument
    "xlnet": ("transformer.layer", 15, 0),  # two streams, hidden states as memory
    "recurrent_gemma": ("model.layers", 8, 0),  # states in module attributes
    "musicgen": ("model.decoder.layers", 15, 0),  # several codebooks
    "idefics": ("model.layers", 1, 0),  # layers between the blocks
    "mllama": ("model.language_model.layers", 11, 0),  # blocks that the model itself leaves out
    "unlimited_ocr": ("model.language_model.layers", 15, 0),  # a slot class of the model's own
}
# With settings that the default configurations do not have.
SPECIAL = {
    "shared keys and values": ("gemma3n_text", {"num_kv_shared_layers": 2}, 9, 6),
    "sources of keys and values": (
        "mistral_large4",
        {"kv_source_layers": [0, 0, 2, 2], "no_rope_layers": [1, 1, 0, 0]},
        8,
        7,
    ),
    "shared indexers": ("glm_moe_dsa", {"indexer_types": ["full", "shared", "full", "shared"]}, 10, 5),
}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with quiet():
        yield
    torch.set_num_threads(threads)


@cache
def checked(model_type):
    return check(named(model_type))


def named(model_type):
    # Of two entries, the larger model is that of the pictures.
    return next(one for one in reversed(architectures()) if one.model_type == model_type)


def test_the_masks_are_those_that_tell():
    masks = masks_to_try(4)
    assert len(masks) == len(set(masks)) == 15
    assert {str(mask) for mask in masks} >= {
        "1111",
        "1100",
        "0011",
        "0110",
        "1001",
        "1000",
        "0111",
        "1010",
        "0101",
    }
    assert all(mask.num_active for total in range(1, 7) for mask in masks_to_try(total))


@pytest.mark.parametrize("model_type", DIVERSE)
def test_masks_are_exact(model_type):
    path, bit_exact, refused = DIVERSE[model_type]
    verdict = checked(model_type)
    if verdict.outcome == "unavailable":
        pytest.skip(verdict.reason)
    assert verdict.outcome == "exact", verdict.reason
    assert (verdict.path, verdict.bit_exact, verdict.masks_refused) == (path, bit_exact, refused)
    assert verdict.bit_exact + verdict.within_bound + verdict.masks_refused == len(masks_to_try(4))
    assert bool(verdict.reason) == bool(refused)


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "qwen3_next", "longcat_flash", "zamba2"])
def test_every_way_to_run_is_exact(model_type):
    ways = checked(model_type).ways
    assert ways == dict.fromkeys(("left padding", "generate", "static cache", "beam search"), MASKS_PER_WAY)


@pytest.mark.parametrize("case", SPECIAL)
def test_masks_are_exact_or_refused_where_blocks_share(case):
    model_type, settings, bit_exact, refused = SPECIAL[case]
    verdict = check(named(model_type), settings=settings)
    assert verdict.outcome == "exact", verdict.reason
    assert (verdict.bit_exact, verdict.within_bound, verdict.masks_refused) == (bit_exact, 0, refused)
    assert re.search(r"block \d .* would have to stay on", verdict.reason)


@pytest.mark.parametrize("model_type", ["blt", "diffusion_gemma", "florence2", "hrm_text", "reformer", "xlm"])
def test_models_that_are_not_supported_are_refused(model_type):
    model = tiny_model(named(model_type))
    with pytest.raises(MaskError) as caught:
        BlockMaskWrapper(model, BlockMask.first(2, 4))
    assert str(caught.value) == f"{type(model).__name__} cannot be masked: it {NOT_SUPPORTED[model_type]}"


def test_what_is_not_supported_says_why():
    verdict = check(named("reformer"))
    assert (verdict.outcome, verdict.reason) == ("refused", "it has reversible blocks over two streams")
    absent = Architecture(model_type="llama", task="causal-lm", class_name="AbsentForCausalLM")
    assert check(absent).outcome == "unavailable"


def test_a_cache_that_is_not_kept_right_is_noticed(monkeypatch):
    monkeypatch.setattr(in_place, "advance", lambda *_args, **_kwargs: None)
    verdict = check(named("llama"))
    assert verdict.outcome == "inexact"
    assert verdict.reason == "mask 0011 does not give what the model without the blocks gives"


def test_a_cache_that_is_not_kept_right_is_noticed_without_a_smaller_model(monkeypatch):
    monkeypatch.setattr(in_place, "advance", lambda *_args, **_kwargs: None)
    architecture = named("idefics")
    verdict = check(architecture)
    assert verdict.outcome == "inexact"
    assert re.fullmatch(r"mask \d+: cached steps differ by \S+ of the logits", verdict.reason)


def test_a_forward_that_fails_is_named(monkeypatch):
    def fail(*_args, **_kwargs):
        raise KeyError("slot")

    monkeypatch.setattr(in_place, "advance", fail)
    verdict = check(named("llama"))
    assert verdict.reason == "mask 1100 fails with KeyError: 'slot'"


def test_the_page_of_the_documentation_is_generated():
    """Its summary is what the code says of its own rows; whether they are those of today is for its command."""
    page = PAGE.read_text(encoding="utf-8")
    verdicts = []
    for line in page.splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if not line.startswith("| `"):
            continue
        one = Architecture(model_type=cells[0], task=cells[1], class_name="")
        if len(cells) == 4:
            verdicts.append(Verdict(architecture=one, outcome=cells[2], reason=cells[3]))
        else:
            bit_exact, within_bound, refused = map(int, cells[4:7])
            verdicts.append(
                Verdict(
                    architecture=one,
                    outcome=cells[3],
                    path=cells[2],
                    bit_exact=bit_exact,
                    within_bound=within_bound,
                    masks_refused=refused,
                )
            )
    assert len(verdicts) > 250
    assert summary(verdicts) in page.splitlines()
    assert "`maskprof models --check all --markdown docs/models.md`" in page


@pytest.mark.slow
def test_masks_are_exact_on_every_architecture():
    verdicts = [check(architecture) for architecture in architectures()]
    inexact = {one.architecture.class_name: one.reason for one in verdicts if one.outcome == "inexact"}
    assert inexact == {}
    assert sum(one.outcome == "exact" for one in verdicts) >= 256
    known = {one.architecture.model_type for one in verdicts}
    refused = {one.architecture.model_type for one in verdicts if one.outcome == "refused"}
    assert refused == known & NOT_SUPPORTED.keys()
    unavailable = [one.reason for one in verdicts if one.outcome == "unavailable"]
    assert all(re.search("a package is missing|cannot run in transformers", why) for why in unavailable)
    ways = [one.ways for one in verdicts if one.outcome == "exact"]
    for name in ("left padding", "generate", "static cache", "beam search"):
        assert sum(each.get(name, 0) >= MASKS_PER_WAY for each in ways) >= 235, name
