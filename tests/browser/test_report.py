"""The report as its readers have it: pointing, keys, sorting, dark, a phone, paper, and without script."""

import json
import re

import pytest

from maskprof.reports.html import render_page
from maskprof.reports.page import Link, Run, page_of
from tests.support.results import make_configuration, make_result
from tests.support.trace_summaries import gpu_summary

pytestmark = pytest.mark.browser

PREFILL = "figure[data-plot='r0-latency-prefill']"
LATENCY_TABLE = "#r0-latency table:has(caption:text('Latency (5 samples'))"
NARROWEST_PLOT = """Math.min(...[...document.querySelectorAll(".sheet svg")]
  .map((svg) => svg.getBoundingClientRect().width).filter(Boolean))"""
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    result = make_result(device=True)
    traces = {c.name: gpu_summary(c.num_active_blocks, 16) for c in result.configurations}
    links = (Link(label="Trace", href="a.json", note="for Perfetto"),)
    one = [Run(name="one", result=result, traces=traces, links=links)]
    other = make_result([make_configuration(8), make_configuration(16)], vision_ms=5.0)
    hostile = (
        "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
    )
    runs = {
        "one": one,
        "two": [Run(name="here", result=make_result()), Run(name="there", result=other)],
        "hostile": [
            Run(
                name="x",
                result=result,
                traces={hostile: gpu_summary()},
                links=(Link(label=hostile, href="a"),),
            )
        ],
    }
    paths = {}
    for name, of in runs.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(render_page(page_of(of)), encoding="utf-8")
    return paths


@pytest.fixture
def opened(offline_page, files):
    """`opened(name)` is Playwright's page with that report in it; complaints and requests fail the test."""

    def goto(name, **sizes):
        if sizes:
            offline_page.page.set_viewport_size(sizes)
        offline_page.page.goto(files[name].as_uri())
        return offline_page.page

    return goto


def first_column(page, table):
    return page.locator(f"{table} tbody tr th").all_inner_texts()


def tooltip(page):
    return page.locator("#tip").inner_text() if page.locator("#tip").is_visible() else None


