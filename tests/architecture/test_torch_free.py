"""The reading half and the start of the command never import what takes seconds to import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.traces import TraceBuilder

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = {"torch", "transformers", "pandas"}
READING_HALF = (
    "errors",
    "version",
    "ranges",
    "stats",
    "masks",
    "config",
    "results",
    "traces",
    "analysis",
    "reports",
    "machine",
    "serial",
)
STANDARD_LIBRARY_ONLY = ("errors", "version", "ranges", "masks", "config", "results", "machine")
THIRD_PARTY = {"numpy", "msgspec", "rich", "jinja2", "tensorboard", "PIL"}


def modules_of(stage):
    """Dotted names of a stage's modules, as they stand on disk."""
    base = SOURCE / "maskprof" / stage
    files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    parts = [path.relative_to(SOURCE).with_suffix("").parts for path in files]
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


def imported_after(code):
    """The top-level packages that a fresh interpreter holds after running `code`."""
    report = (
        "\nimport json, sys\nprint('\\n' + json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("stage", READING_HALF)
def test_the_reading_half_imports_no_torch(stage):
    loaded = imported_after("\n".join(f"import {name}" for name in modules_of(stage)))
    assert not loaded & HEAVY
    if stage in STANDARD_LIBRARY_ONLY:
        assert not loaded & THIRD_PARTY


def test_importing_maskprof_imports_next_to_nothing():
    assert not imported_after("import maskprof\nmaskprof.BlockMask") & (HEAVY | THIRD_PARTY)


@pytest.mark.parametrize("flags", [["--help"], ["--version"], []])
def test_the_bare_command_starts_fast(flags):
    code = f"from maskprof.cli.main import main\nassert main({flags!r}) == 0"
    assert not imported_after(code) & (HEAVY | THIRD_PARTY)


@pytest.mark.parametrize(
    "command", ["run", "models", "analyze", "compare", "diff", "doctor", "report", "view"]
)
def test_the_help_of_a_command_imports_neither_torch_nor_numpy(command):
    code = f"from maskprof.cli.main import main\nassert main([{command!r}, '--help']) == 0"
    assert not imported_after(code) & (HEAVY | {"numpy", "pandas"})


@pytest.mark.parametrize("command", ["analyze", "diff"])
def test_the_help_of_what_reads_traces_imports_next_to_nothing(command):
    code = f"from maskprof.cli.main import main\nassert main([{command!r}, '--help']) == 0"
    assert not imported_after(code) & (HEAVY | THIRD_PARTY)


@pytest.mark.parametrize("output", ["--json", "--markdown", None])
@pytest.mark.parametrize("command", ["analyze", "diff"])
def test_reading_traces_imports_only_what_it_needs(tmp_path, command, output):
    path = TraceBuilder().op("aten::mm", 0, 10).write(tmp_path / "trace.json.gz")
    words = [
        command,
        *[str(path)] * (1 if command == "analyze" else 2),
        *([] if output is None else [output, "-"]),
    ]
    loaded = imported_after(f"from maskprof.cli.main import main\nassert main({words!r}) == 0")
    assert not loaded & (HEAVY | {"tensorboard", "jinja2", "PIL"})
    assert ("rich" in loaded) == (output is None)
