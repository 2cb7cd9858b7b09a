"""What can be imported from `maskprof`: these names, and no others."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import maskprof

NAMES = [
    "BlockMask",
    "BlockMaskWrapper",
    "ConfigError",
    "MaskError",
    "MaskprofError",
    "ModelError",
    "ResultError",
    "TraceError",
    "__version__",
    "analyze",
    "diff",
    "find_blocks",
    "find_traces",
    "load_result",
    "read_trace",
    "read_traces",
]


def test_the_names_are_decided_and_sorted():
    assert maskprof.__all__ == NAMES
    assert maskprof.__all__ == sorted(maskprof.__all__)
    assert dir(maskprof) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_can_be_imported(name):
    value = getattr(maskprof, name)
    home = maskprof._HOMES.get(name)
    if home is not None:
        assert value is getattr(import_module(home), name)


def test_other_names_are_refused_by_name():
    with pytest.raises(AttributeError, match="module 'maskprof' has no attribute 'BlockMasks'"):
        _ = maskprof.BlockMasks


def test_type_checkers_see_what_python_sees():
    tree = ast.parse(Path(maskprof.__file__).read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert seen == maskprof._HOMES


def test_errors_are_one_tree():
    for name in NAMES:
        if name.endswith("Error"):
            assert issubclass(getattr(maskprof, name), maskprof.MaskprofError)
    assert issubclass(maskprof.MaskError, ValueError)
    assert issubclass(maskprof.TraceError, ValueError)