def focus_by_keyboard(page, selector):
    """Tab until the element has the focus, as a reader without a mouse does."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
    raise AssertionError(f"the Tab key does not reach {selector}")


def test_it_opens_with_no_request_and_no_complaint(opened, offline_page):
    page = opened("one")
    assert page.title() == "demo"
    assert page.locator("h1").inner_text() == "demo"
    assert first_column(page, LATENCY_TABLE) == [f"first-{n:02d}-of-16" for n in (4, 8, 12, 16)]
    assert page.locator("figure.plot svg").count() > 20
    offline_page.screenshot("report", full_page=True)


def test_pointing_at_a_mark_tells_what_it_is_and_shows_it_everywhere(opened):
    page = opened("one")
    svg = page.locator(f"{PREFILL} svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    x, y = page.evaluate(
        "JSON.parse(document.getElementById('data').textContent).plots['r0-latency-prefill'][1]"
    )[:2]
    page.mouse.move(box["x"] + x * box["width"] / 420, box["y"] + y * box["width"] / 420)
    assert tooltip(page).startswith("8 of 16 blocks\nmedian 11.62 ±0.23 ms")
    assert page.locator(f"{PREFILL} .ring").count() == 1
    assert page.locator("figure[data-plot='r0-latency-decode-per-token'] .echo").count() == 1
    assert page.locator(f"{LATENCY_TABLE} tr.hl th").inner_text() == "first-08-of-16"
    page.mouse.move(5, 5)
    assert tooltip(page) is None
    assert page.locator(".ring, .echo, tr.hl").count() == 0


def test_plots_can_be_read_with_the_keyboard(opened):
    page = opened("one")
    focus_by_keyboard(page, f"{PREFILL} .sheet")
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == "Plot: Prefill latency in ms over active blocks. Arrow keys go through its 4 points."
    said = []
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowRight", "Home", "ArrowLeft"):
        page.keyboard.press(key)
        said.append(page.locator("#say").inner_text().partition(",")[0])
    assert said == [f"{n} of 16 blocks" for n in (4, 8, 16, 16, 4, 4)]
    page.keyboard.press("Escape")
    assert tooltip(page) is None


def test_a_cell_opens_its_configuration(opened):
    page = opened("one")
    fold = page.locator("#r0-blocks details[data-fold='first-12-of-16']")
    assert not fold.evaluate("element => element.open")
    sheet = page.locator("figure[data-plot='r0-blocks-host-prefill'] .sheet")
    sheet.focus()
    # Right to the first cell and the next, down two rows, and up above the first, which stays.
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    assert page.locator("#say").inner_text().startswith("12 blocks, block 1, active")
    page.keyboard.press("Enter")
    assert fold.evaluate("element => element.open")
    assert fold.locator("summary").first.evaluate("element => element === document.activeElement")


def test_series_can_be_hidden(opened):
    page = opened("two")
    figure = page.locator("figure[data-plot='compare-prefill']")
    button = figure.get_by_role("button", name="there")
    group = figure.locator("g[data-s='1']").first
    assert group.is_visible()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert not group.is_visible()
    figure.locator(".sheet").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    button.click()
    assert group.is_visible()


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_tables_sort(opened, way):
    page = opened("one")
    head = page.locator(f"{LATENCY_TABLE} thead th", has_text="prefill ms")
    button = head.get_by_role("button")

    def press():
        if way == "mouse":
            button.click()
        else:
            button.focus()
            page.keyboard.press("Enter")

    assert head.get_attribute("aria-sort") == "none"
    press()
    assert head.get_attribute("aria-sort") == "ascending"
    assert first_column(page, LATENCY_TABLE) == [f"first-{n:02d}-of-16" for n in (4, 8, 12, 16)]
    press()
    assert head.get_attribute("aria-sort") == "descending"
    assert first_column(page, LATENCY_TABLE) == [f"first-{n:02d}-of-16" for n in (16, 12, 8, 4)]
    page.locator(f"{LATENCY_TABLE} thead th", has_text="configuration").get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "none"
    assert first_column(page, LATENCY_TABLE)[0] == "first-04-of-16"


def test_figures_sort_by_what_they_are_and_missing_ones_come_last(opened):
    page = opened("one")
    texts = ["10.0 us", "-", "2.00 ms", "<0.10 us", "1.0 s", "-3.5 us"]
    page.evaluate(
        """texts => {
          const table = document.querySelector("#r0-latency .scroll table:not(.pairs)");
          const rows = [...table.tBodies[0].rows];
          while (table.tBodies[0].rows.length < texts.length) table.tBodies[0].append(rows[0].cloneNode(true));
          [...table.tBodies[0].rows].forEach((row, n) => { row.cells[2].textContent = texts[n]; });
        }""",
        texts,
    )
    table = page.locator("#r0-latency .scroll table:not(.pairs)").first
    head = table.locator("thead th").nth(2).locator("button")
    found = []
    for _ in range(2):
        head.evaluate("button => button.click()")
        found.append([row.locator("td").nth(1).text_content() for row in table.locator("tbody tr").all()])
    assert found == [
        ["-3.5 us", "<0.10 us", "10.0 us", "2.00 ms", "1.0 s", "-"],
        ["1.0 s", "2.00 ms", "10.0 us", "<0.10 us", "-3.5 us", "-"],
    ]


def luminance(colour):
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Every text with its colour and the first ground behind it that is not transparent.
COLOURS_OF_TEXTS = """() => {
  const ground = (at) => {
    for (; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const colour = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
    found[`${colour} on ${ground(element)}`] = [colour, ground(element), element.textContent.trim().slice(0, 40)];
  }
  return Object.values(found);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_light_and_in_dark(opened, offline_page, scheme):
    offline_page.page.emulate_media(color_scheme=scheme)
    page = opened("one")
    found = page.evaluate(COLOURS_OF_TEXTS)
    assert len(found) >= 3
    for colour, ground, text in found:
        low, high = sorted((luminance(colour), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (colour, ground, text)
    is_dark = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.1
    assert is_dark == (scheme == "dark")
    offline_page.screenshot(f"report-{scheme}")


def test_light_and_dark_can_be_changed_on_the_page(opened):
    page = opened("one")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_phone_shows_it_without_moving_sideways(opened, offline_page, name):
    page = opened(name, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate(NARROWEST_PLOT) > 300
    # The smallest text in a plot, in pixels of the screen.
    smallest = page.evaluate(
        """Math.min(...[...document.querySelectorAll(".sheet svg text")].map((text) => {
          const svg = text.ownerSVGElement;
          const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
          return parseFloat(getComputedStyle(text).fontSize) * scale;
        }).filter(Boolean))"""
    )
    assert smallest > 9
    offline_page.screenshot(f"report-phone-{name}")


def test_paper_is_white_and_holds_what_is_open(opened, offline_page):
    offline_page.page.emulate_media(color_scheme="dark", media="print")
    page = opened("one")
    assert (
        page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ground').trim()")
        == "#ffffff"
    )
    assert page.locator("header").is_hidden()
    assert page.locator("#r0-blocks details[data-fold='first-08-of-16']").is_visible()
    assert page.locator("#r0-blocks details[data-fold='first-12-of-16']").is_hidden()
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12


def test_without_script_everything_is_there(chromium, files):
    from tests.support.browser import OfflinePage

    quiet = OfflinePage(chromium, java_script_enabled=False)
    try:
        quiet.page.goto(files["one"].as_uri())
        assert quiet.page.locator(f"{PREFILL} svg").is_visible()
        assert quiet.page.locator(LATENCY_TABLE).is_visible()
        fold = quiet.page.locator("#r0-blocks details[data-fold='first-12-of-16']")
        fold.locator("summary").first.click()
        assert fold.locator("svg[role=img]").nth(1).is_visible()
        quiet.check()
    finally:
        quiet.close()


def test_names_that_want_to_be_script_are_text(opened):
    page = opened("hostile")
    page.wait_for_timeout(100)
    assert page.title() == "demo"
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    assert page.get_by_text("</script><script>document.title").count() >= 1


def test_the_policy_stops_a_script_that_gets_in_nevertheless(opened, offline_page):
    offline_page.expect("Content Security Policy", "Content-Security-Policy")
    page = opened("one")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'broken'";
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(50)
    assert page.title() == "demo"


def test_what_a_screen_reader_needs_is_there(opened):
    page = opened("two")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("banner").count() == 1
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, summary, [role=group], [role=img], [tabindex='0'], section")]
          .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim()))
          .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    heads = page.evaluate(
        "[...document.querySelectorAll('thead th')].filter((e) => e.scope !== 'col').length"
    )
    rows = page.evaluate("[...document.querySelectorAll('tbody th')].filter((e) => e.scope !== 'row').length")
    assert (heads, rows) == (0, 0)
    assert page.evaluate("[...document.querySelectorAll('table')].filter((e) => !e.caption).length") == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_every_plot_has_its_figures_in_a_table_near_it(opened):
    page = opened("one")
    without = page.evaluate(
        """[...document.querySelectorAll("figure.plot")]
          .filter((figure) => !figure.closest("details.fold, section").querySelector("table"))
          .map((figure) => figure.dataset.plot)"""
    )
    assert without == []


def test_links_lead_into_what_is_folded_away(opened):
    page = opened("two")
    run = page.locator("#run1")
    assert not run.evaluate("element => element.open")
    page.get_by_role("link", name="there").click()
    assert run.evaluate("element => element.open")
    assert page.locator("#run1 .lead").is_visible()


def test_every_plot_can_be_pointed_at_where_its_marks_are(opened):
    page = opened("one")
    data = json.loads(page.locator("#data").text_content())
    sizes = dict(
        page.evaluate(
            """[...document.querySelectorAll("figure.plot")].map((f) => {
              const box = f.querySelector(".sheet svg").viewBox.baseVal;
              return [f.dataset.plot, [box.width, box.height]];
            })"""
        )
    )
    assert data["plots"].keys() == sizes.keys()
    for name, targets in data["plots"].items():
        width, height = sizes[name]
        assert all(0 <= x <= width and 0 <= y <= height for x, y, *_ in targets), name
