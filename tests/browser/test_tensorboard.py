"""`maskprof view` over a run: every dashboard that it fills, without a network."""

import json
from urllib.request import urlopen

import pytest

from tests.support.profiler_pages import TENSORBOARD_REMARKS, ProfilerPages
from tests.support.viewer import imported

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

CONFIGURATIONS = ["first-04-of-16", "first-10-of-16", "first-16-of-16"]
DETAILED = "details/first-02-of-04"


@pytest.fixture
def page(offline_page):
    offline_page.expect(*TENSORBOARD_REMARKS)
    return offline_page.page


@pytest.fixture(scope="module")
def profiled(board):
    """The address, once the plugin has read every trace: it reads a folder once, and shows what it has."""

    def runs():
        with urlopen(f"{board}data/plugin/pytorch_profiler/runs") as answer:
            return json.load(answer)

    while (found := runs())["loading"]:
        pass
    assert found["runs"] == [DETAILED, *CONFIGURATIONS]
    return board


def test_curves_over_active_blocks(board, page, offline_page):
    page.goto(f"{board}#timeseries")
    for run in (*CONFIGURATIONS, "summary", "summary/ideal"):
        page.get_by_text(run, exact=True).first.wait_for()
    page.get_by_role("combobox", name="Filter tags").fill("latency/(prefill|decode)")
    page.get_by_text("latency/decode_per_token_ms_p50").first.wait_for()
    page.get_by_text("latency/prefill_ms_p50").first.wait_for()
    page.locator("scalar-card svg").first.wait_for()
    offline_page.screenshot("tensorboard-time-series")


DASHBOARDS = {
    "scalars": ["blocks", "interval", "latency"],
    "custom_scalars": ["Latency over active blocks, with the 95 % interval of the median", "Prefill (ms)"],
    "images": ["latency/prefill", "latency/decode_per_token"],
    "histograms": ["active_blocks/prefill_host_us", "skipped_blocks/prefill_host_us"],
    "distributions": ["active_blocks/decode_host_us"],
    "hparams": [*CONFIGURATIONS, "strategy", "1111111111000000"],
    "text": ["Blocks of first-04-of-16, from its trace"],
}


def test_every_other_dashboard(board, page, offline_page):
    """On one page, since TensorBoard itself takes a second to load."""
    for dashboard, texts in DASHBOARDS.items():
        page.goto(f"{board}#{dashboard}")
        for text in texts:
            page.get_by_text(text).locator("visible=true").first.wait_for()
        page.wait_for_load_state("networkidle")
        offline_page.screenshot(f"tensorboard-{dashboard}")


def test_the_profiler_lists_the_configurations(profiled, page, offline_page):
    pages = ProfilerPages(page, profiled)
    assert pages.choices("Runs") == [DETAILED, *CONFIGURATIONS]
    pages.choose("Runs", "first-10-of-16")
    assert pages.choices("Views") == ["Overview", "Operator", "Trace"]
    pages.frame.get_by_text("Step Time Breakdown").wait_for()
    pages.frame.get_by_text("CPU Exec").first.wait_for()
    assert pages.frame.locator(".maskprof-chart svg").count() >= 2
    offline_page.screenshot("profiler-overview")


def test_the_operator_view(profiled, page, offline_page):
    pages = ProfilerPages(page, profiled)
    pages.choose("Runs", "first-04-of-16")
    pages.choose("Views", "Operator")
    pages.frame.get_by_role("cell", name="aten::linear").first.wait_for()
    pages.frame.locator(".maskprof-chart svg path").first.wait_for()
    offline_page.screenshot("profiler-operator")


def test_the_trace_view_has_our_ranges(profiled, page, offline_page):
    pages = ProfilerPages(page, profiled)
    pages.choose("Runs", "first-10-of-16")
    pages.choose("Views", "Trace")
    frame = pages.frame.wait_for_selector("iframe").content_frame()
    found = imported(frame)
    assert found.slices["block.09.active", "user_annotation"] == 5
    assert found.slices["block.10.skipped", "user_annotation"] == 5
    assert found.parents["block.10.skipped"] == {"phase.prefill", "phase.decode"}
    assert found.counters["active blocks", "blocks"] == [10, 0] * 5
    offline_page.screenshot("profiler-trace")


def test_memory_and_modules_where_they_were_recorded(profiled, page, offline_page):
    pages = ProfilerPages(page, profiled)
    pages.choose("Runs", DETAILED)
    assert pages.choices("Views") == ["Overview", "Operator", "Trace", "Memory", "Module"]
    pages.choose("Views", "Memory")
    pages.frame.get_by_text("Peak Memory Usage").wait_for()
    pages.frame.locator(".maskprof-chart polyline").first.wait_for()
    offline_page.screenshot("profiler-memory")
    pages.choose("Views", "Module")
    pages.frame.get_by_text("LlamaForCausalLM_0").first.wait_for()
    offline_page.screenshot("profiler-module")


def test_two_configurations_side_by_side(profiled, page, offline_page):
    pages = ProfilerPages(page, profiled)
    pages.frame.get_by_text("Diff", exact=True).click()
    for place, run in enumerate(("first-16-of-16", "first-04-of-16")):
        for heading, name in (("Runs", run), ("Workers", "maskprof"), ("Spans", "1")):
            pages.choose(heading, name, place=place)
    pages.frame.get_by_text("Execution Diff").wait_for()
    pages.frame.locator(".maskprof-chart svg rect").first.wait_for()
    pages.frame.get_by_role("cell", name="aten::empty", exact=True).first.wait_for()
    offline_page.screenshot("profiler-diff")
