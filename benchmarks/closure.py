"""The skip path's cost measured twice, on real models: clean against removed blocks, and as traces attribute it.

    python benchmarks/closure.py --output docs/results/closure.md

Per model one mask with few active blocks, so that what is asked for is not a small part of what is timed. Visited in
shuffled rounds: the model under the mask, the same model with those blocks removed, and in between, which explains the
difference of the two measurements, the same model whose skipped blocks pass their input on and do nothing else: what it
costs the model's own loop to turn to a block at all, which is outside of any range around the block's turn.
"""

import argparse
import gc
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pages import add_page_arguments, bounds, command_line, machine_lines, publish, table

from maskprof import BlockMask, BlockMaskWrapper, find_blocks, read_trace
from maskprof.analysis.attribution import attribute
from maskprof.config.schema import RunConfig
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.timers import HostTimer
from maskprof.models.blocks import probe
from maskprof.models.inputs import make_inputs
from maskprof.models.load import load_model
from maskprof.recording.session import record
from maskprof.serial import Interval, median_interval
from maskprof.skipping.in_place import _passer
from maskprof.skipping.override import Forward, overridden
from maskprof.stats import PairedDifference, paired_difference

CPU = torch.device("cpu")
GGUF = Path(".cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
PHASES = ("prefill", "decode")
MASKED, REMOVED, PASSING = "masked", "removed", "passing"
# Less than this per skipped block is no disagreement worth an explanation.
NEGLIGIBLE_US = 1.0
# A wider interval says nothing by holding zero.
TELLING_US = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """One phase of one model, in microseconds per skipped block."""

    model: str
    skipped: int
    phase: str
    clean: PairedDifference
    traced: float
    traced_ci95: Interval | None
    loop: PairedDifference

    @property
    def unexplained(self) -> Interval:
        """What is left of clean after traced and loop; by the clean interval and the loop's, taken together."""
        left = self.clean.median - self.traced - self.loop.median
        reach = (
            sum(_reach(found.ci95) ** 2 for found in (self.clean, self.loop)) + _reach(self.traced_ci95) ** 2
        )
        return left - reach**0.5, left + reach**0.5

    @property
    def agrees(self) -> bool:
        low, high = self.clean.ci95 or (0.0, 0.0)
        return low <= self.traced <= high

    @property
    def tells(self) -> bool:
        """Whether what is left is known well enough to hold zero by more than being wide."""
        low, high = self.unexplained
        return high - low <= TELLING_US

    @property
    def is_explained(self) -> bool:
        low, high = self.unexplained
        return low <= NEGLIGIBLE_US and high >= -NEGLIGIBLE_US


def _reach(interval: Interval | None) -> float:
    return (interval[1] - interval[0]) / 2 if interval else 0.0


@contextmanager
def passing_blocks(model: Any, mask: BlockMask) -> Iterator[None]:
    """Skipped blocks pass their input on; no mask is read, no cache is touched."""
    blocks, anatomy = find_blocks(model), probe(model)
    with ExitStack() as stack:
        for index, block in enumerate(blocks):
            if not mask[index]:
                pass_on = _passer(anatomy.blocks[index])

                def make(_original: Forward, pass_on: Any = pass_on) -> Forward:
                    return lambda *args, **kwargs: pass_on(args, kwargs)

                stack.enter_context(overridden(block, make))
        yield


def in_force(model: Any, mask: BlockMask, variant: str) -> Any:
    if variant == PASSING:
        return passing_blocks(model, mask)
    return BlockMaskWrapper(model, mask, skip="remove" if variant == REMOVED else "mask")


def visit(greedy: GreedyPass, timer: HostTimer, steps: int) -> dict[str, float]:
    """Of one prefill and some steps: the prefill, and the fastest step, in microseconds."""
    gc.disable()
    greedy.run(steps, timer)
    times = timer.times()
    gc.enable()
    return {"prefill": times.prefill_ms * 1000, "decode": min(times.decode_step_ms) * 1000}


def closings(name: str, args: argparse.Namespace) -> list[Closing]:
    config = RunConfig(model_path=name, device="cpu")
    loaded = load_model(config, CPU)
    greedy, timer = GreedyPass(loaded.model, make_inputs(loaded, config, CPU)), HostTimer()
    total = len(find_blocks(loaded.model))
    mask = BlockMask.first(max(1, total // 8), total=total)
    skipped = total - mask.num_active
    order, variants = random.Random(args.seed), [MASKED, REMOVED, PASSING]
    timed: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for number in range(args.rounds + 2):
        order.shuffle(variants)
        for variant in variants:
            with in_force(loaded.model, mask, variant):
                found = visit(greedy, timer, args.steps)
            if number > 1:
                timed[variant].append(found)
    traced = traced_turns(loaded.model, greedy, mask, args)

    def difference(left: str, right: str, phase: str) -> PairedDifference:
        pairs = zip(timed[left], timed[right], strict=True)
        per_block = [((a[phase] - b[phase]) / skipped) for a, b in pairs]
        return paired_difference(per_block, [0.0] * len(per_block))

    return [
        Closing(
            model=loaded.name,
            skipped=skipped,
            phase=phase,
            clean=difference(MASKED, REMOVED, phase),
            traced=median(traced[phase]),
            traced_ci95=median_interval(traced[phase]),
            loop=difference(PASSING, REMOVED, phase),
        )
        for phase in PHASES
    ]


def traced_turns(
    model: Any, greedy: GreedyPass, mask: BlockMask, args: argparse.Namespace
) -> dict[str, list[float]]:
    """Per trace the skipped blocks' turns, all together, per skipped block."""
    found: dict[str, list[float]] = {phase: [] for phase in PHASES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.traces):
            with BlockMaskWrapper(model, mask, ranges=True):
                path = record(
                    partial(greedy.run, args.steps),
                    Path(folder) / str(number),
                    device=CPU,
                    num_active_blocks=mask.num_active,
                    metadata={},
                )
            for phase in attribute(read_trace(path)).phases:
                turns = [block.host_us for block in phase.blocks if not block.active]
                found[phase.phase].append(sum(turns) / len(turns))
    return found


PAGE = """\
# The skip path measured twice, on three models

Made by `{command}`. Microseconds per skipped block; decode per step.

{machine}

{table}

- *Clean*: masked minus the same model with the blocks removed, no profiler, {rounds} rounds, paired; of a visit's
  {steps} steps the fastest.
- *Traced*: all that happens in the skipped blocks' turns, by the ranges of {traces} traces, the recording's cost
  subtracted.
- *Loop*: skipped blocks that pass their input on and do nothing else, minus removed: what the model's own loop does
  to turn to a block, its arguments, the module's call, hooks. No range of a block's turn can hold it.
- *Left*: clean minus traced minus loop, with the three intervals taken together.

Clean and traced agree within clean's interval in {agree} of {all} cases. They are not the same quantity: clean holds
the loop, traced does not, and traced is taken while every operator is recorded, so that its turns find colder caches.
Clean minus traced minus loop is zero within its interval, or within {negligible:g} us, in {explained} of the {told}
cases in which that interval is at most {telling:g} us wide: {verdict}.
"""


def page(args: argparse.Namespace) -> str:
    found = [closing for name in args.models for closing in closings(name, args)]
    rows = [
        (
            one.model,
            f"{one.skipped}",
            one.phase,
            f"{one.clean.median:.2f}",
            bounds(one.clean.ci95, 2),
            f"{one.traced:.2f}",
            bounds(one.traced_ci95, 2),
            f"{one.loop.median:.2f}",
            bounds(one.loop.ci95, 2),
            bounds(one.unexplained, 2),
        )
        for one in found
    ]
    titles = ("model", "skipped", "phase", "clean", "95 %", "traced", "95 %", "loop", "95 %", "left")
    telling = [one for one in found if one.tells]
    explained = sum(one.is_explained for one in telling)
    undecided = len(telling) * 2 < len(found)
    return PAGE.format(
        command=command_line(),
        machine="\n".join(machine_lines(CPU)),
        table="\n".join(table(titles, rows)),
        rounds=args.rounds,
        steps=args.steps,
        traces=args.traces,
        agree=sum(one.agrees for one in found),
        all=len(found),
        negligible=NEGLIGIBLE_US,
        explained=explained,
        told=len(telling),
        telling=TELLING_US,
        verdict="undecided" if undecided else "reached" if explained == len(telling) else "missed",
    )


def default_models() -> Sequence[str]:
    # The preset has SmolLM2's shape and random weights; times are the same.
    return ("molmoe-tiny", str(GGUF) if GGUF.is_file() else "smollm2-135m", "gpt2")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    parser.add_argument("--models", nargs="+", default=default_models(), help="presets, directories or files")
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--steps", type=int, default=8, help="decode steps a visit")
    parser.add_argument("--traces", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.quick:
        args.models, args.rounds, args.steps, args.traces = ["molmoe-tiny"], 5, 2, 1
    torch.set_num_threads(1)
    publish(page(args), args.output)


if __name__ == "__main__":
    main()
