"""What masks themselves cost, on a model whose blocks are so small that it shows.

    python benchmarks/mask_overhead.py --output docs/results/mask-overhead.md

One decoder of many tiny blocks is run unwrapped, under masks in every skip mode, and beside it a model that was
built without the skipped blocks. All variants are visited in shuffled rounds, in one process; differences are taken
within a round, so what the machine does in the meantime hits both sides alike. A visit is a prefill and some
cached decode steps, with no garbage collection; of its steps the fastest counts, since everything that disturbs
a step makes it longer.
"""

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_decoders import VOCABULARY, bare_decoder, built_of_first, tiny_llama
from torch import nn

from maskprof import BlockMask, BlockMaskWrapper, find_blocks
from maskprof.measuring.environment import describe_environment
from maskprof.models.cache_names import RETURNED_NAME, cache_arguments, carried
from maskprof.stats import Interval, describe, paired_difference

ACTIVE_TARGET_US = 0.5
SKIPPED_TARGET_US = 2.0
SPLICE_TARGET_US = 0.05
# A wider interval around nothing tells nothing.
TELLING_WIDTH_US = 0.5
PROMPT_TOKENS = 8

MODELS = {"bare": bare_decoder, "llama": tiny_llama}
KINDS = {
    "bare": "each fills its cache slot and adds, and that is all",
    "llama": "llama blocks of hidden size 8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model to run, and the wrapper's options; no mask where it runs as it is."""

    name: str
    model: nn.Module
    mask: BlockMask | None = None
    options: Mapping[str, str] | None = None

    def in_force(self) -> AbstractContextManager[Any]:
        if self.mask is None:
            return nullcontext()
        return BlockMaskWrapper(self.model, self.mask, **(self.options or {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Host time of one prefill and of one decode step, the fastest of a visit."""

    prefill_us: float
    step_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A difference per block, beside what it should stay under; verdict '' where there is no target."""

    what: str
    median_us: float
    ci95: Interval | None
    target: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One skipped block's dummy cache after a prefill of so many tokens."""

    tokens: int
    virtual_bytes: int
    zeros_bytes: int
    virtual_us: float
    zeros_us: float
    zeros_ci95: Interval | None


UNWRAPPED, ALL_ON, BUILT_SMALLER = "unwrapped", "mask, all blocks on", "half, built without them"
VIRTUAL, ZEROS = "half, mask, virtual cache", "half, mask, zeros cache"
ON_CPU, ON_DEVICE = "half, mask read from a CPU tensor", "half, mask read from a device tensor"
SPLICE, REMOVE, EARLY_EXIT = "half, splice", "half, remove", "half, early_exit"


def variants_of(model: nn.Module, smaller: nn.Module, half: BlockMask) -> list[Variant]:
    def masked(name: str, **options: str) -> Variant:
        return Variant(name=name, model=model, mask=half, options=options)

    return [
        Variant(name=UNWRAPPED, model=model),
        Variant(name=ALL_ON, model=model, mask=BlockMask([True] * half.total)),
        Variant(name=BUILT_SMALLER, model=smaller),
        masked(VIRTUAL),
        masked(ZEROS, dummy_cache="zeros"),
        masked(ON_CPU, mask_on="cpu"),
        masked(ON_DEVICE, mask_on="device"),
        masked(SPLICE, skip="splice"),
        masked(REMOVE, skip="remove"),
        masked(EARLY_EXIT, skip="early_exit"),
    ]


@contextmanager
def no_collection() -> Iterator[None]:
    """Garbage is collected before, and not within."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def visit(variant: Variant, prefills: int, steps: int, device: torch.device) -> Visit:
    prompt = torch.arange(PROMPT_TOKENS, device=device).remainder(VOCABULARY)[None]
    token = prompt[:, :1]
    prefill_us, step_us = [], []
    with torch.inference_mode(), variant.in_force(), no_collection():
        for _ in range(prefills):
            start = time.perf_counter_ns()
            output = variant.model(input_ids=prompt, use_cache=True)
            prefill_us.append((time.perf_counter_ns() - start) / 1000)
            settle(device)
        past = carried(output, cache_arguments(variant.model.forward))
        for _ in range(steps):
            start = time.perf_counter_ns()
            variant.model(input_ids=token, use_cache=True, **past)
            step_us.append((time.perf_counter_ns() - start) / 1000)
            settle(device)
    return Visit(prefill_us=min(prefill_us), step_us=min(step_us))


def settle(device: torch.device) -> None:
    """Let the device finish what was launched, outside the timed part: host time is what is compared."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(variants: Sequence[Variant], args: argparse.Namespace) -> dict[str, list[Visit]]:
    order = random.Random(args.seed)
    measured: dict[str, list[Visit]] = {variant.name: [] for variant in variants}
    # What is there by now stays: looking through all of it again before each visit takes longer than the visit.
    gc.collect()
    gc.freeze()
    for variant in variants:
        visit(variant, 2, 2, args.device)
    for number in range(args.rounds):
        for variant in order.sample(variants, len(variants)):
            measured[variant.name].append(visit(variant, args.prefills, args.steps, args.device))
        print(f"\rround {number + 1} of {args.rounds}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return measured


def costs_of(times: Mapping[str, Sequence[float]], half: BlockMask) -> list[Cost]:
    """Per-block costs from one time per variant and round, in microseconds."""
    total, active, skipped = half.total, half.num_active, half.total - half.num_active
    per_active = [(on - off) / total for on, off in zip(times[ALL_ON], times[UNWRAPPED], strict=True)]

    def per_skipped(name: str) -> list[float]:
        # What the active blocks pay for being asked is taken out: the two together are the difference.
        pairs = zip(times[name], times[BUILT_SMALLER], per_active, strict=True)
        return [(masked - removed - active * one) / skipped for masked, removed, one in pairs]

    def per_left(name: str) -> list[float]:
        pairs = zip(times[name], times[BUILT_SMALLER], strict=True)
        return [(masked - removed) / active for masked, removed in pairs]

    return [
        cost("an active block, mask", per_active, ACTIVE_TARGET_US),
        cost("a skipped block, mask, virtual cache", per_skipped(VIRTUAL), SKIPPED_TARGET_US),
        cost("a skipped block, mask, zeros cache", per_skipped(ZEROS)),
        cost("a skipped block, mask on cpu", per_skipped(ON_CPU)),
        cost("a skipped block, mask on device", per_skipped(ON_DEVICE)),
        cost("a block left, splice", per_left(SPLICE), SPLICE_TARGET_US, or_none=True),
        cost("a block left, remove", per_left(REMOVE), SPLICE_TARGET_US, or_none=True),
        cost("a block left, early_exit", per_left(EARLY_EXIT), SPLICE_TARGET_US, or_none=True),
    ]


def cost(
    what: str, values: Sequence[float], target_us: float | None = None, *, or_none: bool = False
) -> Cost:
    """`or_none`: also reached where the interval does not tell the difference from none."""
    difference = paired_difference(values, [0.0] * len(values))
    low, high = difference.ci95 or (float("-inf"), float("inf"))
    target = verdict = ""
    if target_us is not None:
        target = f"at most {target_us:g}" + (", or none that shows" if or_none else "")
        shows_none = low <= 0.0 <= high and high - low <= TELLING_WIDTH_US
        if high <= target_us or (or_none and shows_none):
            verdict = "reached"
        else:
            verdict = "missed" if low > target_us else "undecided"
    return Cost(what=what, median_us=difference.median, ci95=difference.ci95, target=target, verdict=verdict)


def growth_of(lengths: Sequence[int], rounds: int, device: torch.device, seed: int) -> list[Growth]:
    """What the dummy caches of skipped blocks hold and cost at prefill, per skipped block."""
    skipped = 8
    # One head of 128: 1 KiB of keys and values a token in float32.
    model = tiny_llama(1 + skipped, device, head_dim=128)
    mask = BlockMask.first(1, total=1 + skipped)
    order = random.Random(seed)
    found = []
    for tokens in lengths:
        times: dict[str, list[float]] = {"virtual": [], "zeros": []}
        held: dict[str, int] = {}
        for number in range(rounds + 1):
            for kind in order.sample(sorted(times), len(times)):
                us, held[kind] = skipped_turns(model, mask, kind, tokens, device)
                if number > 0:  # the first one warms up
                    times[kind].append(us)
        zeros = describe(times["zeros"])
        found.append(
            Growth(
                tokens=tokens,
                virtual_bytes=held["virtual"],
                zeros_bytes=held["zeros"],
                virtual_us=describe(times["virtual"]).p50,
                zeros_us=zeros.p50,
                zeros_ci95=zeros.p50_ci95,
            )
        )
    return found


def skipped_turns(
    model: nn.Module, mask: BlockMask, kind: str, tokens: int, device: torch.device
) -> tuple[float, int]:
    """One skipped block's turn in a prefill, in microseconds, and the bytes that its slot then holds.

    The clock runs from the first skipped block to the last one only, the device's work included.
    """
    blocks, clock = find_blocks(model), []

    def tick(*_call: Any) -> None:
        settle(device)
        clock.append(time.perf_counter_ns())

    skipped = [block for block, is_active in zip(blocks, mask, strict=True) if not is_active]
    hooks = skipped[0].register_forward_pre_hook(tick), skipped[-1].register_forward_hook(tick)
    ids = torch.arange(tokens, device=device).remainder(VOCABULARY)[None]
    with torch.inference_mode(), BlockMaskWrapper(model, mask, dummy_cache=kind), no_collection():
        # The logits of the last token are enough.
        cache = model(input_ids=ids, use_cache=True, logits_to_keep=1)[RETURNED_NAME]
    for hook in hooks:
        hook.remove()
    return (clock[1] - clock[0]) / 1000 / len(skipped), held_bytes(cache.layers[-1])


def held_bytes(slot: Any) -> int:
    """The memory behind every tensor that a cache slot holds."""
    tensors = (value for value in vars(slot).values() if isinstance(value, torch.Tensor))
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def page(
    measured: Mapping[str, Sequence[Visit]], half: BlockMask, growth: Sequence[Growth], args: Any
) -> str:
    steps = {name: [one.step_us for one in visits] for name, visits in measured.items()}
    prefills = {name: [one.prefill_us for one in visits] for name, visits in measured.items()}
    decode_costs, prefill_costs = costs_of(steps, half), costs_of(prefills, half)
    environment = describe_environment(args.device)
    machine = ("device", "cpu", "cpu_count", "threads", "os", "python", "torch", "transformers", "time")
    skipped = half.total - half.num_active
    constant = len({one.virtual_bytes for one in growth}) == 1
    return "\n".join(
        [
            "# What masks themselves cost",
            "",
            (
                f"Host time of a decoder of {half.total} blocks ({KINDS[args.model]}), of which {skipped} are skipped; "
                f"{args.rounds} shuffled rounds, in each the fastest of {args.steps} cached decode steps and of "
                f"{args.prefills} prefills of {PROMPT_TOKENS} tokens. Made by `python benchmarks/mask_overhead.py`."
            ),
            "",
            *(f"- {key}: {environment[key]}" for key in machine),
            f"- load average when this was measured: {os.getloadavg()[0]:.1f}",
            "",
            "## Whole forwards, us",
            "",
            *table(
                ("variant", "decode step", "95 % interval", "prefill", "95 % interval"),
                [
                    (name, *with_interval(describe(steps[name])), *with_interval(describe(prefills[name])))
                    for name in measured
                ],
            ),
            "",
            "## Per block, in a decode step, us",
            "",
            (
                "Beyond the same model without a mask (active blocks), or the model that never had the skipped "
                "blocks (the rest): paired differences."
            ),
            "",
            *cost_table(decode_costs),
            "",
            "## Per block, in a prefill, us",
            "",
            "A fresh cache each time: the first turn of each skipped block, which makes its slot. No target.",
            "",
            *cost_table(prefill_costs, with_targets=False),
            "",
            "## The dummy cache of a skipped block, by length of the prompt",
            "",
            (
                f"The virtual cache's memory is {'constant: reached' if constant else 'not constant: missed'}. "
                "One key-value head of 128, so 1 KiB of keys and values a token; times are of one skipped block's "
                "turn in a prefill."
            ),
            "",
            *table(
                ("tokens", "virtual, bytes", "zeros, bytes", "virtual, us", "zeros, us", "95 % interval"),
                [
                    (
                        str(one.tokens),
                        str(one.virtual_bytes),
                        str(one.zeros_bytes),
                        f"{one.virtual_us:.1f}",
                        f"{one.zeros_us:.1f}",
                        interval(one.zeros_ci95, 1),
                    )
                    for one in growth
                ],
            ),
            "",
        ]
    )


def cost_table(costs: Sequence[Cost], *, with_targets: bool = True) -> list[str]:
    titles = ("what", "us", "95 % interval", "target", "verdict")
    rows = [
        (one.what, f"{one.median_us:.3f}", interval(one.ci95, 3), one.target, one.verdict) for one in costs
    ]
    columns = len(titles) if with_targets else 3
    return table(titles[:columns], [row[:columns] for row in rows])


def with_interval(description: Any) -> tuple[str, str]:
    return f"{description.p50:.1f}", interval(description.p50_ci95, 1)


def interval(bounds: Interval | None, decimals: int) -> str:
    return "-" if bounds is None else f"{bounds[0]:.{decimals}f} to {bounds[1]:.{decimals}f}"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    alignment = [":---", *["---:"] * (len(titles) - 1)]
    return [f"| {' | '.join(row)} |" for row in (titles, alignment, *rows)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--model", choices=sorted(MODELS), default="bare")
    parser.add_argument("--blocks", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--steps", type=int, default=10, help="decode steps a visit")
    parser.add_argument("--prefills", type=int, default=3, help="prefills a visit")
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a smoke test: its figures say nothing")
    args = parser.parse_args()
    if args.quick:
        args.blocks, args.rounds, args.steps, args.prefills, args.lengths = 4, 3, 2, 1, [16, 64]
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    half = BlockMask.first(args.blocks // 2, total=args.blocks)
    model = MODELS[args.model](args.blocks, args.device)
    smaller = built_of_first(model, half.num_active)
    measured = measure(variants_of(model, smaller, half), args)
    growth = growth_of(args.lengths, 3 if args.quick else 11, args.device, args.seed)
    text = page(measured, half, growth, args)
    sys.stdout.write(text)
    if args.output is not None:
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
