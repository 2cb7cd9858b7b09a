import csv
import io

import pytest

from maskprof.analysis.ranks import compare_ranks
from maskprof.analysis.trace_diff import diff
from maskprof.reports.trace_csv import diff_csvs, trace_csvs
from tests.support.trace_summaries import GEMM, cpu_summary, gpu_summary, ranks_of_job, strange_summary


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    "name", ["block_work", "blocks", "categories", "kernels", "operators", "ranges", "roofline", "traces"]
)
def test_whole_file(golden, name):
    golden(f"analyze_{name}.csv", trace_csvs([gpu_summary(2, 3)])[f"{name}.csv"])


def test_a_table_without_rows_has_no_file():
    files = trace_csvs([cpu_summary()])
    assert sorted(files) == ["block_work.csv", "blocks.csv", "operators.csv", "ranges.csv", "traces.csv"]


def test_names_are_whole():
    assert rows(trace_csvs([gpu_summary()])["kernels.csv"])[0]["name"] == GEMM


def test_each_row_names_its_trace_and_rank():
    found = ranks_of_job(2, late=1)
    files = trace_csvs(found, compare_ranks(found))
    kernels = rows(files["kernels.csv"])
    assert {(row["trace"], row["rank"]) for row in kernels} == {
        ("job/rank0.json.gz", "0"),
        ("job/rank1.json.gz", "1"),
    }
    assert [(row["rank"], row["straggler"]) for row in rows(files["ranks.csv"])] == [
        ("0", "false"),
        ("1", "true"),
    ]


def test_an_unknown_rank_is_empty():
    assert {row["rank"] for row in rows(trace_csvs([cpu_summary()])["operators.csv"])} == {""}


def test_names_are_data():
    for text in trace_csvs([strange_summary()]).values():
        assert text.replace("\n", "").isprintable()
        lengths = {len(row) for row in csv.reader(io.StringIO(text))}
        assert len(lengths) == 1


def test_differences():
    files = diff_csvs(diff(gpu_summary(3, 3, path="a.json"), gpu_summary(2, 3, path="b.json")))
    assert sorted(files) == [
        f"{n}.csv"
        for n in (
            "block_work",
            "blocks",
            "categories",
            "kernels",
            "operators",
            "phases",
            "skipped",
            "skipped_kernels",
        )
    ]
    assert [(row["phase"], row["block"], row["status"]) for row in rows(files["blocks.csv"])] == [
        (phase, str(block), "removed" if block == 2 else "same")
        for phase in ("prefill", "decode")
        for block in range(3)
    ]
    assert rows(files["kernels.csv"])[0] == {
        "kernel": GEMM, "status": "fewer", "count_a": "15", "count_b": "10",
        "us_a": "1680.0", "us_b": "1120.0", "delta_us": "-560.0",
    }  # fmt: skip
