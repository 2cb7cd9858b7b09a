"""A model whose parts take known times, through maskprof's own pipeline: do its figures say so?

    python benchmarks/known_answers.py --output docs/results/known-answers.md
    python benchmarks/known_answers.py --device cuda

On a CPU a part waits, busily, until its time is over by the clock; what disturbs the machine meanwhile is inside the
wait. On a GPU each block's kernel is a busy-wait of so many cycles (`torch.cuda._sleep`), calibrated beforehand by
events in the stream. Everything else that the model does (an embedding of eight numbers, a head) is next to nothing.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pipeline
import torch
from pages import add_page_arguments, bounds, command_line, machine_lines, percent, publish, table
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import CausalLMOutputWithPast

from maskprof.config.schema import RunConfig
from maskprof.models.cache_names import RETURNED_NAME
from maskprof.results.schema import Attribution, RunResult, Sample
from maskprof.serial import Interval
from maskprof.skipping import in_place
from maskprof.stats import fit_line

BLOCKS, ACTIVE, WIDTH, VOCABULARY = 8, 5, 8, 32
TOLERANCE = 0.02
# Milliseconds. The cache's is long beside what a skipped block's first turn really does: some 0.06 ms on a CPU.
PREFILL_BLOCK, DECODE_BLOCK, EMBEDDING, MASK_CHECK, CACHE = 8.0, 4.0, 2.0, 1.0, 5.0

Wait = Callable[[float], None]


@dataclass(slots=True)
class Planted:
    """Makes the waits, and writes down how long each took: a machine that stalls stalls inside them too.

    `on` is false while a model is looked at for the first time. `forwards` are those of the pass under way: per
    forward the milliseconds by (kind, block).
    """

    kernel: Wait | None
    on: bool = False
    forwards: list[defaultdict[tuple[str, int], float]] = field(default_factory=list)

    def begin_forward(self, is_first: bool) -> None:
        if is_first:
            self.forwards = []
        self.forwards.append(defaultdict(float))

    def wait(self, kind: str, ms: float, block: int = -1, *, since_ns: int | None = None) -> None:
        if not self.on or not self.forwards:
            return
        if self.kernel is not None:
            self.kernel(ms)
            self.forwards[-1][kind, block] += ms
            return
        begin = since_ns if since_ns is not None else time.perf_counter_ns()
        until = begin + int(ms * 1e6)
        while (now := time.perf_counter_ns()) < until:
            pass
        self.forwards[-1][kind, block] += (now - begin) / 1e6


def sleeping_kernel(device: torch.device) -> Wait:
    """A kernel that takes so many milliseconds, by how many cycles a known one took."""
    cycles, begin, end = 20_000_000, *(torch.cuda.Event(enable_timing=True) for _ in range(2))
    rates = []
    for _ in range(5):
        begin.record()
        torch.cuda._sleep(cycles)
        end.record()
        torch.cuda.synchronize(device)
        rates.append(cycles / begin.elapsed_time(end))
    per_ms = sorted(rates)[2]
    return lambda ms: torch.cuda._sleep(int(ms * per_ms))


class KnownSlot(DynamicLayer):
    """A cache slot that takes its time to be filled by a skipped block; an active one fills it in its own time."""

    planted: Planted
    active_block: int | None = None
    filled: int = 0

    def update(self, keys: Tensor, values: Tensor, *words: Any, **options: Any) -> Any:
        begin = time.perf_counter_ns()
        result = super().update(keys, values, *words, **options)
        if KnownSlot.active_block is None and not keys.is_cuda:
            self.planted.wait("cache", CACHE, self.place, since_ns=begin)
        return result


class KnownCache(DynamicCache):
    """Slots that know their place, so that what they take can be written down by block."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_class_to_replicate = self._next_slot

    def _next_slot(self) -> KnownSlot:
        slot = KnownSlot()
        slot.place = len(self.layers)
        return slot


