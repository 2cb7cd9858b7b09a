import base64
import hashlib
import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.config.schema import Variant
from maskprof.reports.html import json_for_script, mask_svg, render_page
from maskprof.reports.page import Link, Run, page_of
from maskprof.results.schema import Failure
from tests.support.html import ReadPage
from tests.support.results import knob_configurations, make_configuration, make_result
from tests.support.trace_summaries import gpu_summary

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "' onmouseover=alert(1) x='",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "\u2028\u2029\x00\x1b[31m",
    "javascript:alert(1)",
)


def rendered(*runs):
    return render_page(page_of(runs))


def read(*runs):
    return ReadPage(rendered(*runs))


def run(result=None, **options):
    return Run(name="run", result=result or make_result(), **options)


def data_of(page):
    return json.loads(next(text for kind, text in page.scripts if kind == "application/json"))


def test_the_page_says_what_was_found(golden):
    # A new setting of runs makes no other page.
    result = replace(make_result(), config={"num_samples": 5, "num_active_blocks": (4, 8), "prompt": None})
    links = (Link(label="a file", href="a.json", note="all"),)
    golden("report_counts.txt", "\n".join(read(run(result, links=links)).lines))


def test_several_runs(golden):
    slower = make_result([make_configuration(8), make_configuration(16)], vision_ms=4.0)
    lines = read(run(), Run(name="other", result=slower)).lines
    golden("report_comparison.txt", "\n".join(lines[: lines.index("Each run")]))
    assert [line for line in lines[lines.index("Each run") :] if line in ("run", "other")] == ["run", "other"]


def test_everything_is_in_the_file():
    page = read(run())
    assert page.names().isdisjoint({"link", "img", "iframe", "object", "base", "form", "embed"})
    assert not {"src", "href", "style", "srcset"} & {
        attribute for element, attributes in page.elements if element != "a" for attribute in attributes
    }
    assert "http" not in re.sub(r"http-equiv|http://www\.w3\.org/2000/svg", "", rendered(run()))


def test_the_policy_allows_the_pages_own_script_and_style_and_nothing_else():
    text = rendered(run())
    (policy,) = (a["content"] for a in ReadPage(text).of("meta") if a.get("http-equiv"))
    hashes = {}
    for kind in ("script", "style"):
        (inside,) = re.findall(f"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        hashes[kind] = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_stay_text(attack):
    plain = make_result(device=True)
    configurations = tuple(replace(c, name=f"{attack}{c.name}") for c in plain.configurations)
    renamed = make_result(
        configurations, device=True, failures=(Failure(configuration=attack, stage=attack, error=attack),)
    )
    attacked = replace(
        renamed,
        model=replace(plain.model, name=attack, source=attack, architecture=attack, dtype=attack),
        config={**plain.config, attack: attack, "prompt": attack},
        environment={**plain.environment, attack: attack, "device": attack},
    )
    summary = gpu_summary()
    kernel = replace(summary.whole.kernels[0], name=attack, category=attack)
    category = replace(summary.whole.categories[0], category=attack)
    row = replace(summary.roofline.rows[0], operator=attack, shapes=attack, dtype=attack)
    hostile = replace(
        summary,
        headline=(attack,),
        whole=replace(summary.whole, kernels=(kernel,), categories=(category,)),
        roofline=replace(summary.roofline, rows=(row,)),
    )
    # The same page with harmless names: the elements and the kinds of attributes must be the same.
    safe_traces = {
        c.name: replace(hostile, headline=("x",), whole=summary.whole, roofline=summary.roofline)
        for c in plain.configurations
    }
    links = (Link(label=attack, href="a", note=attack),)
    page = read(
        Run(name=attack, result=attacked, traces={c.name: hostile for c in configurations}, links=links),
        Run(name="b", result=attacked),
    )
    safe = read(Run(name="a", result=plain, traces=safe_traces, links=links), Run(name="b", result=plain))
    assert page.names() == safe.names()
    assert page.attributes() == safe.attributes()
    assert len(page.scripts) == len(safe.scripts) == 2
    assert not any(name.startswith("on") for name in page.attributes())
    assert all(not (a["href"] or "").startswith("javascript") for a in page.of("a"))
    shown = " ".join(attack.replace("\x00", "�").split())
    if attack.isprintable():
        assert any(shown in line for line in page.lines)
    assert data_of(page)["plots"].keys() >= {"r0-latency-prefill", "compare-prefill"}


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_in_a_script_is_itself_and_never_markup(value):
    text = json_for_script(value)
    assert json.loads(text) == value
    assert not set(text) & {"<", ">", "&", "\u2028", "\u2029"}


def test_every_plot_has_its_points_and_its_figures_as_a_table():
    page = read(run(make_result(device=True), traces={"first-04-of-16": gpu_summary()}))
    plots = [attributes["data-plot"] for attributes in page.of("figure")]
    assert len(plots) == len(set(plots))
    assert data_of(page)["plots"].keys() == set(plots)
    assert all(data_of(page)["plots"].values()), "a plot without a point that can be reached"
    data = data_of(page)
    for targets in data["plots"].values():
        for _, _, _, key, heading, text in targets:
            assert key < len(data["keys"])
            assert max(heading, text) < len(data["texts"])
            assert text >= 0
    # A table right under the plot, or one in the same section that has the same figures.
    assert len(page.of("table")) > len(plots) / 2


def test_headings_go_down_one_level_at_a_time():
    for runs in ((run(),), (run(), Run(name="b", result=make_result()))):
        levels = [int(name[1]) for name, _ in read(*runs).elements if re.fullmatch(r"h\d", name)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))


