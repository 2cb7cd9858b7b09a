import json
import math
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from maskprof.errors import ModelError
from maskprof.models.molmo import MolmoConfig, MolmoForCausalLM, MolmoModel
from maskprof.models.molmo.names import published_shapes, published_state_dict
from maskprof.models.presets import PRESETS, preset_config
from tests.support.molmo_models import CONFIGS, text_inputs, tiny_molmo
from tests.support.molmo_reference import weights_of


@pytest.fixture(params=CONFIGS)
def kind(request):
    return request.param


@pytest.mark.parametrize("norm_after", [False, True])
def test_a_dense_model_under_nested_names(norm_after, tmp_path):
    nested = tiny_molmo("dense", nested_names=True, norm_after=norm_after)
    flat = tiny_molmo("dense", norm_after=norm_after)
    weights = {
        name.replace(".attn.", ".").replace(".mlp.", ".").replace("lm_head", "model.transformer.ff_out"): w
        for name, w in nested.state_dict().items()
    }
    flat.load_state_dict(weights)
    assert torch.equal(logits(flat), logits(nested))
    nested.save_pretrained(tmp_path)
    assert torch.equal(logits(MolmoForCausalLM.from_pretrained(tmp_path)), logits(nested))


@pytest.fixture
def saved(kind, tmp_path):
    """A checkpoint as published: its names and its config's dialect, written without the model's own code."""
    model = tiny_molmo(kind)
    save_file({name: w.contiguous() for name, w in weights_of(model).items()}, tmp_path / "model.safetensors")
    settings = model.config.to_dict() | {
        "auto_map": {"AutoConfig": "config_molmo.MolmoConfig", "AutoModelForCausalLM": "modeling.Molmo"}
    }
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path, model


def logits(model):
    with torch.inference_mode():
        return model(**text_inputs()).logits


@pytest.mark.parametrize(("name", "tensors"), [("molmoe-1b", 3573), ("molmo-7b-d", 585), ("molmo-7b-o", 645)])
def test_true_shapes_have_the_published_number_of_tensors(name, tensors):
    shapes = published_shapes(preset_config(PRESETS[name]))
    assert len(shapes) == tensors
    assert sum(map(math.prod, shapes.values())) == PRESETS[name].num_parameters


def test_the_stated_names_are_the_model_s(kind):
    model = tiny_molmo(kind)
    weights = weights_of(model)
    assert {name: tuple(w.shape) for name, w in weights.items()} == published_shapes(model.config)
    own = published_state_dict(model)
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[name], weights[name]) for name in own)


@pytest.mark.parametrize("auto", [AutoModelForCausalLM, AutoModelForImageTextToText, MolmoForCausalLM])
def test_a_published_checkpoint_loads_unchanged_and_without_its_code(saved, auto):
    folder, model = saved
    loaded = auto.from_pretrained(folder)
    assert type(loaded) is MolmoForCausalLM
    assert torch.equal(logits(loaded), logits(model))


def test_flat_names_under_a_config_of_the_training_code(tmp_path):
    model = tiny_molmo("dense")
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(
        MolmoConfig(**{**CONFIGS["dense"], "nested_names": True}).to_json_string(), encoding="utf-8"
    )
    assert MolmoConfig.from_pretrained(tmp_path).nested_names
    loaded = MolmoForCausalLM.from_pretrained(tmp_path)
    assert not loaded.config.nested_names
    assert torch.equal(logits(loaded), logits(model))


def test_published_names_load_into_a_bare_model(saved):
    folder, model = saved
    fresh = MolmoForCausalLM(MolmoConfig.from_pretrained(folder)).eval()
    report = fresh.load_state_dict(load_file(folder / "model.safetensors"))
    assert not report.missing_keys
    assert not report.unexpected_keys
    assert torch.equal(logits(fresh), logits(model))
    # And its own names as ever.
    fresh.load_state_dict(model.state_dict())