class KnownBlock(GradientCheckpointingLayer):
    def __init__(self, layer_idx: int, planted: Planted) -> None:
        super().__init__()
        self.layer_idx, self.planted = layer_idx, planted
        self.shift = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, hidden_states: Tensor, past_key_values: Any = None, **_unused: Any) -> Tensor:
        begin = time.perf_counter_ns()
        if past_key_values is not None:
            KnownSlot.active_block = self.layer_idx
            keys = hidden_states[:, None]
            past_key_values.update(keys, keys, self.layer_idx)
            KnownSlot.active_block = None
        ms = PREFILL_BLOCK if hidden_states.shape[1] > 1 else DECODE_BLOCK
        self.planted.wait("block", ms, self.layer_idx, since_ns=begin)
        return hidden_states


class KnownModel(nn.Module):
    def __init__(self, planted: Planted) -> None:
        super().__init__()
        self.planted = planted
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList([KnownBlock(number, planted) for number in range(BLOCKS)])
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(
        self, input_ids: Tensor, past_key_values: Any = None, use_cache: bool = True, **_unused: Any
    ) -> CausalLMOutputWithPast:
        self.planted.begin_forward(is_first=past_key_values is None)
        if past_key_values is None and use_cache:
            past_key_values = KnownCache()
        self.planted.wait("embedding", EMBEDDING)
        hidden_states = self.embed(input_ids)
        for block in self.layers:
            hidden_states = block(
                hidden_states,
                attention_mask=None,
                position_ids=None,
                past_key_values=past_key_values,
                use_cache=use_cache,
            )
        return CausalLMOutputWithPast(
            logits=self.head(hidden_states[:, -1:]), **{RETURNED_NAME: past_key_values}
        )


class SlowFlags(in_place.Flags):
    """A mask on the host that takes its time to be read."""

    planted: Planted

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        flags, planted = self.host, self.planted

        class SlowList(list[bool]):
            def __getitem__(self, index: Any) -> Any:
                planted.wait("check", MASK_CHECK, index)
                return flags[index]

        self.read_from = SlowList(flags)


@contextmanager
def slow_masks(planted: Planted) -> Iterator[None]:
    """While entered, `BlockMaskWrapper` reads its mask slowly."""
    from maskprof.skipping import wrapper

    SlowFlags.planted = planted
    before, wrapper.Flags = wrapper.Flags, SlowFlags
    try:
        yield
    finally:
        wrapper.Flags = before


