"""Range names: one author writes and parses them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.ranges import (
    BLOCK_PARTS,
    INSTRUMENT_EMPTY_TURN,
    INSTRUMENT_INNER,
    INSTRUMENT_NEXT_EMPTY_TURN,
    INSTRUMENT_NEXT_TURN,
    INSTRUMENT_TURN,
    PHASES,
    BlockRange,
    block_range,
    parse_block,
    parse_phase,
    phase_range,
)


@pytest.mark.parametrize(
    ("block", "total", "part", "name"),
    [
        (7, 16, "active", "block.07.active"),
        (7, 16, "skipped", "block.07.skipped"),
        (7, 16, "mask_check", "block.07.mask_check"),
        (7, 16, "compute", "block.07.compute"),
        (7, 16, "cache.dummy", "block.07.cache.dummy"),
        (7, 16, "cache.reuse", "block.07.cache.reuse"),
        (0, 1, "active", "block.00.active"),
        (15, 16, "active", "block.15.active"),
        (7, 128, "active", "block.007.active"),
        (99, 100, "active", "block.099.active"),
    ],
)
def test_block_names_are_the_documented_ones(block, total, part, name):
    assert block_range(block, total, part) == name


@pytest.mark.parametrize(
    ("phase", "name"),
    [
        ("vision", "phase.vision"),
        ("projector", "phase.projector"),
        ("prefill", "phase.prefill"),
        ("decode", "phase.decode"),
    ],
)
def test_phase_names_are_the_documented_ones(phase, name):
    assert phase_range(phase) == name
    assert parse_phase(name) == phase


@given(data=st.data(), total=st.integers(1, 2000), part=st.sampled_from(BLOCK_PARTS))
def test_block_names_round_trip(data, total, part):
    block = data.draw(st.integers(0, total - 1))
    name = block_range(block, total, part)
    assert parse_block(name) == BlockRange(block, part)
    assert parse_phase(name) is None
    assert re.fullmatch(r"[A-Za-z0-9_.]+", name), "other characters do not survive torch's exporter"


@given(total=st.integers(1, 300))
def test_names_of_one_model_sort_like_their_blocks(total):
    names = [block_range(block, total, "active") for block in range(total)]
    assert names == sorted(names)


@given(name=st.text(max_size=30))
def test_any_text_parses_to_a_range_or_to_none(name):
    block = parse_block(name)
    assert block is None or block.part in BLOCK_PARTS
    assert parse_phase(name) is None or parse_phase(name) in PHASES


@pytest.mark.parametrize(
    "name",
    [
        "",
        "block.7",
        "block..active",
        "block.x.active",
        "block.07.cache",
        "block.07.active.",
        "block.07.active ",
        " block.07.active",
        "Block.07.active",
        "block.07.active\n",
        "phase.",
        "phase.warmup",
        "phase.prefill.0",
        "ProfilerStep#1",
        "aten::mm",
        INSTRUMENT_TURN,
        INSTRUMENT_EMPTY_TURN,
        INSTRUMENT_NEXT_TURN,
        INSTRUMENT_NEXT_EMPTY_TURN,
        INSTRUMENT_INNER,
    ],
)
def test_other_names_are_no_ranges(name):
    assert parse_block(name) is None
    assert parse_phase(name) is None
