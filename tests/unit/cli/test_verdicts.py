"""`maskprof models --check`: its tables, JSON, page and exit codes; what is found is tested elsewhere."""

import json

import pytest

from maskprof import conformance
from maskprof.cli.main import main
from maskprof.models.tiny import architectures


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


class Checks:
    """Stands in for the conformance check, which takes a second for each architecture."""

    def __init__(self, monkeypatch, **outcomes):
        self.outcomes, self.names = outcomes, []
        monkeypatch.setattr(conformance, "check", self)

    def __call__(self, architecture):
        self.names.append(architecture.model_type)
        outcome = self.outcomes.get(architecture.model_type.replace("-", "_"), "exact")
        if outcome == "exact":
            ways = {"left padding": 3, "generate": 2, "static cache": 0}
            return conformance.Verdict(
                architecture=architecture,
                outcome=outcome,
                path="roberta_prelayernorm.encoder.layer",
                bit_exact=12,
                within_bound=2,
                masks_refused=1,
                ways=ways,
                reason="mask 0011 is not defined for X: block 2 [of 4] reuses | what block 0 has",
            )
        return conformance.Verdict(architecture=architecture, outcome=outcome, reason=f"{outcome} [why]")


def test_a_check_of_some_architectures(monkeypatch, capsys):
    checks = Checks(monkeypatch, blt="refused", gemma3n="unavailable")
    assert main(["models", "--check", "qwen3_omni_moe_thinker", "qwen3_5", "blt", "gemma3n"]) == 0
    out, err = capsys.readouterr()
    assert checks.names == ["blt", "gemma3n", "qwen3_5", "qwen3_5", "qwen3_omni_moe_thinker"]
    assert err == "checking 5 architectures\n"
    lines = [line.rstrip() for line in out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["architecture", "blocks", "outcome", "bit", "near", "no"]
    assert [line.split() for line in lines[1:4]] == [
        ["qwen3_5", "roberta_prelayernorm.encoder.layer", "exact", "12", "2", "1"],
        ["qwen3_5", "[image]", "roberta_prelayernorm.encoder.layer", "exact", "12", "2", "1"],
        ["qwen3_omni_moe_thinker", "roberta_prelayernorm.encoder.layer", "exact", "12", "2", "1"],
    ]
    assert "blt: not supported, refused [why]" in lines
    assert "gemma3n: not checked, unavailable [why]" in lines
    assert " ".join(lines[-2:]) == (
        "3 of 5 architectures exact (36 masks bit-exact, 6 within bound, 3 refused), 0 inexact, 1 not supported, "
        "1 not available here."
    )


def test_a_check_that_finds_something(monkeypatch, capsys):
    Checks(monkeypatch, llama="inexact")
    assert main(["models", "--check", "llama", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "model_type": "llama",
            "task": "causal-lm",
            "class_name": "LlamaForCausalLM",
            "outcome": "inexact",
            "path": "",
            "bit_exact": 0,
            "within_bound": 0,
            "masks_refused": 0,
            "ways": {},
            "reason": "inexact [why]",
        }
    ]


def test_a_check_of_all_as_a_page(monkeypatch, capsys, tmp_path):
    checks = Checks(monkeypatch, blt="refused")
    page = tmp_path / "models.md"
    assert main(["models", "--check", "all", "--markdown", str(page)]) == 0
    assert checks.names == [one.model_type for one in architectures()]
    text = page.read_text(encoding="utf-8")
    assert f"`maskprof models --check all --markdown {page}`" in text
    total = len(checks.names)
    summary = f"{total - 1} of {total} architectures exact"
    assert summary in text
    assert summary in " ".join(capsys.readouterr().out.split())
    row = (
        "| `llama` | causal-lm | `roberta_prelayernorm.encoder.layer` | exact | 12 | 2 | 1 | 3 | 2 | - | - |"
    )
    assert row in text.splitlines()
    assert "| `blt` | causal-lm | refused | refused [why] |" in text.splitlines()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--check", "lllama"],
            "--check: transformers has no architecture 'lllama'; the closest name is 'llama'",
        ),
        (["--check", "llama", "Qwen3"], "no architecture 'Qwen3'; the closest name is 'qwen3'"),
        (["--check"], "expected at least one argument"),
        (["--markdown", "page.md"], "give --check too"),
        (["--check", "llama", "--markdown", "absent/page.md"], "there is no folder absent for page.md"),
    ],
)
def test_checks_that_cannot_be_meant(capsys, words, sentence):
    assert main(["models", *words]) == 2
    assert sentence in capsys.readouterr().err