@dataclass(slots=True)
class Notes(pipeline.Silent):
    """A display that, at each sample, writes down what was waited in its pass."""

    planted: Planted
    passes: list[list[dict[tuple[str, int], float]]] = field(default_factory=list)

    def advance(self, configuration_name: str, stage: str) -> None:  # noqa: ARG002 - the protocol's
        self.passes.append(list(self.planted.forwards))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A figure beside the truth, in milliseconds; `planned` is the truth on a machine that never stalls."""

    figure: str
    planned: float
    truth: float
    found: float
    error: float
    ci95: Interval | None = None

    @property
    def is_right(self) -> bool:
        inside = self.ci95 is not None and self.ci95[0] <= self.truth <= self.ci95[1]
        return abs(self.error) <= TOLERANCE or inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A sample and the true times of its prefill and of a decode step."""

    sample: Sample
    true_ms: dict[str, float]

    def found_ms(self, phase: str) -> float:
        return self.sample.prefill_ms if phase == "prefill" else self.sample.decode_per_token_ms or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is planted, in milliseconds."""

    on_gpu: bool
    check: float
    cache: float

    def block(self, phase: str) -> float:
        return PREFILL_BLOCK if phase == "prefill" else DECODE_BLOCK

    def total(self, phase: str, active: int) -> float:
        return EMBEDDING + active * self.block(phase) + BLOCKS * self.check + (BLOCKS - active) * self.cache


PHASES = ("prefill", "decode_per_token")


def timed_samples(result: RunResult, notes: Notes) -> list[Timed]:
    def true_ms(forwards: list[dict[tuple[str, int], float]]) -> dict[str, float]:
        first, *steps = (sum(waits.values()) for waits in forwards)
        return dict(zip(PHASES, (first, sum(steps) / len(steps)), strict=True))

    return [
        Timed(sample=sample, true_ms=true_ms(forwards))
        for sample, forwards in zip(result.samples, notes.passes, strict=True)
    ]


def clean_answers(result: RunResult, timed: list[Timed], plan: Plan) -> list[Answer]:
    """Medians of each configuration, and the slope through them."""
    found, true_medians = [], defaultdict(list)
    for summary in result.summary:
        name, active = summary.configuration.name, summary.configuration.num_active_blocks
        own = [one for one in timed if one.sample.configuration == name and not one.sample.reference]
        for phase in PHASES:
            truth = median(one.true_ms[phase] for one in own)
            true_medians[phase].append(truth)
            statistics = getattr(summary, phase)
            found.append(
                Answer(
                    figure=f"{phase.replace('_', ' ')}, {active} of {BLOCKS} blocks",
                    planned=plan.total(phase, active),
                    truth=truth,
                    found=statistics.p50,
                    error=median(one.found_ms(phase) / one.true_ms[phase] - 1 for one in own),
                    ci95=statistics.median_ci95,
                )
            )
    for fit in result.fits:
        if fit.phase in PHASES:
            truth = fit_line((ACTIVE, BLOCKS), true_medians[fit.phase]).slope
            found.append(
                Answer(
                    figure=f"each block adds, {fit.phase.replace('_', ' ')}",
                    planned=plan.block(fit.phase) - plan.cache,
                    truth=truth,
                    found=fit.slope_ms_per_block,
                    error=fit.slope_ms_per_block / truth - 1,
                    ci95=fit.slope_ci95,
                )
            )
    return found


def skip_answers(attribution: Attribution, timed: list[Timed], plan: Plan) -> list[Answer]:
    """Masked minus removed: every block's look at the mask, the active ones' too, and the skipped ones' caches."""
    own = [one for one in timed if one.sample.configuration == attribution.configuration]
    sides = [
        {s.sample.round: s for s in own if s.sample.reference is reference} for reference in (False, True)
    ]
    found = []
    for closure, phase in zip(attribution.closure, PHASES, strict=True):
        truth = median(
            sides[0][number].true_ms[phase] - removed.true_ms[phase] for number, removed in sides[1].items()
        )
        assert closure.clean_us is not None
        assert closure.clean_ci95_us is not None
        low, high = closure.clean_ci95_us
        found.append(
            Answer(
                figure=f"masked minus removed, {closure.phase}",
                planned=BLOCKS * plan.check + (BLOCKS - ACTIVE) * plan.cache,
                truth=truth,
                found=closure.clean_us / 1000,
                error=closure.clean_us / 1000 / truth - 1,
                ci95=(low / 1000, high / 1000),
            )
        )
    return found


def traced_answers(
    attribution: Attribution, forwards: list[dict[tuple[str, int], float]], plan: Plan
) -> list[Answer]:
    """The worst of the blocks for each kind of figure, beside what was waited in the traced pass."""
    found = []
    for phase, steps in zip(attribution.phases, (forwards[:1], forwards[1:]), strict=True):
        kinds: dict[str, list[tuple[float, float, float]]] = {}
        for block in phase.blocks:

            def true_ms(*names: str, block: int = block.block, steps: list[Any] = steps) -> float:
                return sum(waits[name, block] for waits in steps for name in names) / len(steps)

            own_ms = plan.block("prefill" if phase.phase == "prefill" else "decode_per_token")
            if plan.on_gpu:
                if block.active:
                    figure = (own_ms, true_ms("block"), block.device_us)
                    kinds.setdefault("active block, device", []).append(figure)
                continue
            kind, name, planned = (
                ("active", "block", own_ms) if block.active else ("skipped", "cache", plan.cache)
            )
            figure = (plan.check + planned, true_ms("check", name), block.host_us)
            kinds.setdefault(f"turn of {kind} blocks", []).append(figure)
            kinds.setdefault("mask check", []).append((plan.check, true_ms("check"), block.mask_check_us))
            if not block.active:
                figure = (plan.cache, true_ms("cache"), block.cache_us)
                kinds.setdefault("cache of skipped blocks", []).append(figure)
        for kind, figures in kinds.items():
            planned, truth, us = max(figures, key=lambda figure: abs((figure[2] or 0) / 1000 / figure[1] - 1))
            assert us is not None
            found.append(
                Answer(
                    figure=f"{kind}, {phase.phase}, worst of {len(figures)}",
                    planned=planned,
                    truth=truth,
                    found=us / 1000,
                    error=us / 1000 / truth - 1,
                )
            )
    return found


