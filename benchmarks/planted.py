"""The same measured twice, and a block that became 2 % slower: what is told apart, and what is not.

    python benchmarks/planted.py --output docs/results/same-and-slower.md

A/A: many pairs of runs of the same configuration on a small model. Two runs one after the other are to differ by no
more than their two intervals together say; two identical configurations inside one run, paired by round, by no more
than the difference's interval.

A/B: in a true-shape model, one block is given a busy-wait of 2 % of its own time. Clean totals, paired, and traces
recorded alternately, compared block by block, are asked whether something changed, and what. How many traces are
recorded is planned before: some of the unchanged model, which are then thrown away, tell how many it takes. Those are
recorded, and judged once.
"""

import argparse
import gc
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pages import add_page_arguments, command_line, machine_lines, percent, publish, table
from pipeline import text_inputs
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from maskprof import find_blocks, read_trace
from maskprof.analysis.slower_blocks import TraceTurns, compare_turns, turns_of
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.timers import HostTimer
from maskprof.models.presets import PRESETS, preset_config
from maskprof.recording.session import record
from maskprof.reports.slower_blocks_table import comparison_table, resolution, verdict
from maskprof.skipping.wrapper import BlockMaskWrapper
from maskprof.stats import describe, paired_difference

SLOWER = 0.02
# To be found in a single judgement, which a power of 80 % would miss once in five.
PLANNED_POWER = 0.95
CPU = torch.device("cpu")


def small_llama() -> nn.Module:
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


def total_ms(greedy: GreedyPass, timer: HostTimer, steps: int) -> float:
    greedy.run(steps, timer)
    return timer.times().total_ms


def same_twice(args: argparse.Namespace) -> list[tuple[str, int, int, float, float]]:
    """Per way of pairing: pairs, how many differ by less than their interval, median difference and reach."""
    greedy, timer = GreedyPass(small_llama(), text_inputs(8, CPU, 256)), HostTimer()
    for _ in range(20):
        total_ms(greedy, timer, 1)
    apart, within = [], []
    for _ in range(args.pairs):
        runs = [[total_ms(greedy, timer, 1) for _ in range(args.samples)] for _ in range(2)]
        described = [describe(run) for run in runs]
        reach = math.hypot(*((d.p50_ci95[1] - d.p50_ci95[0]) / 2 for d in described if d.p50_ci95))
        apart.append((abs(described[0].p50 - described[1].p50), reach, described[0].p50))
        pairs = [(total_ms(greedy, timer, 1), total_ms(greedy, timer, 1)) for _ in range(args.samples)]
        # Which of the two comes first is chance, as in a run.
        order = torch.rand(args.samples).lt(0.5).tolist()
        left, right = zip(
            *(pair if first else pair[::-1] for pair, first in zip(pairs, order, strict=True)), strict=True
        )
        difference = paired_difference(left, right)
        assert difference.ci95 is not None
        low, high = difference.ci95
        covered = abs(difference.median) if low <= 0 <= high else math.inf
        within.append((covered, (high - low) / 2, median(left)))
    found = []
    for name, values in (("one run after the other", apart), ("inside one run, paired by round", within)):
        held = sum(
            difference <= reach or (difference < math.inf and values is within)
            for difference, reach, _ in values
        )
        reach = median(reach / typical for _, reach, typical in values)
        finite = [difference / typical for difference, _, typical in values if difference < math.inf]
        found.append((name, len(values), held, median(finite), reach))
    return found


@contextmanager
def slower_block(block: nn.Module, wait_ms: float) -> Iterator[None]:
    """The block's decode turns take so much longer."""

    def wait(_module: nn.Module, args: tuple[Any, ...], _output: Any) -> None:
        if args[0].shape[1] == 1:
            until = time.perf_counter_ns() + int(wait_ms * 1e6)
            while time.perf_counter_ns() < until:
                pass

    # Inside the block's own range: its last part.
    hook = block.mlp.down_proj.register_forward_hook(wait)
    try:
        yield
    finally:
        hook.remove()