def test_ids_are_unique_and_links_inside_the_page_lead_somewhere():
    page = read(run(), Run(name="b", result=make_result()))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = {a["href"][1:] for a in page.of("a") if a["href"].startswith("#")}
    assert inside <= set(ids)


def test_links_that_lead_nowhere_are_no_links():
    links = (Link(label="there", href="x/y.json"), Link(label="gone", href=None, note="was moved"))
    page = read(run(links=links))
    assert [a["href"] for a in page.of("a") if not a["href"].startswith("#")] == ["x/y.json"]
    assert "gone was moved" in page.lines


@pytest.mark.parametrize(
    "result",
    [
        make_result([make_configuration(8)], trace=False),
        make_result([make_configuration(16)]),
        make_result(trace=False, vision_ms=0.0, output_tokens=1),
        replace(make_result(), summary=(), samples=(), fits=(), attribution=()),
        replace(make_result(), configurations=(*make_result().configurations, make_configuration(2))),
        make_result(knob_configurations(num_crops=(1, 2, 4), prompt_tokens=(8, 16, 32))),
        make_result(
            [make_configuration(n, 16, v) for v in (Variant(), Variant(skip_mode="splice")) for n in (8, 16)]
        ),
    ],
    ids=["one", "full only", "text, one token", "nothing measured", "one missing", "knobs", "variants"],
)
def test_runs_of_every_kind_have_a_page(result):
    page = read(run(result))
    assert page.of("h1")
    assert "Machine and settings" in page.lines


def test_a_run_without_samples_says_so():
    lines = read(run(replace(make_result(), summary=(), samples=(), fits=(), attribution=()))).lines
    assert "No configuration could be measured." in lines
    assert any(line.startswith("4 configurations of 4 have no samples: first-04-of-16") for line in lines)


def test_a_large_run_stays_small_enough():
    import random

    draw = random.Random(0)
    # 30 of 32 blocks with 50 samples each, with a device; every figure of every block another one.
    configurations = [make_configuration(n, 32) for n in range(3, 33)]
    plain = make_result(configurations, device=True)
    samples = tuple(
        replace(
            sample,
            sample_id=10 * sample.sample_id + n,
            started_s=draw.random() * 500,
            prefill_ms=sample.prefill_ms * draw.gauss(1, 0.02),
        )
        for sample in plain.samples
        if not sample.reference
        for n in range(10)
    )
    attribution = tuple(
        replace(
            item,
            phases=tuple(
                replace(
                    phase,
                    blocks=tuple(
                        replace(
                            block,
                            host_us=block.host_us * draw.gauss(1, 0.1),
                            device_us=block.device_us * draw.gauss(1, 0.1),
                            mask_check_us=draw.random(),
                        )
                        for block in phase.blocks
                    ),
                )
                for phase in item.phases
            ),
        )
        for item in plain.attribution
    )
    text = rendered(run(replace(plain, samples=samples, attribution=attribution)))
    assert len(samples) == 1500
    assert len(text.encode()) < 2_000_000


def test_of_very_many_blocks_some_configurations_are_shown_one_by_one():
    page = read(run(make_result([make_configuration(n, 80) for n in range(1, 81)])))
    folds = [attributes["data-fold"] for attributes in page.of("details") if "data-fold" in attributes]
    assert len(folds) == 25
    assert (folds[0], folds[-1]) == ("first-01-of-80", "first-80-of-80")
    assert any("25 of the 80 configurations are shown block by block" in line for line in page.lines)
    # All of them are in the overview.
    assert len(data_of(page)["plots"]["r0-blocks-host-prefill"]) == 80 * 80


def test_masks_are_pictures_with_a_name():
    assert mask_svg([1.0, 0.5, 0.0]) == (
        '<svg class="mask" viewBox="0 0 12 9" width="12" height="9" role="img" aria-label="mask 1+0">'
        '<path class="k-active" d="M1.5 0V9M5.5 4V9"/><path class="k-rest" d="M9.5 8v1"/></svg>'
    )
