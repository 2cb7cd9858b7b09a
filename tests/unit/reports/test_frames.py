from dataclasses import fields

import pytest

from maskprof.reports.frames import (
    DIFF_TABLES,
    RUN_TABLES,
    TRACE_TABLES,
    diff_rows,
    run_rows,
    trace_rows,
)
from maskprof.results.schema import Failure
from maskprof.results.trace_comparison import BlockDiffRow, DiffRow, TraceDiff
from tests.support.results import knob_configurations, make_result
from tests.support.trace_summaries import cpu_summary, gpu_summary, make_facts


def test_a_row_per_configuration():
    rows = run_rows(make_result(), "summary")
    assert [row["configuration"] for row in rows] == [f"first-{n:02d}-of-16" for n in (4, 8, 12, 16)]
    row = rows[1]
    assert row["mask"] == "1111111100000000"
    assert (row["num_active_blocks"], row["num_total_blocks"], row["num_samples"]) == (8, 16, 5)
    assert (row["skip_mode"], row["dummy_cache"], row["mask_on"], row["num_crops"]) == (
        "mask",
        "virtual",
        "host",
        None,
    )
    assert row["prefill_p50_ms"] == pytest.approx(11.616)
    assert row["prefill_p50_low95_ms"] < row["prefill_p50_ms"] < row["prefill_p50_high95_ms"]


def test_a_phase_that_does_not_occur_has_no_columns():
    row = run_rows(make_result(trace=False, vision_ms=0.0, output_tokens=1), "summary")[0]
    assert not any(name.startswith(("vision", "decode_per_token")) for name in row)


def test_a_row_per_sample_references_included():
    rows = run_rows(make_result(), "samples")
    assert len(rows) == 5 * 4 + 5 * 3
    assert sum(row["reference"] for row in rows) == 15
    assert rows[0]["decode_per_token_ms"] == pytest.approx(rows[0]["decode_ms"] / 4)
    assert rows[0]["remainder_ms"] == pytest.approx(0.1)


def test_a_row_per_block_and_phase():
    rows = run_rows(make_result(), "blocks")
    assert len(rows) == 4 * 2 * 16
    assert rows[4] == {
        "configuration": "first-04-of-16",
        "phase": "prefill",
        "steps": 1,
        "block": 4,
        "active": False,
        "host_us": 1.75,
        "device_us": None,
        "mask_check_us": 0.05,
        "cache_us": 0.83,
        "kernel_count": 0.0,
    }


def test_intervals_are_two_columns():
    skipping = run_rows(make_result(), "skipping")[0]
    assert skipping["clean_us"] == pytest.approx(24)
    assert skipping["clean_us_low95"] <= skipping["clean_us"] <= skipping["clean_us_high95"] + 1e-9
    fit = run_rows(make_result(), "fits")[0]
    assert fit["slope_low95"] <= fit["slope_ms_per_block"] <= fit["slope_high95"]
    knobs = run_rows(make_result(knob_configurations(num_crops=(1, 2, 4))), "knob_fits")[0]
    assert {
        "halving_knob_ms",
        "halving_knob_ms_low95",
        "halving_knob_ms_high95",
        "held_num_crops",
    } <= knobs.keys()


@pytest.mark.parametrize("table", RUN_TABLES)
def test_rows_of_a_table_have_the_same_columns_and_plain_values(table):
    failed = make_result(failures=(Failure(configuration="a", stage="measuring", error="no"),))
    rows = run_rows(failed, table)
    assert {tuple(row) for row in rows} <= {tuple(rows[0])} if rows else table == "knob_fits"
    assert all(
        isinstance(value, int | float | str | bool | tuple | None) for row in rows for value in row.values()
    )


@pytest.mark.parametrize("summary", [gpu_summary(), cpu_summary()], ids=["gpu", "cpu"])
@pytest.mark.parametrize("table", TRACE_TABLES)
def test_tables_of_a_trace(summary, table):
    rows = trace_rows(summary, table)
    counts = {
        "kernels": len(summary.whole.kernels),
        "categories": len(summary.whole.categories),
        "operators": len(summary.whole.operators),
        "ranges": len(summary.ranges),
        "blocks": sum(len(phase.blocks) for phase in summary.blocks.phases),
        "block_work": sum(len(block.work) for phase in summary.blocks.phases for block in phase.blocks),
        "roofline": len(summary.roofline.rows) if summary.roofline else 0,
    }
    assert len(rows) == counts[table]
    assert all(not isinstance(value, dict) for row in rows for value in row.values())


@pytest.mark.parametrize("table", DIFF_TABLES)
def test_tables_of_a_comparison(table):
    row = DiffRow(key="a", count_a=1, count_b=2, us_a=3.0, us_b=5.0, status="slower")
    found = {name: (row,) for name in DIFF_TABLES if name not in ("blocks", "block_work")}
    block = BlockDiffRow(**{field.name: getattr(row, field.name) for field in fields(row)}, work=(row,))
    diff = TraceDiff(a=make_facts("a"), b=make_facts("b"), headline=(), blocks={"prefill": (block,)}, **found)
    expected = {
        "key": "a",
        "count_a": 1,
        "count_b": 2,
        "us_a": 3.0,
        "us_b": 5.0,
        "status": "slower",
        "delta_us": 2.0,
    }
    where = {"blocks": {"phase": "prefill"}, "block_work": {"phase": "prefill", "block": "a"}}
    assert diff_rows(diff, table) == [where.get(table, {}) | expected]
