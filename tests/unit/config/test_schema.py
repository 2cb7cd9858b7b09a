"""RunConfig refuses what cannot be meant, and names the flag."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from maskprof.config.knobs import Knobs
from maskprof.config.schema import RunConfig, Variant
from maskprof.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "--num_samples: needs a whole number of at least 1, got 0"),
        ({"num_samples": 1.5}, "--num_samples: needs a whole number of at least 1, got 1.5"),
        ({"num_samples": True}, "--num_samples: needs a whole number of at least 1, got True"),
        ({"max_new_tokens": (10, 0)}, "--max_new_tokens: needs a whole number of at least 1, got 0"),
        ({"batch_size": -2}, "--batch_size: needs a whole number of at least 1, got -2"),
        ({"trace_steps": 0}, "--trace_steps: needs a whole number of at least 1, got 0"),
        ({"num_warmup": -1}, "--num_warmup: needs a whole number of at least 0, got -1"),
        ({"seed": -1}, "--seed: needs a whole number of at least 0, got -1"),
        ({"num_active_blocks": (4, 0)}, "--num_active_blocks: needs a whole number of at least 1, got 0"),
        ({"fractions": (0.0,)}, "--fractions: a share of blocks is above 0 and at most 1, got 0.0"),
        ({"fractions": (1.01,)}, "--fractions: a share of blocks is above 0 and at most 1, got 1.01"),
        ({"fractions": (float("nan"),)}, "--fractions: a share of blocks is above 0 and at most 1, got nan"),
        (
            {"active_block_indices": ((),)},
            "--active_block_indices: at least one block must stay active, got none",
        ),
        (
            {"active_block_indices": ((0, -1),)},
            "--active_block_indices: needs a whole number of at least 0, got -1",
        ),
        ({"active_block_indices": ((0, 3, 3),)}, "--active_block_indices: block 3 is given twice"),
        ({"max_new_tokens": ()}, "--max_new_tokens: needs a whole number of at least 1, got none"),
        ({"num_crops": (0,)}, "--num_crops: needs a whole number of at least 1, got 0"),
        ({"moe_top_k": (2, -1)}, "--moe_top_k: needs a whole number of at least 1, got -1"),
        (
            {"num_crops": (4,), "image": "none"},
            "--num_crops: there are crops of a picture only, and --image none leaves it out",
        ),
        ({"prompt_tokens": (0,)}, "--prompt_tokens: needs a whole number of at least 1, got 0"),
        (
            {"prompt_tokens": (5,), "prompt": "hi"},
            "--prompt and --prompt_tokens exclude each other: give one of them",
        ),
        ({"closure_samples": -1}, "--closure_samples: needs a whole number of at least 0, got -1"),
        ({"strategy": "every"}, "--strategy: 'every' is not one of first, last, middle, uniform, random"),
        (
            {"skip_mode": ("mask", "jump")},
            "--skip_mode: 'jump' is not one of mask, splice, remove, early_exit",
        ),
        ({"skip_mode": ()}, "--skip_mode: needs one of mask, splice, remove, early_exit, got none"),
        ({"dummy_cache": ("ones",)}, "--dummy_cache: 'ones' is not one of zeros, virtual"),
        ({"mask_on": ("disk",)}, "--mask_on: 'disk' is not one of host, cpu, device"),
        ({"dtype": "int8"}, "--dtype: 'int8' is not one of float32, bfloat16, float16"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ConfigError) as caught:
        RunConfig(**settings)
    assert str(caught.value) == message


def test_settings_do_not_change():
    with pytest.raises(FrozenInstanceError):
        RunConfig().seed = 1


def test_the_trace_folder_takes_the_name_of_the_results():
    assert RunConfig().resolved_trace_dir == Path("traces/transformer_blocks_mask")
    assert RunConfig(output_dir="/a/b/").resolved_trace_dir == Path("traces/b")
    assert RunConfig(trace_dir="/t").resolved_trace_dir == Path("/t")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 20), ({"num_samples": 5}, 5), ({"closure_samples": 0}, 0), ({"closure_samples": 70}, 70)],
)
def test_closure_samples(settings, expected):
    assert RunConfig(**settings).resolved_closure_samples == expected


def test_variants_are_the_combinations_that_differ():
    config = RunConfig(
        skip_mode=("mask", "remove"), dummy_cache=("zeros", "virtual"), mask_on=("host", "cpu")
    )
    assert [variant.name for variant in config.variants] == [
        "mask-zeros-host",
        "mask-zeros-cpu",
        "mask-virtual-host",
        "mask-virtual-cpu",
        "remove",
    ]
    assert RunConfig().variants == (Variant(),)


def test_knobs_are_every_combination_once():
    config = RunConfig(num_crops=(4, 1, 4), moe_top_k=(2,), max_new_tokens=(1, 16))
    assert [(k.num_crops, k.prompt_tokens, k.moe_top_k, k.max_new_tokens) for k in config.knobs] == [
        (4, None, 2, 1),
        (4, None, 2, 16),
        (1, None, 2, 1),
        (1, None, 2, 16),
    ]
    assert RunConfig().knobs == (Knobs(max_new_tokens=10),)


def test_settings_are_plain_values():
    settings = RunConfig(active_block_indices=((0, 1),)).to_dict()
    assert json.loads(json.dumps(settings))["active_block_indices"] == [[0, 1]]
    assert RunConfig(**settings) == RunConfig(active_block_indices=((0, 1),))