def measured(args: argparse.Namespace) -> list[Answer]:
    on_gpu = args.device.type == "cuda"
    plan = Plan(on_gpu=on_gpu, check=0.0 if on_gpu else MASK_CHECK, cache=0.0 if on_gpu else CACHE)
    planted = Planted(kernel=sleeping_kernel(args.device) if on_gpu else None)
    KnownSlot.planted = planted
    model = KnownModel(planted).eval().to(args.device)
    notes = Notes(planted)
    with tempfile.TemporaryDirectory() as folder, nullcontext() if on_gpu else slow_masks(planted):
        config = RunConfig(
            num_active_blocks=(ACTIVE, BLOCKS),
            num_samples=args.samples,
            dummy_cache=("virtual",) if on_gpu else ("zeros",),
            max_new_tokens=(5,),
            device=str(args.device),
            trace_dir=folder,
        )
        inputs = pipeline.text_inputs(8, args.device, VOCABULARY)
        setup = pipeline.setup_of(model, inputs, config, args.device)
        planted.on = True
        result = pipeline.run(setup, notes, traced=setup.subject.configurations[:1])
    timed, attribution = timed_samples(result, notes), result.attribution[0]
    return [
        *clean_answers(result, timed, plan),
        *([] if on_gpu else skip_answers(attribution, timed, plan)),
        # The traced pass was the last one of all.
        *traced_answers(attribution, list(planted.forwards), plan),
    ]


PAGE = """\
# Known answers

A decoder of {blocks} blocks whose parts take known times, through maskprof's own pipeline: warm-up, {samples} clean
samples in shuffled rounds, removed-blocks references, a trace, attribution.
Planted: {planted}.
Made by `{command}`.

{machine}

{right} of {all} figures come out within 2 % of the truth or within their stated interval: {verdict}.

{table}

Milliseconds. *Planned* is what was planted; *truth* what the waits took by the clock, which is more where the machine
stalls inside one; *off by* compares with the truth, of clean figures sample by sample. Of blocks, the one that is
furthest from the truth is shown. Figures of traces have the recording's own cost subtracted, which is measured in the
same trace; what is left of it, and the model's own operators, is in what they are off by. Masked minus removed counts
every block's look at the mask, the active ones' too.
"""


def page(args: argparse.Namespace) -> str:
    found = measured(args)
    right = sum(answer.is_right for answer in found)
    on_gpu = args.device.type == "cuda"
    planted = f"{EMBEDDING:g} ms before the blocks, {PREFILL_BLOCK:g} ms a block in prefill, {DECODE_BLOCK:g} in a step"
    if not on_gpu:
        planted += f", {MASK_CHECK:g} ms for a look at the mask, {CACHE:g} ms for a skipped block's cache"
    rows = [
        (
            answer.figure,
            f"{answer.planned:.3f}",
            f"{answer.truth:.3f}",
            f"{answer.found:.3f}",
            bounds(answer.ci95, 3),
            percent(answer.error, 2),
            "right" if answer.is_right else "wrong",
        )
        for answer in found
    ]
    return PAGE.format(
        blocks=BLOCKS,
        samples=args.samples,
        planted=planted,
        command=command_line(),
        machine="\n".join(machine_lines(args.device)),
        right=right,
        all=len(found),
        verdict="reached" if right == len(found) else "missed",
        table="\n".join(
            table(("figure", "planned", "truth", "found", "95 % interval", "off by", "verdict"), rows)
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--samples", type=int, default=50)
    args = parser.parse_args()
    if args.quick:
        args.samples = 5
    torch.set_num_threads(1)
    publish(page(args), args.output)


if __name__ == "__main__":
    main()
