"""The settings of a run to its configurations: masks, ways and knobs."""

import pytest

from maskprof.config.knobs import Knobs
from maskprof.config.schema import RunConfig
from maskprof.errors import MaskError
from maskprof.results.configurations import configurations_of


def names(total=16, **settings):
    return [configuration.name for configuration in configurations_of(RunConfig(**settings), total)]


def test_every_count_is_the_default():
    assert names(3) == ["first-01-of-03", "first-02-of-03", "first-03-of-03"]


def test_one_value_of_a_knob_is_no_part_of_the_name():
    configurations = configurations_of(RunConfig(num_active_blocks=(4,), num_crops=(9,), moe_top_k=(2,)), 16)
    assert [c.name for c in configurations] == ["first-04-of-16"]
    assert configurations[0].knobs == Knobs(num_crops=9, moe_top_k=2, max_new_tokens=10)


def test_every_combination_has_its_name():
    found = names(num_active_blocks=(4, 16), num_crops=(1, 4), max_new_tokens=(1, 64))
    assert found == [
        "first-04-of-16-crops01-new0001",
        "first-16-of-16-crops01-new0001",
        "first-04-of-16-crops01-new0064",
        "first-16-of-16-crops01-new0064",
        "first-04-of-16-crops04-new0001",
        "first-16-of-16-crops04-new0001",
        "first-04-of-16-crops04-new0064",
        "first-16-of-16-crops04-new0064",
    ]


def test_the_way_of_skipping_comes_before_the_knobs():
    found = names(num_active_blocks=(4,), skip_mode=("mask", "remove"), moe_top_k=(2, 4))
    assert found == [
        "first-04-of-16-mask-virtual-host-topk02",
        "first-04-of-16-remove-topk02",
        "first-04-of-16-mask-virtual-host-topk04",
        "first-04-of-16-remove-topk04",
    ]


def test_an_early_exit_of_other_blocks_is_left_out_of_a_sweep():
    found = names(active_block_indices=((0, 1), (2, 3)), skip_mode=("mask", "early_exit"), moe_top_k=(2, 4))
    assert len(found) == 6
    with pytest.raises(MaskError, match="early_exit keeps the first blocks only"):
        names(active_block_indices=((2, 3),), skip_mode=("early_exit",))
