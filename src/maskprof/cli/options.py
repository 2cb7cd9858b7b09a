"""The parser of every command, and the flags of `maskprof run`."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

from maskprof.config.load import load_config
from maskprof.config.schema import (
    DEFAULT_PROMPT,
    DTYPES,
    DUMMY_CACHES,
    FIELD_NAMES,
    MASK_PLACES,
    SKIP_MODES,
    RunConfig,
)
from maskprof.masks.strategies import STRATEGIES

_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(RunConfig)}
_MOST_CLOSURE_SAMPLES = RunConfig(num_samples=1_000_000).resolved_closure_samples


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence and a hint, without the usage of forty lines."""

    def __init__(self, **options: Any) -> None:
        # Abbreviations would make `--num` mean another flag as soon as a new one is added.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, with the closest flag named where one is unknown.

        A flag that may do without its value, as in `--json [FILE|-]`, does where the word behind it is needed as an
        argument of the command: `compare --json BEFORE AFTER`.
        """
        words = list(sys.argv[1:] if args is None else args)
        parsed, unknown = self.parse_known_args(self._with_words_left(words), namespace)
        if unknown:
            self.error(self._unknown_sentence(unknown))
        return parsed

    def error(self, message: str) -> NoReturn:
        """One sentence and where to read on, on stderr; exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help lists what there is\n")

    def _with_words_left(self, words: list[str]) -> list[str]:
        """The same, with the flags that must do without their values written as `--flag=value`."""
        needed = sum(action.nargs in (None, "+") for action in self._get_positional_actions())
        free, left, taken = 0, 0, list[int]()
        for place, word in enumerate(words):
            if word == "--":
                return words
            if word.startswith("-") and word != "-":
                left = self._most_values(word)
            elif left > 0:
                left -= 1
                taken += [place - 1] if self._may_do_without(words[place - 1]) else []
            else:
                free += 1
        alone = taken[: max(0, needed - free)]
        return [
            f"{word}={self._option_string_actions[word].const}" if place in alone else word
            for place, word in enumerate(words)
        ]

    def _most_values(self, option: str) -> int:
        action = self._option_string_actions.get(option)
        if action is None or action.nargs == 0:
            return 0
        return 1 if action.nargs in (None, "?") else sys.maxsize

    def _may_do_without(self, word: str) -> bool:
        action = self._option_string_actions.get(word)
        return action is not None and action.nargs == "?"

    def _unknown_sentence(self, unknown: Sequence[str]) -> str:
        given = next((word for word in unknown if word.startswith("--")), unknown[0]).partition("=")[0]
        shown = [action for action in self._actions if action.help is not argparse.SUPPRESS]
        names = {option.strip("-"): option for action in shown for option in action.option_strings}
        close = difflib.get_close_matches(given.strip("-").replace("-", "_"), names, n=1, cutoff=0.7)
        return f"unknown argument {given}" + (f"; did you mean {names[close[0]]}?" if close else "")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every flag of `maskprof run`.

    A setting appears in the parsed namespace only if it was given, so that a configuration file can speak
    where the command line does not; `config` (None) and `verbose` (0) are always there.
    """
    # Argparse's own would list every flag, fifteen lines of it.
    parser.usage = "%(prog)s [options]"
    _add_mask_flags(parser)
    _add_model_flags(parser)
    _add_input_flags(parser)
    _add_measuring_flags(parser)
    _add_trace_flags(parser)
    _add_output_flags(parser)


def run_config(args: argparse.Namespace) -> RunConfig:
    """The settings that parsed flags ask for, on top of the file of `--config` if there is one.

    Raises:
        ConfigError: as `load_config`.
    """
    given = {name: value for name, value in vars(args).items() if name in FIELD_NAMES}
    return load_config(given, args.config)


def _add_mask_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "masks", "which blocks run; with none of these, every count from 1 to all"
    )
    _add(group, "num_active_blocks", "counts of active blocks", nargs="+", type=_whole_number, metavar="N")
    _add(group, "fractions", "counts as shares of all blocks: 0.25 0.5", nargs="+", type=_number, metavar="F")
    _add(
        group,
        "active_block_indices",
        "one mask of exactly these blocks; repeatable; counts and fractions are then not used",
        nargs="+",
        type=_whole_number,
        metavar="I",
        action="append",
    )
    _add(group, "strategy", f"how counts choose blocks: {_listed(STRATEGIES)}", metavar="NAME")
    several = "; several values: every combination is measured"
    _add_several(group, "skip_mode", f"how blocks are skipped: {_listed(SKIP_MODES)}{several}", "MODE")
    _add_several(group, "dummy_cache", f"a skipped block's cache: {_listed(DUMMY_CACHES)}{several}", "KIND")
    _add_several(group, "mask_on", f"where the mask is read: {_listed(MASK_PLACES)}{several}", "PLACE")


def _add_model_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    _add(
        group,
        "model_path",
        "a Hugging Face directory or hub name, a .gguf file, or a preset (see `maskprof models`) "
        "[./checkpoints where it exists, else the built-in demo model]",
        metavar="PATH_OR_NAME",
    )
    _add(group, "device", "auto, cpu, cuda or cuda:i", metavar="DEVICE")
    _add(group, "dtype", f"{_listed(DTYPES)} [bfloat16 on a GPU, float32 on a CPU]", metavar="DTYPE")
    _add(
        group,
        "attn_implementation",
        "attention code, passed on to transformers [its own choice]",
        metavar="NAME",
    )
    _add(
        group,
        "moe_top_k",
        "experts that each token goes through, on a mixture of experts; several values: "
        "every combination with what else has several is measured",
        nargs="+",
        type=_whole_number,
        metavar="N",
    )
    _add(group, "trust_remote_code", "let a checkpoint's own Python code run", action="store_true")


def _add_input_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("inputs")
    _add(group, "prompt", f'the text [with an image: "{DEFAULT_PROMPT}"]', metavar="TEXT")
    _add(
        group,
        "image",
        "a picture for a vision-language model, or none [a plain blue 336x336 one]",
        metavar="PATH|none",
    )
    _add(
        group,
        "num_crops",
        "high-resolution crops of the picture beside the whole one; several values: "
        "every combination with what else has several is measured",
        nargs="+",
        type=_whole_number,
        metavar="N",
    )
    _add(
        group,
        "prompt_tokens",
        "a synthetic prompt of exactly N tokens instead; several values: likewise",
        nargs="+",
        type=_whole_number,
        metavar="N",
    )
    _add(group, "batch_size", "rows in the batch, all alike", type=_whole_number, metavar="N")
    _add(
        group,
        "max_new_tokens",
        "tokens generated per sample; several values: likewise",
        nargs="+",
        type=_whole_number,
        metavar="N",
    )


def _add_measuring_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("measuring")
    _add(group, "num_samples", "measured repetitions per configuration", type=_whole_number, metavar="N")
    _add(
        group, "num_warmup", "least unrecorded repetitions per configuration", type=_whole_number, metavar="N"
    )
    _add(
        group,
        "closure_samples",
        "repetitions of the reference with the blocks removed; 0: none "
        f"[as --num_samples, at most {_MOST_CLOSURE_SAMPLES}]",
        type=_whole_number,
        metavar="N",
    )
    _add(
        group,
        "seed",
        "for random masks, weights and prompts, and the order of measuring",
        type=_whole_number,
        metavar="N",
    )
    _add(
        group,
        "timeout_per_config",
        "seconds that one configuration may take in all; then it fails and the others go on [no limit]",
        type=_number,
        metavar="SECONDS",
    )
    _add(
        group,
        "isolate",
        "run each configuration in a process of its own, one after the other: for models that leak or crash",
        action="store_true",
    )


def _add_trace_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("traces")
    default = "on" if _DEFAULTS["trace"] else "off"
    _add(group, "trace", f"record a profiler trace of each configuration [{default}]", action="store_true")
    _add(group, "no_trace", "record none", action="store_false", dest="trace")
    _add(group, "trace_dir", "where traces go [./traces/<name of output_dir>]", metavar="DIR")
    _add(group, "trace_steps", "decode steps in a trace", type=_whole_number, metavar="N")
    _add(group, "trace_shapes", "record the shapes of the operators' inputs too", action="store_true")
    _add(group, "trace_stacks", "record Python calls and modules too: large traces", action="store_true")
    _add(group, "trace_memory", "record each allocation too", action="store_true")


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    _add(group, "output_dir", "where results go", metavar="DIR")
    _add(group, "resume", "go on with what --output_dir holds", action="store_true")
    group.add_argument(
        "--config",
        metavar="FILE.toml",
        default=None,
        help="settings by the names of these flags; a flag wins",
    )
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="log which blocks are active; -vv: each step"
    )


def _add(group: Any, name: str, text: str, **options: Any) -> None:
    """Add `--name` and its hyphen spelling, which works and stays out of the help; show the default."""
    options = {"dest": name, "default": argparse.SUPPRESS} | options
    group.add_argument(f"--{name}", help=(text + _default_note(name)).replace("%", "%%"), **options)
    hyphens = name.replace("_", "-")
    if hyphens != name:
        group.add_argument(f"--{hyphens}", help=argparse.SUPPRESS, **options)


def _add_several(group: Any, name: str, text: str, metavar: str) -> None:
    _add(group, name, text, nargs="+", metavar=metavar)


def _default_note(name: str) -> str:
    """The default in brackets; nothing where it is decided at run time, which the text then says itself."""
    default = _DEFAULTS.get(name)
    if default is None or default == () or isinstance(default, bool):
        return ""
    return f" [{' '.join(map(str, default)) if isinstance(default, tuple) else default}]"


def _listed(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs a whole number, got {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs a number, got {text!r}") from None
