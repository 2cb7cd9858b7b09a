"""The command's frame: subcommands, exit codes, one sentence per error."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import ModuleType

import pytest

from maskprof.cli import main as cli
from maskprof.cli.options import CommandParser, add_run_arguments, run_config
from maskprof.errors import ConfigError, MaskError, MaskprofError
from maskprof.version import __version__


@pytest.fixture
def command(monkeypatch):
    """Stand in for `maskprof run`: the real flags, with the given function as its work."""

    def install(work):
        module = ModuleType("fake_run")
        module.add_arguments = add_run_arguments
        module.run = work
        monkeypatch.setitem(sys.modules, "fake_run", module)
        monkeypatch.setitem(cli.COMMANDS, "run", cli.Command("fake_run", "measure"))

    return install


def raising(error):
    def work(args):
        raise error

    return work


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_commands_exit_code_is_passed_on(command, code):
    command(lambda args: code)
    assert cli.main(["run"]) == code


def test_the_command_gets_its_flags(command):
    seen = []

    def work(args):
        seen.append(run_config(args))
        return 0

    command(work)
    assert cli.main(["run", "--num-samples", "3", "--no_trace"]) == 0
    assert (seen[0].num_samples, seen[0].trace) == (3, False)


def test_the_process_own_words_are_the_default(command, monkeypatch):
    command(lambda args: args.verbose)
    monkeypatch.setattr(sys, "argv", ["maskprof", "run", "-v"])
    assert cli.main() == 1


@pytest.mark.parametrize(
    "error", [MaskError("no block 9"), ConfigError("no block 9"), MaskprofError("no block 9")]
)
def test_bad_input_is_one_sentence_and_2(command, capsys, error):
    command(raising(error))
    assert cli.main(["run"]) == 2
    assert capsys.readouterr() == ("", "maskprof: no block 9\n")


def test_a_refused_setting_is_one_sentence_and_2(command, capsys):
    command(lambda args: run_config(args) and 0)
    assert cli.main(["run", "--num_active_blocks", "0"]) == 2
    expected = "maskprof: --num_active_blocks: needs a whole number of at least 1, got 0\n"
    assert capsys.readouterr() == ("", expected)


def test_interruption_is_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err == "maskprof: interrupted\n"


def test_our_own_bugs_keep_their_traceback(command):
    command(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["run"])


def test_somebody_elses_exit_with_a_message_is_no_success(command):
    command(raising(SystemExit("out of luck")))
    with pytest.raises(SystemExit, match="out of luck"):
        cli.main(["run"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--num_samples", "many"], "argument --num_samples: needs a whole number, got 'many'"),
        (["--num-samples", "1.5"], "argument --num-samples: needs a whole number, got '1.5'"),
        (["--fractions", "half"], "argument --fractions: needs a number, got 'half'"),
        (["--num_active_blocks"], "argument --num_active_blocks: expected at least one argument"),
        (
            ["--num_active_block", "4"],
            "unknown argument --num_active_block; did you mean --num_active_blocks?",
        ),
        (["--num-sample=4"], "unknown argument --num-sample; did you mean --num_samples?"),
        (["--num", "4"], "unknown argument --num"),
        (["gpt2"], "unknown argument gpt2"),
    ],
)
def test_a_bad_flag_is_one_sentence_and_a_hint(command, capsys, words, sentence):
    command(lambda args: 0)
    assert cli.main(["run", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"maskprof run: error: {sentence}",
        "maskprof run --help lists what there is",
    ]


def test_an_unknown_command_names_those_there_are(capsys):
    assert cli.main(["rnu"]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"maskprof: error: there is no command 'rnu'; the commands are {', '.join(cli.COMMANDS)}"


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_lists_the_commands(capsys, words):
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, entry in cli.COMMANDS.items():
        assert f"  {name}" in out
        assert entry.help in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_help_of_run_shows_each_flag_once_with_its_default(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    command(lambda args: 0)
    assert cli.main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "usage: maskprof run [options]"
    assert out.count("--num_samples") == 2  # its own line, and where --closure_samples refers to it
    assert out.count("--trace_steps") == 1
    assert "--num-samples" not in out
    assert "measured repetitions per configuration [50]" in out
    assert "[./results/transformer_blocks_mask]" in out
    for group in ("masks:", "model:", "inputs:", "measuring:", "traces:", "output:"):
        assert f"\n{group}\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_version_names_what_it_runs_on(capsys, monkeypatch):
    def version(package):
        if package == "transformers":
            raise PackageNotFoundError(package)
        return "9.9"

    monkeypatch.setattr(cli, "version", version)
    assert cli.main(["--version"]) == 0
    python = ".".join(map(str, sys.version_info[:3]))
    assert capsys.readouterr().out.splitlines() == [
        f"maskprof {__version__}",
        f"python {python}",
        "torch 9.9",
    ]


def test_a_reader_that_went_away_ends_it_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", "maskprof", "--version"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


def test_python_m_maskprof_is_the_command():
    result = subprocess.run(
        [sys.executable, "-m", "maskprof", "nope"], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_any_parser_takes_the_flags_of_run():
    parser = CommandParser(prog="other")
    add_run_arguments(parser)
    assert parser.parse_args(["--mask-on", "cpu"]).mask_on == ["cpu"]
