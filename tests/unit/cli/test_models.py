"""`maskprof models`: the presets as a table and as JSON."""

import json
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from maskprof.cli.main import main


@dataclass(frozen=True)
class FakePreset:
    name: str
    description: str
    num_blocks: int
    num_parameters: int
    has_vision: bool
    model_type: str


PRESETS = [
    FakePreset("demo", "the built-in one [small]", 16, 12_345_678, True, "molmo2"),
    FakePreset("gemma-3-1b", "just below a billion", 26, 999_885_952, False, "gemma3_text"),
    FakePreset(
        "llama-3.2-1b", "a dense decoder with grouped-query attention", 16, 1_235_814_400, False, "llama"
    ),
]


@pytest.fixture(autouse=True)
def presets(monkeypatch):
    module = ModuleType("maskprof.models.presets")
    module.PRESETS = {preset.name: preset for preset in PRESETS}
    monkeypatch.setitem(sys.modules, "maskprof.models.presets", module)
    monkeypatch.setenv("COLUMNS", "80")


def test_the_table(capsys):
    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].rstrip() == "Presets: true shapes, random weights"
    assert lines[1].split() == ["name", "blocks", "parameters", "vision", "what", "it", "is"]
    assert lines[2].split()[:5] == ["demo", "16", "12.3", "M", "yes"]
    assert lines[2].rstrip().endswith("[small]")
    assert lines[3].split()[:4] == ["gemma-3-1b", "26", "1.00", "B"]
    assert lines[4].split()[:4] == ["llama-3.2-1b", "16", "1.24", "B"]
    assert lines[-1] == "Use one by its name: maskprof run --model_path NAME"
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out


def test_json(capsys):
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": preset.name,
            "description": preset.description,
            "num_blocks": preset.num_blocks,
            "num_parameters": preset.num_parameters,
            "has_vision": preset.has_vision,
            "model_type": preset.model_type,
        }
        for preset in PRESETS
    ]