def test_what_is_saved_has_the_published_names_again(saved, tmp_path):
    folder, model = saved
    MolmoForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "again")
    before, after = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(logits(MolmoForCausalLM.from_pretrained(tmp_path / "again")), logits(model))


def test_a_model_that_was_never_loaded_saves_published_names_too(kind, tmp_path):
    model = tiny_molmo(kind)
    model.save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors").keys() == published_shapes(model.config).keys()


def sharded(folder, shards=3):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    where = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        save_file({name: weights[name] for name in names[shard::shards]}, folder / file)
        where |= dict.fromkeys(names[shard::shards], file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where}), encoding="utf-8"
    )


def test_a_sharded_checkpoint_loads(saved):
    folder, model = saved
    sharded(folder)
    assert torch.equal(logits(MolmoForCausalLM.from_pretrained(folder)), logits(model))


def test_saving_in_shards(kind, tmp_path):
    model = tiny_molmo(kind)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(MolmoForCausalLM.from_pretrained(tmp_path)), logits(model))


def changed(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def a_block_weight(folder):
    return next(name for name in load_file(folder / "model.safetensors") if ".blocks.1." in name)


def test_a_missing_weight_is_refused(saved):
    folder, _ = saved
    name = a_block_weight(folder)
    changed(folder, lambda weights: weights.pop(name))
    with pytest.raises(ModelError, match=f"the checkpoint lacks weight {name} for the Molmo model"):
        MolmoForCausalLM.from_pretrained(folder)


def test_an_unexpected_weight_is_refused(saved):
    folder, _ = saved
    changed(folder, lambda weights: weights.update({"model.extra": torch.zeros(1)}))
    with pytest.raises(ModelError, match=r"has unexpected weight model\.extra"):
        MolmoForCausalLM.from_pretrained(folder)


def test_a_weight_of_another_shape_is_refused(saved):
    folder, _ = saved
    name = a_block_weight(folder)
    changed(folder, lambda weights: weights.update({name: torch.zeros(3, 3)}))
    with pytest.raises(ModelError, match=rf"{name} has shape \(3, 3\), but its config\.json asks for"):
        MolmoForCausalLM.from_pretrained(folder)


def test_a_missing_shard_is_refused(saved):
    folder, _ = saved
    sharded(folder)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model-00002-of-00003\.safetensors is missing"):
        MolmoForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {}}'])
def test_an_index_that_is_none_is_refused(saved, content):
    folder, _ = saved
    sharded(folder)
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match="this is no index of a sharded checkpoint"):
        MolmoForCausalLM.from_pretrained(folder)


def test_a_damaged_file_is_refused(saved):
    folder, _ = saved
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(ModelError, match="this safetensors file is damaged"):
        MolmoForCausalLM.from_pretrained(folder)


def test_pytorch_files_are_held_to_the_same(saved):
    folder, model = saved
    (folder / "model.safetensors").unlink()
    weights = weights_of(model)
    torch.save(weights, folder / "pytorch_model.bin")
    assert torch.equal(logits(MolmoForCausalLM.from_pretrained(folder)), logits(model))
    torch.save(weights | {"model.extra": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"has unexpected weight model\.extra"):
        MolmoForCausalLM.from_pretrained(folder)


def test_the_bare_decoder_loads_from_a_full_checkpoint(saved):
    folder, model = saved
    loaded = MolmoModel.from_pretrained(folder)
    with torch.inference_mode():
        mine, whole = loaded(**text_inputs()), model.model(**text_inputs())
    assert torch.equal(mine.last_hidden_state, whole.last_hidden_state)


def test_importing_registers_with_the_auto_classes(saved):
    folder, _ = saved
    code = (
        "import maskprof.models.molmo, sys\n"
        "from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText\n"
        "config = AutoConfig.from_pretrained(sys.argv[1])\n"
        "for auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText):\n"
        "    print(type(auto.from_config(config)).__name__)\n"
        "print(type(AutoModelForCausalLM.from_pretrained(sys.argv[1])).__name__)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["MolmoModel", *["MolmoForCausalLM"] * 3]
