"""What recording costs, and whether what a run does beside measuring reaches the clean timings.

    python benchmarks/perturbation.py --output docs/results/perturbation.md

Tracing: the cost of one range and of one operator under the profiler, in loops of nothing but these, plain and with
shapes, stacks and memory recorded; and what a whole traced pass takes. Beside measuring: a sample that follows a line
in the journal, a redraw of the progress display, a look at the machine, or a whole traced pass, against one that
follows nothing, in shuffled rounds. Fails where a bound is exceeded.
"""

import argparse
import io
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from pages import add_page_arguments, bounds, command_line, machine_lines, percent, publish, table
from rich.console import Console
from torch.profiler import ProfilerActivity, profile

from maskprof import BlockMaskWrapper, find_blocks
from maskprof.annotate import coarse_range, fine_range
from maskprof.config.schema import RunConfig
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.timers import HostTimer
from maskprof.measuring.watch import MachineWatch
from maskprof.models.inputs import make_inputs
from maskprof.models.load import load_model
from maskprof.recording.session import RangeWatch, record
from maskprof.reports.progress import ProgressDisplay
from maskprof.results.journal import Journal
from maskprof.results.schema import Sample
from maskprof.stats import PairedDifference, paired_difference

CPU = torch.device("cpu")
# Some times what a quiet server takes: they guard against a change of kind, not of a few per cent.
MOST_COARSE_US, MOST_FINE_US, MOST_OPERATOR_US = 25.0, 3.0, 8.0
MOST_BESIDE = 0.02
WAYS: Mapping[str, Mapping[str, bool]] = {
    "plain": {},
    "with shapes": {"record_shapes": True},
    "with stacks": {"with_stack": True},
    "with memory": {"profile_memory": True},
    "with all three": {"record_shapes": True, "with_stack": True, "profile_memory": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds for one, without a profiler and under one in each way."""

    what: str
    bare: float
    under: Mapping[str, float]


def per_call_us(call: Callable[[], object], count: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - begin) / 1000 / count


def entered(name: str, make: Callable[[str], object]) -> Callable[[], None]:
    range_ = make(name)

    def enter() -> None:
        with range_:  # type: ignore[attr-defined]
            pass

    return enter


def costs(args: argparse.Namespace) -> list[Cost]:
    """Each in loops under fresh profiler sessions, the fastest of some tries."""
    numbers = torch.zeros(8)
    calls: dict[str, Callable[[], object]] = {
        "a range of a phase or block": entered("phase.decode", coarse_range),
        "a range inside the skip path": entered("block.00.mask_check", fine_range),
        "an operator": lambda: numbers.add_(1),
    }
    found = []
    for what, call in calls.items():
        per_call_us(call, 100)
        bare = min(per_call_us(call, args.calls) for _ in range(args.tries))
        under = {}
        for way, options in WAYS.items():
            tries = []
            for _ in range(args.tries):
                with profile(activities=[ProfilerActivity.CPU], **options):
                    per_call_us(call, 50)
                    tries.append(per_call_us(call, args.calls))
            under[way] = min(tries)
        found.append(Cost(what=what, bare=bare, under=under))
    return found


def passes(greedy: GreedyPass, args: argparse.Namespace) -> dict[str, float]:
    """How much longer a traced pass takes than a clean one, in each way: medians of neighbours' ratios."""
    timer, model = HostTimer(), greedy.model
    ratios: dict[str, list[float]] = {"ranges, no profiler": [], **{way: [] for way in WAYS}}
    all_on = [True] * len(find_blocks(model))

    def clean_ms() -> float:
        greedy.run(args.steps, timer)
        return timer.times().total_ms

    def ranged_ms() -> float:
        with BlockMaskWrapper(model, all_on, ranges=True):
            begin = time.perf_counter()
            greedy.run(args.steps, RangeWatch())
            return (time.perf_counter() - begin) * 1000

    clean_ms()
    for _ in range(args.passes):
        ratios["ranges, no profiler"].append(ranged_ms() / clean_ms())
        for way, options in WAYS.items():
            with profile(activities=[ProfilerActivity.CPU], **options):
                traced = ranged_ms()
            ratios[way].append(traced / clean_ms())
    return {way: median(values) for way, values in ratios.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a sample takes after something, beyond one after nothing, as a share."""

    what: str
    share: PairedDifference
    itself_us: float
    in_runs: bool = True

    @property
    def holds(self) -> bool:
        """Whether nothing is clearly above the bound, or it does not happen between the samples of a run."""
        return not self.in_runs or self.share.ci95 is None or self.share.ci95[0] <= MOST_BESIDE

    @property
    def verdict(self) -> str:
        if not self.in_runs:
            return "not between samples"
        return "held" if self.holds else "exceeded"


def beside(greedy: GreedyPass, args: argparse.Namespace) -> list[Beside]:
    timer, order = HostTimer(), random.Random(args.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.create(Path(folder) / "journal.jsonl", {}) as journal,
    ):
        sample = one_sample(greedy, timer, args.steps)
        # A terminal of its own, so that the bar is really drawn.
        display = ProgressDisplay(Console(file=io.StringIO(), force_terminal=True, width=100))
        display.start(args.rounds * 100, 1)
        watch, numbers = MachineWatch(), iter(range(10**9))

        def trace() -> None:
            total = len(find_blocks(greedy.model))
            with BlockMaskWrapper(greedy.model, [True] * total, ranges=True):
                record(
                    partial(greedy.run, 1),
                    Path(folder) / "trace",
                    device=CPU,
                    num_active_blocks=total,
                    metadata={},
                )

        actions: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "a line in the journal": lambda: journal.add_sample(sample),
            "the progress display": lambda: (
                display.advance("first-04-of-16", "measuring"),
                display.stage("measuring"),
            ),
            "a look at the machine": lambda: watch.look(next(numbers)),
        }
        # Again nothing: what the comparison itself is worth.
        actions["nothing, again"] = actions["nothing"]
        timed: dict[str, list[float]] = {name: [] for name in actions}
        itself: dict[str, list[float]] = {name: [] for name in actions}
        names = list(actions)
        for number in range(args.rounds + 2):
            order.shuffle(names)
            for name in names:
                begin = time.perf_counter_ns()
                actions[name]()
                took = (time.perf_counter_ns() - begin) / 1000
                greedy.run(args.steps, timer)
                if number > 1:
                    timed[name].append(timer.times().total_ms)
                    itself[name].append(took)
        after_trace: list[tuple[float, float]] = []
        for _ in range(args.traced_rounds):
            before = one_sample(greedy, timer, args.steps).total_ms
            trace()
            after_trace.append((one_sample(greedy, timer, args.steps).total_ms, before))
        display.stop()
    found = []
    for name in actions:
        if name != "nothing":
            shares = [a / b - 1 for a, b in zip(timed[name], timed["nothing"], strict=True)]
            share = paired_difference(shares, [0.0] * len(shares))
            found.append(Beside(what=name, share=share, itself_us=median(itself[name])))
    shares = [after / before - 1 for after, before in after_trace]
    share = paired_difference(shares, [0.0] * len(shares))
    found.append(
        Beside(
            what="a trace that was recorded and written", share=share, itself_us=float("nan"), in_runs=False
        )
    )
    return found


def one_sample(greedy: GreedyPass, timer: HostTimer, steps: int) -> Sample:
    greedy.run(steps, timer)
    times = timer.times()
    return Sample(
        configuration="first-04-of-16",
        sample_id=0,
        round=0,
        started_s=0.0,
        vision_ms=times.vision_ms,
        projector_ms=times.projector_ms,
        prefill_ms=times.prefill_ms,
        decode_ms=sum(times.decode_step_ms),
        total_ms=times.total_ms,
        decode_step_ms=times.decode_step_ms,
        host_ms={"prefill": times.host_prefill_ms},
        num_input_text_tokens=greedy.inputs.num_input_text_tokens,
        num_vision_tokens=greedy.inputs.num_vision_tokens,
        num_output_tokens=steps + 1,
    )


PAGE = """\
# What recording and watching cost

Made by `{command}`.

{machine}

## One range, one operator, under the profiler (us)

The whole cost for whoever runs it, the fastest of {tries} loops of {calls}.

{costs}

*Added, plain*: of a range all of it, of an operator what the profiler adds. The bounds that this benchmark holds:
{costs_verdict}.

## A traced pass, as a multiple of a clean one

{model}, a prefill and {steps} steps, all blocks active; a clean pass follows each traced one.

{passes}

Clean runs have no profiler and no ranges, so that none of this is in any timing.

## A sample after something, beyond a sample after nothing

{rounds} shuffled rounds, paired. The display is made to redraw each time; in a run it does ten times a second at most.

{beside}

*Itself*: what the thing takes, between samples and outside of every timing. Bound: no effect on the next sample that is
clearly above {most}: {beside_verdict}. In a run no sample follows a trace: all traces are recorded after the last
sample.
"""


def page(args: argparse.Namespace) -> tuple[str, bool]:
    # Kineto would write two lines to stderr at each session.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    config = RunConfig(model_path=args.model, device="cpu")
    loaded = load_model(config, CPU)
    greedy = GreedyPass(loaded.model, make_inputs(loaded, config, CPU))
    found, ratios, beside_found = costs(args), passes(greedy, args), beside(greedy, args)
    limits = (MOST_COARSE_US, MOST_FINE_US, MOST_OPERATOR_US)
    # An operator does something itself, a range does nothing else.
    own = [cost.bare if cost.what == "an operator" else 0.0 for cost in found]
    paid = [cost.under["plain"] - bare for cost, bare in zip(found, own, strict=True)]
    costs_hold = all(us <= most for us, most in zip(paid, limits, strict=True))
    beside_holds = all(one.holds for one in beside_found)
    text = PAGE.format(
        command=command_line(),
        machine="\n".join(machine_lines(CPU)),
        tries=args.tries,
        calls=args.calls,
        costs="\n".join(
            table(
                ("what", "no profiler", *WAYS, "added, plain", "bound"),
                [
                    (
                        cost.what,
                        f"{cost.bare:.2f}",
                        *(f"{cost.under[way]:.2f}" for way in WAYS),
                        f"{us:.2f}",
                        f"at most {most:g}",
                    )
                    for cost, us, most in zip(found, paid, limits, strict=True)
                ],
            )
        ),
        costs_verdict="held" if costs_hold else "exceeded",
        model=args.model,
        steps=args.steps,
        passes="\n".join(
            table(("way", "times a clean pass"), [(way, f"{r:.2f}") for way, r in ratios.items()])
        ),
        rounds=args.rounds,
        beside="\n".join(
            table(
                ("after", "next sample", "95 % interval", "itself, us", "verdict"),
                [
                    (
                        one.what,
                        percent(one.share.median, 2),
                        bounds(tuple(100 * b for b in one.share.ci95) if one.share.ci95 else None, 2) + " %",  # type: ignore[arg-type]
                        f"{one.itself_us:.0f}" if one.itself_us == one.itself_us else "-",
                        one.verdict,
                    )
                    for one in beside_found
                ],
            )
        ),
        most=percent(MOST_BESIDE, 0),
        beside_verdict="held" if beside_holds else "exceeded",
    )
    return text, costs_hold and beside_holds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    parser.add_argument("--model", default="molmo2-tiny")
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--traced_rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.quick:
        args.calls, args.tries, args.passes, args.rounds, args.traced_rounds = 50, 1, 1, 6, 1
    torch.set_num_threads(1)
    text, holds = page(args)
    publish(text, args.output)
    # A smoke test's figures say nothing.
    return 0 if holds or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
