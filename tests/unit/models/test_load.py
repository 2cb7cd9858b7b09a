import importlib.util
import json
import logging
import os
from pathlib import Path

import pytest
import torch
from transformers import T5Config
from transformers.utils import logging as library_logging

from maskprof.config.schema import RunConfig
from maskprof.errors import ConfigError, ModelError
from maskprof.models import load
from maskprof.models.load import default_dtype, load_model, resolve_device
from maskprof.models.locate import ModelLocation, check_model_path
from tests.unit.models.checkpoints import save_gpt2, save_llama, save_llava, tiny_llama, write_gguf

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7]])


def load_path(path, **settings):
    return load_model(RunConfig(model_path=str(path), **settings), CPU)


def locate(path):
    return check_model_path(RunConfig(model_path=path if path is None else str(path)))


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_hub(monkeypatch):
    monkeypatch.setattr(load, "_hub_answers", lambda: False)


# Where a path points


def test_no_path_is_checkpoints_where_that_is_a_directory_else_the_demo(in_tmp):
    assert locate(None) == ModelLocation(source="preset", name="molmoe-tiny")
    save_llama(in_tmp / "checkpoints")
    assert locate(None) == ModelLocation(source="directory", name="checkpoints", path=Path("checkpoints"))


def test_an_existing_directory_comes_before_a_preset_of_its_name(in_tmp):
    assert locate("gpt2").source == "preset"
    save_gpt2(in_tmp / "gpt2")
    assert locate("gpt2").source == "directory"


def test_names_that_are_neither_path_nor_preset_are_the_hub_s(in_tmp):
    assert locate("Llama-3.2-1B").name == "llama-3.2-1b"
    assert locate("meta-llama/Llama-3.2-1B") == ModelLocation(source="hub", name="meta-llama/Llama-3.2-1B")
    assert locate("bert-base").source == "hub"


@pytest.mark.parametrize(
    "path", ["./none", "../none", "/none/at/all", "~/none-at-all", "a/b/c", "model.gguf", ""]
)
def test_a_path_that_is_not_there_is_told_at_once(in_tmp, path):
    with pytest.raises(ModelError, match=r"does not exist|is neither a directory"):
        locate(path)


def test_a_directory_without_config_is_no_checkpoint(in_tmp):
    (in_tmp / "empty").mkdir()
    with pytest.raises(ModelError, match=r"'empty' has no config.json, so it is no Hugging Face checkpoint$"):
        locate("empty")
    (in_tmp / "empty" / "model.Q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"give empty/model.Q4.gguf"):
        locate("empty")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not valid JSON"),
        ("[1]", "does not hold a JSON object"),
        ("{}", "no weights"),
        ("\xff", "not valid JSON"),
    ],
)
def test_a_directory_with_a_useless_config_is_no_checkpoint(in_tmp, content, sentence):
    (in_tmp / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=sentence):
        locate(in_tmp)


def test_files_that_are_no_gguf(in_tmp):
    (in_tmp / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match=r"'notes.txt' is no model: give a directory"):
        locate("notes.txt")
    (in_tmp / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="is not a GGUF file: it begins with"):
        locate("x.gguf")
    (in_tmp / "x.gguf").write_bytes(b"")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        locate("x.gguf")


def test_missing_gguf_packages_are_named_with_the_extra(in_tmp, monkeypatch):
    (in_tmp / "x.gguf").write_bytes(b"GGUF")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else found(name))
    with pytest.raises(ConfigError, match=r"needs the package gguf: pip install 'maskprof\[gguf\]'"):
        locate("x.gguf")


# Devices


def test_devices():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert default_dtype(CPU) is torch.float32
    assert default_dtype(torch.device("cuda")) is torch.bfloat16


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "mps"])
def test_unknown_devices_are_told(name):
    with pytest.raises(ConfigError, match=r"--device: '.*' is not one of auto, cpu, cuda"):
        resolve_device(name)


