"""The page of mutation testing: which mutants survived, and which of them are known to make no difference."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

RESULTS = """\
    maskprof.stats.x_describe__mutmut_1: killed
    maskprof.stats.x__array__mutmut_12: survived
    maskprof.serial.xǁMedianErrorsǁreach__mutmut_3: no tests
    maskprof.serial.x_change_point__mutmut_2: timeout
"""
DIFF = """\
# maskprof.stats.x__array__mutmut_12: survived
--- src/maskprof/stats.py
+++ src/maskprof/stats.py
@@ -1,4 +1,4 @@
 def _array(values):
-    return np.asarray(
-        values, dtype=float)
+    return np.asarray(values)
"""
KNOWN = """\
[[group]]
reason = '''
The same
is said twice.'''
mutants = [["stats._array", "return np.asarray( values, dtype=float)", "return np.asarray(values)"]]
"""


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("mutants", "pages"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import mutants

    yield mutants
    for name in ("mutants", "pages"):
        sys.modules.pop(name, None)


@pytest.fixture
def found(mutants):
    return [
        mutants.parse_mutant(name, status, DIFF if "_array" in name else "")
        for name, status in mutants.parse_results(RESULTS)
    ]


def test_a_mutant_is_known_by_its_place_and_its_changed_lines_not_by_its_number(found):
    assert [(one.place, one.module, one.status) for one in found] == [
        ("stats.describe", "stats", "killed"),
        ("stats._array", "stats", "survived"),
        ("serial.MedianErrors.reach", "serial", "no tests"),
        ("serial.change_point", "serial", "timeout"),
    ]
    assert found[1].change == (
        "stats._array",
        "return np.asarray( values, dtype=float)",
        "return np.asarray(values)",
    )


def test_what_survives_is_explained_or_to_be_looked_at(mutants, found):
    reasons = mutants.known_reasons(KNOWN)
    assert [one.place for one in mutants.unexplained(found, reasons)] == ["serial.MedianErrors.reach"]
    lines = mutants.page(found, reasons, ["- python: 3"]).splitlines()
    assert "| `serial` | 2 | 0 | 1 | 1 | 0 | 1 to look at |" in lines
    assert "| `stats` | 2 | 1 | 0 | 1 | 1 | no hole |" in lines
    assert "| all | 4 | 1 | 1 | 2 | 1 | 1 to look at |" in lines
    at = lines.index("## Survivors without a reason")
    assert lines[at + 2] == "- `serial.MedianErrors.reach` (no tests): `` became ``"
    at = lines.index("## Survivors that make no difference")
    assert lines[at + 2 :] == [
        "The same is said twice.",
        "",
        "- `stats._array`: `return np.asarray( values, dtype=float)` became `return np.asarray(values)`",
    ]


def test_the_published_page_has_no_hole():
    page = BENCHMARKS.parent / "docs" / "results" / "mutants.md"
    text = page.read_text(encoding="utf-8")
    assert "| all |" in text
    assert "to look at" not in text
    assert "Survivors without a reason" not in text
