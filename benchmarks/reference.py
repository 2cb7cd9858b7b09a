"""The same model and shapes timed by a plain script and by maskprof: do latencies agree?

    python benchmarks/reference.py --output docs/results/peers.md

The plain way is what one would write down without thinking: `time.perf_counter()` around the model's calls, a prefill
and then one token at a time with its cache. It shares no code with maskprof. Both run on the same loaded model, in
shuffled rounds, back to back within a round. Beside them stands transformers' own `generate()`, end to end.
"""

import argparse
import gc
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from pages import add_page_arguments, bounds, command_line, machine_lines, percent, publish, table

from maskprof import BlockMaskWrapper, find_blocks
from maskprof.config.schema import RunConfig
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.timers import HostTimer
from maskprof.models.cache_names import cache_arguments, carried
from maskprof.models.inputs import make_inputs
from maskprof.models.load import load_model
from maskprof.stats import describe, paired_difference

CPU = torch.device("cpu")
GGUF = Path(".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
TOLERANCE = 0.01
# An interval that is wider says nothing by holding zero.
TELLING = 0.1
PHASES = ("prefill", "per token", "total")

Times = dict[str, float]


def plain(model, inputs, steps: int, mode=torch.inference_mode) -> Times:
    """Milliseconds of a prefill, of a decode step on average, and of all."""
    names = cache_arguments(model.forward)
    with mode():
        start = time.perf_counter()
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        after_prefill = time.perf_counter()
        token = output.logits[:, -1].argmax(-1, keepdim=True)
        spent = 0.0
        for _ in range(steps):
            begin = time.perf_counter()
            output = model(input_ids=token, use_cache=True, **carried(output, names))
            token = output.logits[:, -1].argmax(-1, keepdim=True)
            spent += time.perf_counter() - begin
        end = time.perf_counter()
    return {
        "prefill": 1000 * (after_prefill - start),
        "per token": 1000 * spent / steps,
        "total": 1000 * (end - start),
    }


def generated(model, inputs, steps: int) -> Times:
    start = time.perf_counter()
    model.generate(
        **inputs, min_new_tokens=steps + 1, max_new_tokens=steps + 1, do_sample=False, pad_token_id=0
    )
    return {"total": 1000 * (time.perf_counter() - start)}


def ours(greedy: GreedyPass, timer: HostTimer, steps: int) -> Times:
    with BlockMaskWrapper(greedy.model, [True] * len(find_blocks(greedy.model))):
        greedy.run(steps, timer)
    times = timer.times()
    # A picture's part is in the plain prefill, which knows of none.
    return {
        "prefill": times.prefill_ms + times.vision_ms,
        "per token": sum(times.decode_step_ms) / steps,
        "total": times.total_ms,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One phase of one model: both medians, and ours beyond the plain one, paired, as a share."""

    model: str
    phase: str
    plain_ms: float
    ours_ms: float
    share: float
    ci95: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """`yes`, `no`, or `undecided` where the interval holds zero and much else."""
        low, high = self.ci95 or (-1.0, 1.0)
        if abs(self.share) <= TOLERANCE or (low <= 0.0 <= high and high - low <= TELLING):
            return "yes"
        return "undecided" if low <= 0.0 <= high else "no"


def agreements(name: str, args: argparse.Namespace) -> tuple[list[Agreement], dict[str, float]]:
    config = RunConfig(model_path=name, device="cpu")
    loaded = load_model(config, CPU)
    inputs = make_inputs(loaded, config, CPU)
    greedy, timer = GreedyPass(loaded.model, inputs), HostTimer()
    ways = {
        "plain": lambda: plain(loaded.model, inputs.tensors, args.steps),
        "ours": lambda: ours(greedy, timer, args.steps),
        # What generate() runs under: torch then keeps books that inference mode does without.
        "no_grad": lambda: plain(loaded.model, inputs.tensors, args.steps, torch.no_grad),
    }
    if loaded.model.can_generate():
        ways["generate"] = lambda: generated(loaded.model, inputs.tensors, args.steps)
    found: defaultdict[str, list[Times]] = defaultdict(list)
    order, names = random.Random(args.seed), list(ways)
    for number in range(args.rounds + 3):
        order.shuffle(names)
        for way in names:
            gc.disable()
            times = ways[way]()
            gc.enable()
            if number > 2:
                found[way].append(times)

    def agreement(way: str, phase: str) -> Agreement:
        left = [times[phase] for times in found[way]]
        right = [times[phase] for times in found["plain"]]
        shares = [a / b - 1 for a, b in zip(left, right, strict=True)]
        difference = paired_difference(shares, [0.0] * len(shares))
        return Agreement(
            model=loaded.name,
            phase=phase,
            plain_ms=describe(right).p50,
            ours_ms=describe(left).p50,
            share=difference.median,
            ci95=difference.ci95,
        )

    beyond = {way: agreement(way, "total").share for way in ("no_grad", "generate") if way in found}
    return [agreement("ours", phase) for phase in PHASES], beyond


PAGE = """\
# Beside a plain script

Made by `{command}`. Both time the same loaded model on the same inputs, {steps} steps after the prefill, all blocks
active, {rounds} shuffled rounds, paired; maskprof runs with its wrapper in force.

{machine}

{table}

*Ours beyond plain*: the median of the paired ratios, minus one. They agree where its interval holds zero, or where it
is at most {tolerance}; an interval wider than {telling} that holds zero leaves it undecided.
{agree} of {all}: {verdict}.

Both run under `torch.inference_mode()`. Under `torch.no_grad()`, as `generate()` does, torch keeps books for each
operator that inference mode does without, and `generate()` does more between steps (logits processors, stopping
criteria). Totals of the plain script so run, and of `generate()`, beyond the plain script's: {generate}.

## optimum-benchmark

optimum-benchmark 0.6.0, its newest on PyPI, does not run on transformers 5: its PyTorch backend imports
`SpecialTokensMixin`, which transformers 5 no longer has ("cannot import name 'SpecialTokensMixin' from 'transformers'",
seen with transformers {transformers}). So a plain script stands in its place. What the two would differ in by design:
optimum-benchmark's decode is `generate()` minus a prefill of another run, unless it tracks tokens by a logits
processor; maskprof times prefill and steps of the same run.
"""


def page(args: argparse.Namespace) -> str:
    both = [agreements(name, args) for name in args.models]
    found = [one for phases, _ in both for one in phases]
    beyond = [
        f"{phases[0].model} {percent(shares['no_grad'])}"
        + (f" (`generate()`: {percent(shares['generate'])})" if "generate" in shares else "")
        for phases, shares in both
    ]
    agree = sum(one.verdict == "yes" for one in found)
    rows = [
        (
            one.model,
            one.phase,
            f"{one.plain_ms:.3f}",
            f"{one.ours_ms:.3f}",
            percent(one.share, 2),
            bounds(tuple(100 * b for b in one.ci95) if one.ci95 else None, 2) + " %",
            one.verdict,
        )
        for one in found
    ]
    titles = ("model", "phase", "plain, ms", "maskprof, ms", "ours beyond plain", "95 % interval", "agree")
    return PAGE.format(
        command=command_line(),
        steps=args.steps,
        rounds=args.rounds,
        machine="\n".join(machine_lines(CPU)),
        table="\n".join(table(titles, rows, text_columns=2)),
        tolerance=percent(TOLERANCE, 0),
        telling=percent(TELLING, 0),
        agree=agree,
        all=len(found),
        verdict="reached" if agree == len(found) else "missed",
        generate=", ".join(beyond),
        transformers=version("transformers"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    smollm2 = str(GGUF) if GGUF.is_file() else "smollm2-135m"
    parser.add_argument("--models", nargs="+", default=[smollm2, "gpt2", "molmoe-tiny"])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.quick:
        args.models, args.rounds, args.steps = ["molmoe-tiny"], 6, 2
    torch.set_num_threads(1)
    publish(page(args), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