def test_absent_devices_are_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="'cuda:1' is not available"):
        resolve_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match=r"the last of 2 CUDA devices is cuda:1"):
        resolve_device("cuda:2")


# Loading


def test_the_demo_is_built_from_the_seed_and_leaves_the_caller_s_random_numbers_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    loaded = load_path("molmo2-tiny", dtype="bfloat16", seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert (loaded.name, loaded.source, loaded.dtype, loaded.has_vision) == (
        "molmo2-tiny",
        "preset",
        "bfloat16",
        True,
    )
    assert loaded.architecture == "Molmo2ForConditionalGeneration"
    assert loaded.num_parameters == 3_208_128
    assert (loaded.tokenizer, loaded.processor) == (None, None)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())

    same, other = (
        load_path("molmo2-tiny", dtype="bfloat16", seed=3),
        load_path("molmo2-tiny", dtype="bfloat16", seed=4),
    )
    assert torch.equal(same.model.lm_head.weight, loaded.model.lm_head.weight)
    assert not torch.equal(other.model.lm_head.weight, loaded.model.lm_head.weight)


def test_a_directory_gives_its_weights_and_tokenizer(tmp_path):
    model = save_llama(tmp_path / "tiny")
    loaded = load_path(tmp_path / "tiny", attn_implementation="eager")
    assert (loaded.name, loaded.source, loaded.architecture) == ("tiny", "directory", "LlamaForCausalLM")
    assert (loaded.dtype, loaded.has_vision, loaded.processor) == ("float32", False, None)
    assert loaded.tokenizer("quick fox")["input_ids"] == [5, 7]
    assert loaded.model.config._attn_implementation == "eager"
    with torch.inference_mode():
        assert torch.allclose(loaded.model(IDS).logits, model(IDS).logits, atol=1e-5)


def test_a_directory_without_tokenizer_has_none(tmp_path):
    save_gpt2(tmp_path)  # transformers would make up an empty GPT-2 tokenizer
    assert load_path(tmp_path).tokenizer is None


def test_a_vision_language_directory_gives_model_and_processor(tmp_path):
    save_llava(tmp_path)
    loaded = load_path(tmp_path)
    assert loaded.has_vision
    assert loaded.architecture == "LlavaForConditionalGeneration"
    assert loaded.tokenizer is loaded.processor.tokenizer


def test_a_vision_language_directory_without_processor_runs_text_only(tmp_path):
    save_llava(tmp_path, processor=False)
    with pytest.raises(
        ModelError, match=r"has no processor for pictures .*--image none runs its language model alone"
    ):
        load_path(tmp_path)
    loaded = load_path(tmp_path, image="none")
    assert loaded.processor is None
    assert loaded.tokenizer is not None


def test_a_gguf_file_gives_the_same_model(tmp_path):
    model = write_gguf(tmp_path / "tiny.gguf")
    loaded = load_path(tmp_path / "tiny.gguf")
    assert (loaded.name, loaded.source, loaded.architecture) == ("tiny.gguf", "gguf", "LlamaForCausalLM")
    assert loaded.tokenizer is not None
    with torch.inference_mode():
        assert torch.allclose(loaded.model(IDS).logits, model(IDS).logits, atol=1e-5)


