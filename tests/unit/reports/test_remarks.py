import io
from dataclasses import replace

from rich.console import Console

from maskprof.reports.console import print_result
from maskprof.reports.findings import warnings
from maskprof.reports.remarks import sentence, sentences
from maskprof.results.circumstances import Finding
from tests.support.results import make_result

BUSY = Finding(
    topic="load",
    is_warning=True,
    text="other processes kept 1.5 of 2 [b]processors[/b] busy meanwhile",
    advice="measure when nothing else runs",
)
LIMIT = Finding(topic="threads", is_warning=False, text="this process may run on 1 of 2 processors")


def test_a_finding_is_a_sentence_with_its_advice():
    assert sentences((BUSY, LIMIT)) == (
        "Load: other processes kept 1.5 of 2 [b]processors[/b] busy meanwhile (measure when nothing else runs).",
        "Threads: this process may run on 1 of 2 processors.",
    )


def test_findings_stand_between_the_headline_and_the_tables():
    out = io.StringIO()
    result = replace(make_result(), findings=(BUSY, LIMIT))
    print_result(result, Console(file=out, width=140), where=())
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    first = lines.index(sentence(BUSY))
    assert lines[first + 1] == sentence(LIMIT)
    assert lines[first + 2] == ""
    assert lines[first + 3].startswith("Latency")


def test_a_page_warns_of_them_too():
    found = warnings(replace(make_result(), findings=(BUSY, LIMIT)))
    assert found[-1] == sentence(BUSY)
    assert sentence(LIMIT) not in found
