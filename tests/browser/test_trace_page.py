"""One trace in Catapult's viewer, and what its importer makes of the traces that we record."""

import gzip
import json

import pytest

from maskprof.viewing.trace_page import trace_page
from tests.e2e.command import maskprof, range_counts
from tests.support.servers import viewing
from tests.support.traces import TraceBuilder
from tests.support.viewer import VIEWER_REMARKS, imported

pytestmark = [pytest.mark.browser, pytest.mark.e2e]

SCALE = "document.querySelector('#trace-viewer').trackView.viewport.currentDisplayTransform.scaleX"
CONFIGURATIONS = {"first-04-of-16": 4, "first-10-of-16": 10, "first-16-of-16": 16}


@pytest.fixture
def page_of(offline_page, tmp_path):
    """`page_of(trace)` opens its page from the disk."""

    def opened(trace):
        (tmp_path / "page.html").write_text(trace_page(trace), encoding="utf-8")
        offline_page.expect(*VIEWER_REMARKS)
        offline_page.page.goto((tmp_path / "page.html").as_uri())
        return offline_page.page

    return opened


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_importer_loses_nothing_and_nests_our_ranges(recorded_run, page_of, configuration):
    trace = recorded_run.trace_of(configuration)
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    found = imported(page_of(trace))
    assert found.warnings == []
    assert found.unfinished == []
    assert sum(found.slices.values()) == sum(e["ph"] == "X" for e in events)
    ours = range_counts(trace)
    assert ours == {name: count for (name, _), count in found.slices.items() if name in ours}
    active = CONFIGURATIONS[configuration]
    phases = {"phase.prefill", "phase.decode"}
    for block in range(16):
        turn = f"block.{block:02d}.{'active' if block < active else 'skipped'}"
        inner = ("compute",) if block < active else ("cache.dummy", "cache.reuse")
        assert found.parents[turn] == phases
        for part in ("mask_check", *inner):
            assert found.parents[f"block.{block:02d}.{part}"] == {turn}
    assert found.parents["phase.vision"] == {"phase.prefill"}
    assert found.parents["phase.projector"] == {"phase.vision"}
    assert found.parents["phase.prefill"] == {"ProfilerStep#1"}
    assert found.counters == {("active blocks", "blocks"): [active, 0] * 5}


def test_ranges_are_shown_and_can_be_chosen(recorded_run, page_of, offline_page):
    page = page_of(recorded_run.trace_of("first-10-of-16"))
    imported(page)
    assert page.title() == recorded_run.trace_of("first-10-of-16").name
    assert page.get_by_text("active blocks:").is_visible()
    choose(page, "block.11.skipped", 5)
    page.locator("tr-ui-a-single-event-sub-view").get_by_text("block.11.skipped").wait_for()
    offline_page.screenshot("trace-page")
    # The keys of the viewer: f zooms to what is chosen.
    page.evaluate("document.activeElement.blur()")
    before = page.evaluate(SCALE)
    page.keyboard.press("f")
    page.wait_for_function(f"{SCALE} > {100 * before}")
    offline_page.screenshot("trace-page-zoomed")


def choose(page, name, hits):
    """Search for a name and choose its first hit."""
    page.locator("input#filter").fill(name)
    page.get_by_text(f"0 of {hits}").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text(f"1 of {hits}").wait_for()


def test_the_help_of_the_viewer_opens(recorded_run, page_of):
    page = page_of(recorded_run.trace_of("first-04-of-16"))
    imported(page)
    page.locator("#view_help_button").click()
    page.get_by_text("Navigation").first.wait_for()


def test_names_stay_text(page_of, tmp_path):
    name = "</script><script>window.harm = 1</script><img src=x onerror='window.harm = 2'>"
    trace = TraceBuilder().kernel(name, 10, 5, 1).op("aten::mul", 1, 3).write(tmp_path / "<b>&.json")
    page = page_of(trace)
    found = imported(page)
    assert (name, "kernel") in found.slices
    assert page.title() == "<b>&.json"
    # Choosing it writes the name into the table below.
    choose(page, "window.harm", 1)
    page.get_by_text("window.harm = 1").first.wait_for()
    assert page.evaluate("window.harm") is None


def test_the_command_writes_the_page(recorded_run, offline_page, tmp_path):
    written = maskprof("view", recorded_run.trace_of("first-04-of-16"), "--html", "page.html", cwd=tmp_path)
    assert written == (0, "page.html: open it in a browser\n", "")
    offline_page.expect(*VIEWER_REMARKS)
    offline_page.page.goto((tmp_path / "page.html").as_uri())
    assert imported(offline_page.page).slices["block.04.skipped", "user_annotation"] == 5


def test_a_served_trace(recorded_run, offline_page):
    trace = recorded_run.trace_of("first-04-of-16")
    offline_page.expect(*VIEWER_REMARKS)
    with viewing(trace, cwd=recorded_run.output_dir) as address:
        offline_page.page.goto(address)
        found = imported(offline_page.page)
        offline_page.check()
    assert found.slices["block.04.skipped", "user_annotation"] == 5


@pytest.mark.parametrize(
    "form", ["NaN", "UTF-16", "text behind", "null event", "number for a name", "two members"]
)
def test_what_browsers_do_not_read_as_it_is(page_of, tmp_path, form):
    text = TraceBuilder().kernel("gemm", 10, 5, 1).op("aten::mul", 1, 3).text()
    forms = {
        "NaN": text.replace('"args": {', '"args": {"occupancy": NaN, ').encode(),
        "UTF-16": text.encode("utf-16"),
        "text behind": (text + text).encode(),
        "null event": text.replace('"traceEvents": [', '"traceEvents": [null, ').encode(),
        "number for a name": text.replace('"aten::mul"', "5").encode(),
        "two members": gzip.compress(text[:40].encode()) + gzip.compress(text[40:].encode()),
    }
    assert forms[form] != text.encode()
    (tmp_path / "t.json").write_bytes(forms[form])
    found = imported(page_of(tmp_path / "t.json"))
    operator = "5" if form == "number for a name" else "aten::mul"
    assert dict(found.slices) == {("gemm", "kernel"): 1, (operator, "cpu_op"): 1}
    assert found.warnings == []