def test_loading_is_quiet_and_leaves_logging_as_it_was(tmp_path, capfd):
    write_gguf(tmp_path / "tiny.gguf")
    before = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    load_path(tmp_path / "tiny.gguf")
    assert (library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.skipif("MASKPROF_SMOLLM2_GGUF" not in os.environ, reason="MASKPROF_SMOLLM2_GGUF names no file")
def test_smollm2_knows_paris():
    loaded = load_path(os.environ["MASKPROF_SMOLLM2_GGUF"])
    ids = torch.tensor([loaded.tokenizer("The capital of France is")["input_ids"]])
    with torch.inference_mode():
        assert loaded.tokenizer.decode(loaded.model(ids).logits[0, -1].argmax()) == " Paris"
    assert loaded.num_parameters == 134_515_008


# What cannot be loaded


def test_missing_weights_are_drawn_and_told(tmp_path, caplog):
    model = tiny_llama()
    weights = model.state_dict()
    del weights["model.layers.1.mlp.up_proj.weight"]
    model.save_pretrained(tmp_path, state_dict=weights)
    with caplog.at_level(logging.WARNING, logger="maskprof"):
        load_path(tmp_path)
    assert "1 weights are not in the checkpoint" in caplog.text
    assert "model.layers.1.mlp.up_proj.weight" in caplog.text


def test_damaged_weights_are_told(tmp_path):
    save_llama(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="is a checkpoint that cannot be loaded: "):
        load_path(tmp_path)


def test_a_damaged_tokenizer_is_told(tmp_path, monkeypatch):
    save_llama(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="is a checkpoint that cannot be loaded: "):
        load_path(tmp_path)

    class PanicError(BaseException):
        """As tokenizers' Rust code raises it."""

    def panic(*_arguments, **_named):
        message = "range end index 2 out of range"
        raise PanicError(message)

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", panic)
    with pytest.raises(ModelError, match="cannot be loaded: range end index 2 out of range"):
        load_path(tmp_path)


def test_a_damaged_gguf_is_told(tmp_path):
    write_gguf(tmp_path / "x.gguf")
    data = (tmp_path / "x.gguf").read_bytes()
    (tmp_path / "x.gguf").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"'x.gguf' is a GGUF file that cannot be loaded: "):
        load_path(tmp_path / "x.gguf")


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_an_unknown_architecture_is_told(tmp_path):
    save_llama(tmp_path)
    change_config(tmp_path, model_type="zork")
    with pytest.raises(ModelError, match="`zork`") as caught:
        load_path(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_wrong_setting_in_a_config_is_told(tmp_path):
    save_llama(tmp_path)
    change_config(tmp_path, hidden_size="wide")
    with pytest.raises(ModelError, match="hidden_size"):
        load_path(tmp_path)


def test_own_code_is_not_run_unasked(tmp_path):
    save_llama(tmp_path)
    change_config(
        tmp_path,
        model_type="zork",
        auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    )
    (tmp_path / "own.py").write_text("raise SystemExit('this ran')\n")
    with pytest.raises(
        ModelError, match="needs its own Python code, which runs only with --trust_remote_code"
    ):
        load_path(tmp_path)


def test_own_code_runs_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    save_llama(tmp_path / "m")
    change_config(
        tmp_path / "m",
        model_type="zork",
        auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    )
    (tmp_path / "m" / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class Config(LlamaConfig):\n    model_type = 'zork'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
    )
    loaded = load_path(tmp_path / "m", trust_remote_code=True)
    assert (loaded.architecture, loaded.num_parameters) == (
        "Model",
        sum(p.numel() for p in tiny_llama().parameters()),
    )


def test_encoder_decoders_are_refused(tmp_path):
    save_llama(tmp_path)
    T5Config(d_model=8, num_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="'t5' is neither a causal language model nor an image-text-to-text"):
        load_path(tmp_path)


def test_an_unknown_attention_is_told(tmp_path):
    save_llama(tmp_path)
    with pytest.raises(ConfigError, match="--attn_implementation: 'zork' cannot be used"):
        load_path(tmp_path, attn_implementation="zork")


@pytest.mark.usefixtures("no_hub")
def test_a_hub_name_that_cannot_be_had_names_the_presets():
    with pytest.raises(
        ModelError, match=r"'nobody/nothing' is no directory and no preset.*presets are molmoe-tiny, "
    ) as caught:
        load_path("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_a_preset_too_large_for_the_machine_is_refused(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}[name])
    with pytest.raises(
        ModelError, match=r"llama-3.2-1b needs 4.9 GB for its weights in float32.*try --dtype bfloat16"
    ):
        load_path("llama-3.2-1b")