def block_ms(block: nn.Module, greedy: GreedyPass) -> float:
    """The fastest decode turn of a block."""
    times: list[float] = []
    marks: list[int] = []
    hooks = (
        block.register_forward_pre_hook(lambda *_: marks.append(time.perf_counter_ns())),
        block.register_forward_hook(lambda *_: times.append((time.perf_counter_ns() - marks[-1]) / 1e6)),
    )
    greedy.run(20, HostTimer())
    for hook in hooks:
        hook.remove()
    return sorted(times[1:])[len(times) // 4]


def recorded(greedy: GreedyPass, model: nn.Module, folder: Path, steps: int) -> Path:
    total = len(find_blocks(model))
    with BlockMaskWrapper(model, [True] * total, ranges=True):
        return record(partial(greedy.run, steps), folder, device=CPU, num_active_blocks=total, metadata={})


def planted(args: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    config = preset_config(PRESETS[args.model])
    # The fewer blocks, the more turns of each in the same time.
    config.num_hidden_layers = min(args.blocks, config.num_hidden_layers)
    model = LlamaForCausalLM(config).eval()
    greedy, timer = GreedyPass(model, text_inputs(10, CPU, 1000)), HostTimer()
    blocks = find_blocks(model)
    chosen = 2 * len(blocks) // 3
    wait_ms = SLOWER * block_ms(blocks[chosen], greedy)
    clean: list[tuple[float, float]] = []
    for number in range(args.rounds):
        times = {}
        for is_slow in (number % 2 == 0, number % 2 == 1):
            with slower_block(blocks[chosen], wait_ms if is_slow else 0.0):
                total_ms(greedy, timer, 4)
                times[is_slow] = median(timer.times().decode_step_ms)
        clean.append((times[True], times[False]))
    with tempfile.TemporaryDirectory() as name:

        def taken(kinds: tuple[str, ...], count: int) -> dict[str, list[TraceTurns]]:
            """The turns of traces of each kind, recorded in turns; no trace is kept."""
            sides: dict[str, list[TraceTurns]] = {kind: [] for kind in kinds}
            for number in range(count):
                for kind in kinds if number % 2 else reversed(kinds):
                    with slower_block(blocks[chosen], wait_ms if kind == "slower" else 0.0):
                        path = recorded(greedy, model, Path(name) / kind, args.steps)
                    sides[kind].append(turns_of(read_trace(path)))
                    path.unlink()
                    # What a profiler leaves behind is in circles, hundreds of MB each time.
                    gc.collect()
            return sides

        pilot = taken(("before", "same"), args.pilot)
        turn_us = next(
            change.before_us
            for change in compare_turns(pilot["before"], pilot["same"]).changes
            if (change.block, change.phase) == (chosen, "decode")
        )
        plan = next(
            found
            for found in compare_turns(
                pilot["before"], pilot["same"], resolve=wait_ms * 1000 / turn_us, power=PLANNED_POWER
            ).resolutions
            if found.phase == "decode"
        )
        del pilot
        needed = plan.traces_needed or args.most_traces
        traces = max(3, min(needed, args.most_traces))
        sides = taken(("before", "same", "slower"), traces)
        return {
            "blocks": len(blocks),
            "chosen": chosen,
            "wait_us": wait_ms * 1000,
            "turn_us": turn_us,
            "needed": plan.traces_needed,
            "traces": traces,
            "clean": paired_difference(*zip(*clean, strict=True)),
            "step_ms": median(fast for _, fast in clean),
            "same": compare_turns(sides["before"], sides["same"]),
            "slower": compare_turns(sides["before"], sides["slower"]),
        }


PAGE = """\
# The same measured twice, and a block that became slower

Made by `{command}`.

{machine}

## A/A: the same twice

A llama of 2 small blocks, {samples} samples a run, a pass of a prefill and a step each.

{same}

*Held*: the two runs' medians differ by no more than their intervals together (the root of the sum of their squares), or
the difference's interval holds zero. Target: 95 %, less what chance allows on so many pairs ({least} or more):
{same_verdict}. Runs one after the other see a machine that changes between them, beyond what either sees of it in
itself; that is why configurations are measured in one run, interleaved.

## A/B: one of {blocks} blocks is 2 % slower

Blocks of {model}'s true shape with random weights; in block {chosen} a wait of {wait:.1f} us, {slower} of its
own time and {share} of a decode step.

- **Clean totals**, {rounds} pairs: the step became {clean}: {clean_verdict}.
  That is what a total can tell, and it names nobody.
- **Traces**, compared block by block beside the others of the same step (`maskprof compare`). As recorded, with ranges
  and a profiler, a turn of that block takes {turn:.0f} us, of which the wait is {turn_share}. Planned before: {pilot}
  pairs of traces of the unchanged model, then thrown away, said that {needed} of each side find that {power} of the
  time. {traces} of each side were recorded alternately, {steps} decode steps each, and judged once: {found}
- The same comparison of traces of which none was made slower: {nothing}

{resolution}

Target: found and named, and nothing found where there is nothing: {verdict}.

{blocks_table}
"""


def page(args: argparse.Namespace) -> str:
    same, found = same_twice(args), planted(args)
    least = 0.95 - 1.96 * math.sqrt(0.95 * 0.05 / args.pairs)
    clean, step_us = found["clean"], found["step_ms"] * 1000
    low, high = clean.ci95 or (0.0, 0.0)
    named = [(change.block, change.phase) for change in found["slower"].clear]
    is_named = named == [(found["chosen"], "decode")] and found["slower"].clear[0].change > 0
    changes = comparison_table(found["slower"])
    rows = [
        row for row in zip(*(column.cells for column in changes.columns), strict=True) if row[0] == "decode"
    ]
    titles = [column.title or "verdict" for column in changes.columns]
    inside = same[1][2] / same[1][1]
    return PAGE.format(
        command=command_line(),
        machine="\n".join(machine_lines(CPU)),
        samples=args.samples,
        same="\n".join(
            table(
                ("two runs", "pairs", "held", "rate", "median difference", "median reach"),
                [
                    (
                        name,
                        str(pairs),
                        str(held),
                        percent(held / pairs),
                        percent(difference, 2),
                        percent(reach, 2),
                    )
                    for name, pairs, held, difference, reach in same
                ],
            )
        ),
        least=percent(least),
        same_verdict="reached" if inside >= least else "missed",
        blocks=found["blocks"],
        model=args.model,
        chosen=found["chosen"],
        wait=found["wait_us"],
        slower=percent(SLOWER, 0),
        share=percent(found["wait_us"] / step_us, 2),
        rounds=args.rounds,
        clean=(
            f"{percent(clean.median * 1000 / step_us, 2)} slower "
            f"({percent(low * 1000 / step_us, 2)} to {percent(high * 1000 / step_us, 2)})"
        ),
        clean_verdict="a change" if low > 0 else "no clear change",
        traces=found["traces"],
        turn=found["turn_us"],
        turn_share=percent(found["wait_us"] / found["turn_us"], 2),
        pilot=args.pilot,
        needed=found["needed"] or f"more than {args.most_traces}",
        power=percent(PLANNED_POWER, 0),
        resolution="\n".join(resolution(found["same"])),
        steps=args.steps,
        found=verdict(found["slower"]),
        nothing=verdict(found["same"]),
        verdict="reached" if is_named and not found["same"].clear else "missed",
        blocks_table="\n".join(table(titles, rows)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    parser.add_argument("--pairs", type=int, default=100, help="pairs of runs of the same")
    parser.add_argument("--samples", type=int, default=50, help="samples of each of them")
    parser.add_argument("--model", default="smollm2-135m", help="a preset of llama's kind")
    parser.add_argument("--blocks", type=int, default=12, help="at most so many of them")
    parser.add_argument(
        "--rounds", type=int, default=40, help="clean pairs, of a slower and an unchanged pass"
    )
    parser.add_argument("--pilot", type=int, default=6, help="pairs of traces from which to plan")
    parser.add_argument("--most_traces", type=int, default=40, help="of each side, whatever is planned")
    parser.add_argument("--steps", type=int, default=120, help="decode steps in each")
    args = parser.parse_args()
    if args.quick:
        args.pairs, args.samples, args.rounds, args.steps = 3, 6, 3, 16
        args.pilot, args.most_traces = 3, 3
    torch.set_num_threads(1)
    publish(page(args), args.output)


if __name__ == "__main__":
    main()
