import pytest

from maskprof.reports.fragment import fragment, table_html
from maskprof.reports.layout import Column, Table
from maskprof.reports.page import Run, plots_of
from tests.support.html import ReadPage
from tests.support.results import make_result

TABLE = Table(
    title="Kernels",
    columns=(
        Column(key="name", title="\nkernel", cells=("a<b>", "c"), justify="left", role="name"),
        Column(key="total", title="total\nus", cells=("12.0", "3.0")),
        Column(key="bar_9", title="", cells=("███", "█"), justify="left", role="mask"),
    ),
    notes=("A note & more.",),
    strong_rows=frozenset((0,)),
)


def test_a_table_without_its_bars():
    page = ReadPage(table_html(TABLE))
    assert page.lines == ["Kernels", "kernel | total us", "a<b> | 12.0", "c | 3.0", "A note & more."]
    assert "font-weight:600" in page.of("td")[0]["style"]
    assert "font-weight:600" not in page.of("td")[2]["style"]


def test_title_sentences_plots_and_tables():
    plots = plots_of([Run(name="", result=make_result())])[:1]
    page = ReadPage(fragment("a <model>", ["One.", "<script>two</script>"], plots, [TABLE]))
    assert page.lines[:3] == ["a <model>", "One.", "<script>two</script>"]
    assert page.names().isdisjoint({"script", "style", "link", "img"})
    assert len(page.of("svg")) == 1
    assert page.of("div")[3]["aria-label"] == "Prefill latency in ms over active blocks"


@pytest.mark.parametrize("attack", ["<img onerror=x>", "\x00\x1b", "</svg><script>"])
def test_names_stay_text(attack):
    page = ReadPage(
        fragment(
            attack,
            [attack],
            (),
            [Table(title=attack, columns=(Column(key="a", title=attack, cells=(attack,)),))],
        )
    )
    assert page.names() <= {"div", "p", "table", "caption", "thead", "tbody", "tr", "th", "td"}
