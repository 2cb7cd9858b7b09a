"""Our own ranges in a trace: what each is, and what it lies in."""

import numpy as np

from maskprof.analysis.turns import Kind, find_ranges
from tests.support.traces import TraceBuilder


def test_each_range_knows_its_kind_its_block_its_turn_and_its_phase(tmp_path):
    builder = TraceBuilder().op("block.99.unknown", 0, 1).op("aten::mm", 1, 1)
    builder.annotation("phase.prefill", 10, 100)
    builder.annotation("block.03.skipped", 20, 40).op("block.03.mask_check", 25, 5).op("aten::mm", 31, 2)
    builder.annotation("instrument.turn", 200, 9).op("instrument.inner", 201, 2)
    ranges = find_ranges(builder.read(tmp_path))
    assert ranges.kind.tolist() == [
        Kind.PREFILL,
        Kind.SKIPPED,
        Kind.MASK_CHECK,
        Kind.INSTRUMENT_TURN,
        Kind.INSTRUMENT_INNER,
    ]
    assert ranges.block.tolist() == [-1, 3, 3, -1, -1]
    assert ranges.dur_us.tolist() == [100.0, 40.0, 5.0, 9.0, 2.0]
    assert ranges.turn.tolist() == [-1, 1, 1, -1, -1]
    assert ranges.phase.tolist() == [0, 0, 0, -1, -1]
    assert (ranges.kind.dtype, ranges.block.dtype) == (np.int8, np.int64)
    # Positions in half the memory.
    assert ranges.turn.dtype == ranges.phase.dtype == np.int32
