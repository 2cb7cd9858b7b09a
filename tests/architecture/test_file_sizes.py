"""No source file outgrows what one reads in one sitting."""

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "maskprof"
MOST_LINES = 400


def test_no_source_file_is_longer_than_400_lines():
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
    }
    assert lengths, f"no source under {SOURCE}"
    too_long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES}
    assert not too_long, f"split these by what they hold: {too_long}"


def test_no_module_is_named_for_nothing():
    vague = {"utils", "util", "common", "helpers", "helper", "misc"}
    found = [str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*") if path.stem in vague]
    assert not found, f"name these for what they hold: {found}"
