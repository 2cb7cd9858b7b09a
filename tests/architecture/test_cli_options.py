"""The flags of commands are what scripts and people rely on: none goes, changes or comes unnoticed."""

import argparse
from dataclasses import fields
from importlib import import_module

import pytest

from maskprof.cli.options import CommandParser, add_run_arguments, run_config
from maskprof.config.schema import RunConfig

# flag: (words on the command line, the value it sets, the default)
FLAGS = {
    "model_path": (["gpt2"], "gpt2", None),
    "output_dir": (["out"], "out", "./results/transformer_blocks_mask"),
    "num_samples": (["7"], 7, 50),
    "num_active_blocks": (["4", "8", "12"], (4, 8, 12), ()),
    "active_block_indices": (["0", "5", "10"], ((0, 5, 10),), ()),
    "strategy": (["uniform"], "uniform", "first"),
    "fractions": (["0.25", "0.5"], (0.25, 0.5), ()),
    "max_new_tokens": (["1", "16"], (1, 16), (10,)),
    "prompt": (["Hello there"], "Hello there", None),
    "image": (["none"], "none", None),
    "num_crops": (["4"], (4,), ()),
    "prompt_tokens": (["128", "512"], (128, 512), ()),
    "moe_top_k": (["8", "4"], (8, 4), ()),
    "batch_size": (["2"], 2, 1),
    "device": (["cuda:1"], "cuda:1", "auto"),
    "dtype": (["float16"], "float16", None),
    "attn_implementation": (["eager"], "eager", None),
    "num_warmup": (["0"], 0, 3),
    "seed": (["42"], 42, 0),
    "skip_mode": (["mask", "remove"], ("mask", "remove"), ("mask",)),
    "dummy_cache": (["zeros", "virtual"], ("zeros", "virtual"), ("virtual",)),
    "mask_on": (["host", "device"], ("host", "device"), ("host",)),
    "closure_samples": (["5"], 5, None),
    "trace": ([], True, True),
    "trace_dir": (["tr"], "tr", None),
    "trace_steps": (["2"], 2, 4),
    "trace_shapes": ([], True, False),
    "trace_stacks": ([], True, False),
    "trace_memory": ([], True, False),
    "resume": ([], True, False),
    "timeout_per_config": (["2.5"], 2.5, None),
    "isolate": ([], True, False),
    "trust_remote_code": ([], True, False),
}
NO_SETTINGS = {"--help", "--no_trace", "--config", "--verbose"}


@pytest.fixture
def parser():
    parser = CommandParser(prog="maskprof run")
    add_run_arguments(parser)
    return parser


def shown_flags(parser):
    return {
        option
        for action in parser._actions
        if action.help is not argparse.SUPPRESS
        for option in action.option_strings
        if option.startswith("--")
    }


def test_the_flags_are_exactly_these(parser):
    assert shown_flags(parser) == {f"--{name}" for name in FLAGS} | NO_SETTINGS


def test_every_setting_has_its_flag():
    assert {field.name for field in fields(RunConfig)} == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_defaults(name):
    assert getattr(RunConfig(), name) == FLAGS[name][2]


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("spelling", ["underscores", "hyphens"])
def test_each_flag_sets_its_setting(parser, name, spelling):
    words, expected, _ = FLAGS[name]
    flag = f"--{name}" if spelling == "underscores" else f"--{name.replace('_', '-')}"
    args = parser.parse_args([flag, *words])
    given = set(vars(args)) - {"config", "verbose"}
    assert given == {name}, "only what was given becomes an override"
    assert getattr(run_config(args), name) == expected


@pytest.mark.parametrize("flag", ["--no_trace", "--no-trace"])
def test_traces_can_be_turned_off(parser, flag):
    assert run_config(parser.parse_args([flag])).trace is False


def test_explicit_masks_are_repeatable_in_both_spellings(parser):
    flags = ("--active_block_indices", "--active-block-indices", "--active_block_indices")
    words = [flags[0], "0", "1", "2", "3", flags[1], "6", "7", flags[2], "5"]
    assert run_config(parser.parse_args(words)).active_block_indices == ((0, 1, 2, 3), (6, 7), (5,))


