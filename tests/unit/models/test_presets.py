import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from maskprof.errors import ModelError
from maskprof.models.presets import PRESETS, Preset, preset_config

# As counted in the published checkpoints.
PUBLISHED = {
    "gemma-3-1b": 999_885_952,
    "gpt2": 124_439_808,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "mistral-7b": 7_248_023_552,
    "molmo-7b-d": 8_021_025_280,
    "molmo-7b-o": 7_665_032_192,
    "molmoe-1b": 7_221_875_712,
    "olmo-2-1b": 1_484_916_736,
    "olmoe-1b-7b": 6_919_161_856,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "smollm2-135m": 134_515_008,
}


def on_meta(preset: Preset):
    auto_class = AutoModelForImageTextToText if preset.has_vision else AutoModelForCausalLM
    with torch.device("meta"):
        return auto_class.from_config(preset_config(preset))


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_built_model_has_the_size_that_the_preset_states(preset):
    model = on_meta(preset)
    assert sum(parameter.numel() for parameter in model.parameters()) == preset.num_parameters
    assert model.config.get_text_config().num_hidden_layers == preset.num_blocks
    assert model.config.model_type == preset.model_type
    assert preset.num_parameters == PUBLISHED.get(preset.name, preset.num_parameters)


def test_names_are_what_the_command_line_takes():
    assert all(name == preset.name == name.lower() and " " not in name for name, preset in PRESETS.items())
    assert PRESETS["molmo2-tiny"].has_vision
    assert PUBLISHED.keys() <= PRESETS.keys()


def test_molmoe_has_the_shape_of_the_released_model():
    config = preset_config(PRESETS["molmoe-1b"])
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (2048, 16, 16)
    assert (config.num_experts, config.num_experts_per_tok, config.intermediate_size) == (64, 8, 2048)
    assert (config.vision_config.hidden_size, config.vision_config.num_hidden_layers) == (1024, 23)


def test_building_a_configuration_leaves_the_preset_as_it_was():
    before = repr(PRESETS["molmo2-tiny"])
    preset_config(PRESETS["molmo2-tiny"]).text_config.hidden_size = 7
    assert repr(PRESETS["molmo2-tiny"]) == before


def test_a_preset_that_this_transformers_does_not_know_is_told():
    later = replace(PRESETS["molmo2-tiny"], model_type="molmo9")
    with pytest.raises(ModelError, match=r"is a model of type molmo9, which transformers \d.* does not know"):
        preset_config(later)


def test_listing_and_locating_need_neither_torch_nor_transformers():
    code = (
        "import sys\n"
        "from maskprof.config.schema import RunConfig\n"
        "from maskprof.models.locate import check_model_path\n"
        "from maskprof.models.pictures import open_picture\n"
        "check_model_path(RunConfig(model_path='demo'))\n"
        "open_picture(None)\n"
        "assert not {'torch', 'transformers', 'numpy'} & sys.modules.keys(), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
