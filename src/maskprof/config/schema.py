"""RunConfig: one run's settings, as the command line, a TOML file or a caller gives them."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

from maskprof.config.knobs import KNOBS, Knobs
from maskprof.errors import ConfigError
from maskprof.masks.strategies import STRATEGIES

SKIP_MODES = ("mask", "splice", "remove", "early_exit")
DUMMY_CACHES = ("zeros", "virtual")
MASK_PLACES = ("host", "cpu", "device")
DTYPES = ("float32", "bfloat16", "float16")
DEFAULT_PROMPT = "Describe this image."


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How a mask is carried out: see `skipping.wrapper.BlockMaskWrapper` for what the values mean."""

    skip_mode: str = "mask"
    dummy_cache: str = "virtual"
    mask_on: str = "host"

    @property
    def name(self) -> str:
        """Short name for folders and tables; the last two matter only where the mask is read at every block."""
        if self.skip_mode != "mask":
            return self.skip_mode
        return f"{self.skip_mode}-{self.dummy_cache}-{self.mask_on}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The settings of `maskprof run`; the names are those of its flags.

    Attributes:
        model_path: a directory, hub name, `.gguf` file or preset; None is `checkpoints` where that exists in
            the working directory, else the embedded demo model.
        output_dir: where results go.
        num_samples: measured repetitions of each configuration.
        num_active_blocks: counts of active blocks; empty (with no other choice given) is every count.
        fractions: shares of active blocks, each above 0 and at most 1.
        active_block_indices: masks of exactly these blocks; where given, counts and fractions are not used.
        strategy: how counts choose their blocks, one of `STRATEGIES`.
        max_new_tokens: tokens generated per sample; prefill gives the first.
        prompt: the text; None is a fixed sentence.
        image: a picture for a vision-language model, "none" for text only; None is a plain blue 336x336 one.
        prompt_tokens: a synthetic prompt of exactly this many text tokens instead of `prompt`.
        num_crops: high-resolution crops of the picture beside the whole one.
        moe_top_k: experts that each token goes through, on a mixture of experts.
        batch_size: rows in the batch, all alike.
        device: "auto", "cpu", "cuda" or "cuda:i".
        dtype: one of `DTYPES`; None is bfloat16 on a GPU, float32 on a CPU.
        attn_implementation: passed on to transformers; None is the model's own choice.
        num_warmup: least number of unrecorded repetitions per configuration.
        seed: for random masks, random weights, synthetic prompts and the order of measuring.
        skip_mode, dummy_cache, mask_on: every combination is measured; so it is of the four knobs num_crops,
            prompt_tokens, moe_top_k and max_new_tokens, of which an empty one is left as it is.
        closure_samples: repetitions of the reference with the blocks removed; None is `num_samples`, at most 20.
        trace: record a profiler trace of each configuration.
        trace_dir: where traces go; None is `./traces/<name of output_dir>`.
        trace_steps: decode steps in a trace.
        trace_shapes, trace_stacks, trace_memory: also record the shapes of the operators' inputs, the Python calls
            and modules around them, each allocation.
        resume: go on with what `output_dir` holds.
        timeout_per_config: seconds that one configuration may take in all, loading apart; None is no limit.
        isolate: run each configuration in a process of its own, one after the other.
        trust_remote_code: let a checkpoint's own Python code run.

    Raises:
        ConfigError: a value that cannot be meant; the sentence names the flag.
    """

    model_path: str | None = None
    output_dir: str = "./results/transformer_blocks_mask"
    num_samples: int = 50
    num_active_blocks: tuple[int, ...] = ()
    fractions: tuple[float, ...] = ()
    active_block_indices: tuple[tuple[int, ...], ...] = ()
    strategy: str = "first"
    max_new_tokens: tuple[int, ...] = (10,)
    prompt: str | None = None
    image: str | None = None
    prompt_tokens: tuple[int, ...] = ()
    num_crops: tuple[int, ...] = ()
    moe_top_k: tuple[int, ...] = ()
    batch_size: int = 1
    device: str = "auto"
    dtype: str | None = None
    attn_implementation: str | None = None
    num_warmup: int = 3
    seed: int = 0
    skip_mode: tuple[str, ...] = ("mask",)
    dummy_cache: tuple[str, ...] = ("virtual",)
    mask_on: tuple[str, ...] = ("host",)
    closure_samples: int | None = None
    trace: bool = True
    trace_dir: str | None = None
    trace_steps: int = 4
    trace_shapes: bool = False
    trace_stacks: bool = False
    trace_memory: bool = False
    resume: bool = False
    timeout_per_config: float | None = None
    isolate: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        for name in ("num_samples", "batch_size", "trace_steps"):
            _check_at_least(name, getattr(self, name), 1)
        for name in ("num_warmup", "seed"):
            _check_at_least(name, getattr(self, name), 0)
        if self.closure_samples is not None:
            _check_at_least("closure_samples", self.closure_samples, 0)
        _check_limit(self.timeout_per_config)
        _check_knobs(self)
        _check_masks(self)
        _check_choices("strategy", (self.strategy,), STRATEGIES)
        _check_choices("skip_mode", self.skip_mode, SKIP_MODES)
        _check_choices("dummy_cache", self.dummy_cache, DUMMY_CACHES)
        _check_choices("mask_on", self.mask_on, MASK_PLACES)
        if self.dtype is not None:
            _check_choices("dtype", (self.dtype,), DTYPES)

    @property
    def resolved_trace_dir(self) -> Path:
        """The folder of the traces."""
        if self.trace_dir is not None:
            return Path(self.trace_dir)
        # Path.resolve() raises on links in a circle, which whoever makes the folder puts in words.
        return Path("traces") / Path(os.path.realpath(self.output_dir)).name

    @property
    def resolved_closure_samples(self) -> int:
        """How often the removed-blocks reference is measured."""
        return min(self.num_samples, 20) if self.closure_samples is None else self.closure_samples

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Every combination of the three ways, without those that differ only where it does not matter."""
        found = {
            variant.name: variant
            for mode in self.skip_mode
            for cache in self.dummy_cache
            for place in self.mask_on
            for variant in (Variant(skip_mode=mode, dummy_cache=cache, mask_on=place),)
        }
        return tuple(found.values())

    @property
    def knobs(self) -> tuple[Knobs, ...]:
        """Every combination of the knobs, each once."""
        axes = [getattr(self, knob) or (None,) for knob in KNOBS]
        found = (Knobs(**dict(zip(KNOBS, values, strict=True))) for values in product(*axes))
        return tuple(dict.fromkeys(found))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for the result file."""
        return asdict(self)


FIELD_NAMES = tuple(field.name for field in fields(RunConfig))


def _check_knobs(config: RunConfig) -> None:
    for knob in KNOBS:
        for value in getattr(config, knob):
            _check_at_least(knob, value, 1)
    if not config.max_new_tokens:
        raise ConfigError("--max_new_tokens: needs a whole number of at least 1, got none")
    if config.prompt_tokens and config.prompt is not None:
        raise ConfigError("--prompt and --prompt_tokens exclude each other: give one of them")
    if config.num_crops and config.image == "none":
        raise ConfigError("--num_crops: there are crops of a picture only, and --image none leaves it out")


def _check_limit(seconds: float | None) -> None:
    if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
        raise ConfigError(f"--timeout_per_config: needs a number of seconds above 0, got {seconds!r}")


def _check_masks(config: RunConfig) -> None:
    for count in config.num_active_blocks:
        _check_at_least("num_active_blocks", count, 1)
    for fraction in config.fractions:
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 < fraction <= 1:
            raise ConfigError(f"--fractions: a share of blocks is above 0 and at most 1, got {fraction!r}")
    for indices in config.active_block_indices:
        if not indices:
            raise ConfigError("--active_block_indices: at least one block must stay active, got none")
        for index in indices:
            _check_at_least("active_block_indices", index, 0)
        if len(set(indices)) < len(indices):
            twice = next(i for i in indices if indices.count(i) > 1)
            raise ConfigError(f"--active_block_indices: block {twice} is given twice")


def _check_at_least(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"--{name}: needs a whole number of at least {least}, got {value!r}")


def _check_choices(name: str, values: Sequence[Any], choices: Sequence[str]) -> None:
    if not values:
        raise ConfigError(f"--{name}: needs one of {', '.join(choices)}, got none")
    for value in values:
        if value not in choices:
            raise ConfigError(f"--{name}: {value!r} is not one of {', '.join(choices)}")