def test_nothing_given_is_the_default_run(parser):
    args = parser.parse_args([])
    assert run_config(args) == RunConfig()
    assert args.verbose == 0


@pytest.mark.parametrize(("words", "level"), [(["-v"], 1), (["-vv"], 2), (["--verbose"], 1)])
def test_verbosity(parser, words, level):
    assert parser.parse_args(words).verbose == level


TRACE_FLAGS = {"--within", "--max_text_bytes", "--json", "--csv", "--markdown", "--top"}


@pytest.mark.parametrize(
    ("command", "flags", "positional"),
    [
        ("analyze", TRACE_FLAGS | {"--peaks"}, ["traces"]),
        ("diff", TRACE_FLAGS | {"--threshold"}, ["a", "b"]),
    ],
)
def test_the_flags_of_what_reads_traces_are_exactly_these(command, flags, positional):
    parser = CommandParser(prog=f"maskprof {command}")
    import_module(f"maskprof.cli.{command}").add_arguments(parser)
    assert shown_flags(parser) == flags | {"--help"}
    assert [action.dest for action in parser._actions if not action.option_strings] == positional
    given = parser.parse_args(["t.json"] * len(positional))
    assert (given.top, given.json, given.csv, given.markdown, given.within) == (10, None, None, None, None)
    assert parser.parse_args([*["t.json"] * len(positional), "--max-text-bytes", "5"]).max_text_bytes == 5


OUTPUTS = {
    "analyze": {"--json", "--csv", "--markdown", "--top"},
    "diff": {"--json", "--csv", "--markdown", "--top"},
    "compare": {"--json", "--csv", "--markdown"},
    "report": {"--json", "--csv", "--markdown", "--html", "--svg", "--png"},
    "models": {"--json", "--markdown"},
    "doctor": {"--json"},
}


def parser_of(command):
    parser = CommandParser(prog=f"maskprof {command}")
    import_module(f"maskprof.cli.{command}").add_arguments(parser)
    return parser


@pytest.mark.parametrize("command", OUTPUTS)
def test_outputs_are_named_alike_in_every_command(command):
    parser = parser_of(command)
    flags = shown_flags(parser)
    assert OUTPUTS[command] == flags & {flag for flags in OUTPUTS.values() for flag in flags}
    shapes = {option: action.nargs for action in parser._actions for option in action.option_strings}
    assert {shapes[flag] for flag in ("--json", "--markdown") if flag in flags} == {"?"}


@pytest.mark.parametrize(
    ("command", "words", "given"),
    [
        ("compare", ["a", "b", "--json"], {"json": "-"}),
        ("compare", ["--json", "a", "b"], {"json": "-"}),
        ("compare", ["a", "--json", "b"], {"json": "-"}),
        ("compare", ["a", "b", "--json", "out"], {"json": "out"}),
        ("compare", ["a", "--json", "out", "b"], {"json": "out"}),
        ("compare", ["--json=out", "a", "b"], {"json": "out"}),
        ("compare", ["--csv", "d", "--json", "a", "b", "--markdown", "m"], {"json": "-", "csv": "d", "markdown": "m"}),
        ("compare", ["--json", "-", "a", "b"], {"json": "-"}),
        ("analyze", ["--json", "a"], {"json": "-"}),
        ("analyze", ["--json", "out", "a"], {"json": "out"}),
        ("analyze", ["a", "--json", "--markdown", "m"], {"json": "-", "markdown": "m"}),
        ("models", ["--json"], {"json": "-"}),
        ("models", ["--check", "llama", "gpt2", "--json"], {"json": "-", "check": ["llama", "gpt2"]}),
        ("doctor", ["--json", "out"], {"json": "out"}),
    ],
)  # fmt: skip
def test_a_word_is_a_file_only_where_enough_are_left_for_the_arguments(command, words, given):
    args = vars(parser_of(command).parse_args(words))
    assert {name: args[name] for name in given} == given
    if command == "compare":
        assert (str(args["before"]), str(args["after"])) == ("a", "b")
    if command == "analyze":
        assert args["traces"] == ["a"]
