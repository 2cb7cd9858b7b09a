"""Ranges in the modes that shorten the list: the same names as in mode `mask`, so that traces can be compared."""

from collections import Counter

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from maskprof import BlockMask, BlockMaskWrapper, read_trace
from maskprof.analysis.attribution import attribute
from maskprof.annotate import coarse_range
from maskprof.ranges import phase_range
from tests.support.tiny_models import BLOCKS, tiny_model

IDS = torch.arange(3, 11).repeat(2, 1)


def traced(model, mask, skip):
    torch.set_num_threads(1)
    with (
        BlockMaskWrapper(model, mask, skip=skip, ranges=True),
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU]) as session,
    ):
        with coarse_range(phase_range("prefill")):
            cache = model(input_ids=IDS, use_cache=True).past_key_values
        with coarse_range(phase_range("decode")):
            model(input_ids=IDS[:, :1], past_key_values=cache, use_cache=True)
    return session


@pytest.mark.parametrize(
    ("skip", "active"),
    [("splice", [1, 3]), ("remove", [1, 3]), ("remove", [2]), ("early_exit", [0, 1])],
    ids=str,
)
def test_active_blocks_keep_their_numbers(skip, active, tmp_path):
    model = tiny_model("llama")
    session = traced(model, BlockMask.from_indices(active, BLOCKS), skip)
    counts = Counter(event.name for event in session.events() if event.name.startswith("block."))
    assert counts == {f"block.{i:02d}.{part}": 2 for i in active for part in ("active", "compute")}
    assert not any("forward" in module.__dict__ for module in model.modules())

    session.export_chrome_trace(str(tmp_path / "x.pt.trace.json"))
    phases = attribute(read_trace(tmp_path / "x.pt.trace.json")).phases
    assert [phase.phase for phase in phases] == ["prefill", "decode"]
    for phase in phases:
        assert [block.block for block in phase.blocks] == active, "skipped blocks have no turn and no row"
        for block in phase.blocks:
            assert block.active
            assert block.host_us > 0
            assert block.kernel_count > 0
            assert (block.mask_check_us, block.cache_us) == (None, None), "there is no mask to check"


def test_ranges_change_no_numbers():
    model, mask = tiny_model("llama"), BlockMask.from_indices([0, 2], BLOCKS)
    with torch.inference_mode():
        for skip in ("mask", "splice", "remove"):
            with BlockMaskWrapper(model, mask, skip=skip):
                expected = model(input_ids=IDS).logits
            with BlockMaskWrapper(model, mask, skip=skip, ranges=True):
                assert torch.equal(model(input_ids=IDS).logits, expected)
