"""A run and its report, by the real commands."""

import re

import pytest

from tests.e2e.command import maskprof
from tests.support.html import ReadPage

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("report")
    said = maskprof("run", "--num_samples", 5, "--num_active_blocks", 8, 16, cwd=cwd)
    assert said.code == 0, said.err
    return said, cwd


def test_the_run_says_how_to_make_its_report(ran):
    said, _ = ran
    assert "Report            maskprof report results/transformer_blocks_mask" in said.out.splitlines()


def test_the_report_of_a_real_run(ran):
    _, cwd = ran
    said = maskprof("report", "results/transformer_blocks_mask", cwd=cwd)
    assert (said.code, said.err) == (0, "")
    path = cwd / "results/transformer_blocks_mask/report.html"
    assert said.out == "Report  results/transformer_blocks_mask/report.html\n"
    page = ReadPage(path.read_text(encoding="utf-8"))
    assert page.lines[0] == "molmoe-tiny"
    assert any(
        re.match(r"first-08-of-16 \| 8 \| \[mask 1{8}0{8}\] \| [\d.]+ ±[\d.]+ \|", line)
        for line in page.lines
    )
    traces = {a["href"] for a in page.of("a") if "trace.json" in a["href"]}
    assert len(traces) == 2
    assert all((path.parent / href).is_file() for href in traces)


def test_a_folder_without_a_result_is_refused(ran):
    _, cwd = ran
    said = maskprof("report", "results", cwd=cwd)
    assert said.code == 2
    assert said.err == (
        "maskprof: results holds no result: there is no exp3_transformer_blocks_mask_results.json in it\n"
    )
