"""How much each of nineteen pitfalls of timing is worth, on one model: a re-creation in which each is a switch.

    python benchmarks/research_semantics.py --output docs/pitfalls.md

The re-creation is our own code, after a description of the research code's measurement. Wherever a flaw is another way
of reading the same pass, both ways are read off the same pass, so that no noise is between them.
"""

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import mean, median, stdev
from typing import Any

import torch
from pages import add_page_arguments, command_line, machine_lines, percent, publish
from pitfalls import PITFALLS

from maskprof import BlockMask, BlockMaskWrapper, find_blocks
from maskprof.config.schema import RunConfig
from maskprof.measuring.phases import GreedyPass
from maskprof.measuring.timers import HostTimer, PassTimes
from maskprof.models.inputs import make_inputs
from maskprof.models.load import load_model
from maskprof.skipping.override import Forward, overridden
from maskprof.stats import fit_line, paired_difference

CPU = torch.device("cpu")


@dataclass(slots=True)
class Marks:
    """Moments of one `generate()`, in milliseconds."""

    at: dict[str, float] = field(default_factory=dict)
    entries: list[float] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)

    def put(self, name: str) -> None:
        self.at.setdefault(name, now_ms())


def now_ms() -> float:
    return time.perf_counter_ns() / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the marks of a pass are read; each switch is one pitfall. All off is what maskprof reads."""

    prefill_after_block_0: bool = False
    vision_from_entry: bool = False
    decode_to_the_end: bool = False

    def vision(self, marks: Marks) -> float:
        begin = marks.entries[0] if self.vision_from_entry else marks.at["vision in"]
        return marks.at["vision out"] - begin

    def prefill(self, marks: Marks) -> float:
        if self.prefill_after_block_0:
            return marks.at["last block out"] - marks.at["block 0 out"]
        vision = marks.at["vision out"] - marks.at["vision in"]
        return marks.exits[0] - marks.entries[0] - vision

    def decode(self, marks: Marks) -> float:
        if self.decode_to_the_end:
            return marks.at["end"] - marks.entries[1]
        return sum(end - begin for begin, end in zip(marks.entries[1:], marks.exits[1:], strict=True))

    def total(self, marks: Marks) -> float:
        return marks.at["end"] - marks.at["begin"]


OURS = Reading()
RESEARCH = Reading(prefill_after_block_0=True, vision_from_entry=True, decode_to_the_end=True)


class Subject:
    """The model and its inputs, and ways to run it."""

    def __init__(self, name: str, steps: int) -> None:
        self.config = RunConfig(model_path=name, device="cpu")
        self.loaded = load_model(self.config, CPU)
        self.model = self.loaded.model
        self.inputs = make_inputs(self.loaded, self.config, CPU)
        self.blocks, self.steps = find_blocks(self.model), steps
        self.greedy, self.timer = GreedyPass(self.model, self.inputs), HostTimer()

    def generate(self, new_tokens: int | None = None) -> None:
        count = new_tokens or self.steps + 1
        options = {"min_new_tokens": count, "max_new_tokens": count, "do_sample": False, "pad_token_id": 0}
        self.model.generate(**self.inputs.tensors, **options)

    def marked(self) -> Marks:
        """One `generate()`, with a mark wherever some definition wants one."""
        marks, hooks = Marks(), ExitStack()

        def on(module: Any, into: str | None, out: str | None) -> None:
            if into:
                hooks.callback(module.register_forward_pre_hook(lambda *_: marks.put(into)).remove)
            if out:
                hooks.callback(module.register_forward_hook(lambda *_: marks.put(out)).remove)

        on(self.model.model.vision_backbone, "vision in", "vision out")
        on(self.blocks[0], None, "block 0 out")
        on(self.blocks[-1], None, "last block out")
        entered = self.model.register_forward_pre_hook(lambda *_: marks.entries.append(now_ms()))
        left = self.model.register_forward_hook(lambda *_: marks.exits.append(now_ms()))
        hooks.callback(entered.remove)
        hooks.callback(left.remove)
        with hooks:
            marks.put("begin")
            self.generate()
            marks.put("end")
        return marks

    def timed(self) -> PassTimes:
        self.greedy.run(self.steps, self.timer)
        return self.timer.times()


def took_ms(call: Callable[[], object]) -> float:
    begin = now_ms()
    call()
    return now_ms() - begin


def readings(subject: Subject, args: argparse.Namespace) -> dict[int, str]:
    """1, 2, 3 and 6: other ways of reading the same passes."""
    passes = [subject.marked() for _ in range(args.passes)]

    def ratio(part: str) -> float:
        return median(getattr(RESEARCH, part)(marks) / getattr(OURS, part)(marks) for marks in passes)

    with BlockMaskWrapper(subject.model, BlockMask.first(2, total=len(subject.blocks))):
        few = [subject.marked() for _ in range(args.passes)]
    few_ratio = median(RESEARCH.prefill(marks) / OURS.prefill(marks) for marks in few)
    added = median(RESEARCH.vision(marks) - OURS.vision(marks) for marks in passes)
    covered = median(
        (RESEARCH.vision(m) + RESEARCH.prefill(m) + m.exits[-1] - m.entries[1]) / RESEARCH.total(m)
        for m in passes
    )
    ours = median(1 - (OURS.vision(m) + OURS.prefill(m) + OURS.decode(m)) / OURS.total(m) for m in passes)
    table_ms = whole_table_ms()
    return {
        1: (
            f"Prefill {percent(1 - ratio('prefill'))} too low with all {len(subject.blocks)} blocks, "
            f"{percent(1 - few_ratio)} with 2 of them."
        ),
        2: (
            f"{added:.2f} ms more, {percent(ratio('vision') - 1, 2)} of vision, on this model, whose "
            "table is small and not "
            "copied. Copying a table at MolmoE-1B's shape (50,432 rows of 2,048, float32) takes "
            f"{table_ms:.0f} ms here, each "
            "forward."
        ),
        3: (
            f"The stages cover {percent(covered)} of `generate()`; ours leave an explicit remainder of "
            f"{percent(ours)} of it "
            "when read off the same passes."
        ),
        6: f"Decode {percent(ratio('decode') - 1)} longer than its forwards.",
    }


def whole_table_ms() -> float:
    """Putting a table of tokens and one of added tokens together, as the look-up of the research code does."""
    tokens, added = torch.zeros(50_304, 2048), torch.zeros(128, 2048)
    return min(took_ms(lambda: torch.cat((tokens, added))) for _ in range(3))


def by_subtraction(subject: Subject, args: argparse.Namespace) -> str:
    """4: decode and the projector as what is left of other runs."""
    vision, images = subject.model.model.vision_backbone, subject.inputs.tensors

    def encode() -> object:
        return vision.image_vit(images["images"].flatten(0, 1))

    def look() -> object:
        return vision(images["images"], images["image_masks"])

    decodes, projectors = [], []
    with torch.inference_mode():
        true_projector = median(subject.timed().projector_ms for _ in range(args.passes))
        for _ in range(args.passes):
            vision_ms, tower_ms = took_ms(look), took_ms(encode)
            prefill = RESEARCH.prefill(subject.marked())
            whole = subject.marked()
            left = max(0.0, RESEARCH.total(whole) - vision_ms - prefill)
            decodes.append((left / OURS.decode(whole), OURS.decode(whole)))
            projectors.append(max(0.0, vision_ms - tower_ms))
    bias = median(ratio for ratio, _ in decodes) - 1
    spread = stdev([ratio * true for ratio, true in decodes]) / stdev([true for _, true in decodes])
    clamped = sum(ms == 0.0 for ms in projectors) / len(projectors)
    return (
        f"Decode {percent(bias)} too long in the median, and its spread {spread:.1f} times that of "
        "decode itself. The "
        f"projector: {median(projectors):.2f} ms from {min(projectors):.2f} to {max(projectors):.2f}, "
        f"{percent(clamped, 0)} of "
        f"them clamped at 0, where it takes {true_projector:.2f} ms."
    )


def in_bfloat16(subject: Subject, args: argparse.Namespace) -> str:
    """8: casting inside, here by the CPU's autocast, against weights that have the type already."""
    times = defaultdict(list)
    for _ in range(args.passes):
        times["float32"].append(median(subject.timed().decode_step_ms))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            times["autocast"].append(median(subject.timed().decode_step_ms))
    config = RunConfig(model_path=subject.config.model_path, device="cpu", dtype="bfloat16")
    loaded = load_model(config, CPU)
    greedy = GreedyPass(loaded.model, make_inputs(loaded, config, CPU))
    for _ in range(args.passes):
        greedy.run(subject.steps, subject.timer)
        times["bfloat16"].append(median(subject.timer.times().decode_step_ms))
    of = {name: median(values) for name, values in times.items()}
    return (
        f"With the CPU's autocast, which does what theirs does on a GPU: {of['autocast']:.2f} ms per token, "
        f"{of['autocast'] / of['bfloat16']:.2f} times that of bfloat16 weights ({of['bfloat16']:.2f} "
        "ms); float32 throughout "
        f"takes {of['float32']:.2f} ms."
    )


@contextmanager
def research_mask(subject: Subject, mask: BlockMask) -> Iterator[None]:
    """Skipped blocks called with a forward that is exchanged each time, and zeros put into the cache."""
    with ExitStack() as stack:
        for index, block in enumerate(subject.blocks):
            if mask[index]:
                continue

            def make(_original: Forward, block: Any = block, index: int = index) -> Forward:
                def forward(*args: Any, **kwargs: Any) -> Any:
                    hidden = args[0] if args else kwargs["hidden_states"]

                    # A closure of its own for each call, as the research code makes it.
                    def identity(x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
                        return x, (torch.zeros_like(x), torch.zeros_like(x))

                    before = vars(block)["forward"]
                    block.forward = identity
                    try:
                        passed, _ = block.forward(hidden)
                    finally:
                        block.forward = before
                    return passed_on(subject, index, passed, args, kwargs)

                return forward

            stack.enter_context(overridden(block, make))
        yield


def passed_on(subject: Subject, index: int, passed: Any, args: Any, kwargs: Any) -> Any:
    from maskprof.models.blocks import probe
    from maskprof.skipping.in_place import _passer

    if index not in PASSERS:
        PASSERS[index] = _passer(probe(subject.model).blocks[index])
    return PASSERS[index]((passed, *args[1:]), kwargs) if args else PASSERS[index](args, kwargs)


PASSERS: dict[int, Any] = {}


def skipped_blocks(subject: Subject, args: argparse.Namespace) -> tuple[str, str]:
    """10 and 11: a skipped block's turn in each way, and which blocks a prefill is of."""
    total = len(subject.blocks)
    mask, order = BlockMask.first(2, total=total), random.Random(args.seed)
    ways: Mapping[str, Callable[[], Any]] = {
        "removed": lambda: BlockMaskWrapper(subject.model, mask, skip="remove"),
        "ours": lambda: BlockMaskWrapper(subject.model, mask),
        "theirs": lambda: research_mask(subject, mask),
    }
    steps: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(args.passes * 3):
        for way in order.sample(sorted(ways), len(ways)):
            with ways[way]():
                steps[way].append(min(subject.timed().decode_step_ms))
    cost = {
        way: paired_difference(steps[way], steps["removed"]).median * 1000 / (total - mask.num_active)
        for way in ("ours", "theirs")
    }
    prefills: defaultdict[str, list[float]] = defaultdict(list)
    half = total // 2
    chosen = {"with": range(half), "without": range(1, half + 1)}
    for _ in range(args.passes):
        for name, blocks in chosen.items():
            with BlockMaskWrapper(subject.model, BlockMask.from_indices(list(blocks), total=total)):
                marks = subject.marked()
            prefills[f"theirs {name}"].append(RESEARCH.prefill(marks))
            prefills[f"ours {name}"].append(OURS.prefill(marks))
    of = {name: median(values) for name, values in prefills.items()}
    hidden = torch.zeros(1, subject.inputs.tensors["input_ids"].shape[1], subject.model.config.hidden_size)
    zeros_us = (
        min(took_ms(lambda: (torch.zeros_like(hidden), torch.zeros_like(hidden))) for _ in range(200)) * 1000
    )
    turn = (
        f"A skipped block costs {cost['theirs']:.1f} us per step, against {cost['ours']:.1f} us under our mask. "
        f"Prefill with {half} blocks without block 0, beside {half} with it: "
        f"{of['theirs without'] / of['theirs with']:.2f} times as long by their marks, "
        f"{of['ours without'] / of['ours with']:.2f} times by ours."
    )
    cache = (
        f"Of the cache: {zeros_us:.1f} us and {2 * hidden.numel() * 4 / 1024:.0f} KiB per skipped block and prefill "
        f"of {hidden.shape[1]} tokens, at this model's width of {hidden.shape[2]}. Results that differ have no size "
        "in time."
    )
    return turn, cache


def lengths(subject: Subject, args: argparse.Namespace) -> str:
    """14: runs that end where they like, averaged by position."""
    chance, runs = random.Random(args.seed), [subject.timed().decode_step_ms for _ in range(args.passes)]
    true = mean(step for run in runs for step in run)
    by_position, plain = [], []
    for _ in range(200):
        chosen = [chance.choice(runs)[: chance.randint(1, subject.steps)] for _ in range(10)]
        positions = [[run[place] for run in chosen if len(run) > place] for place in range(subject.steps)]
        by_position.append(mean(mean(values) for values in positions if values))
        plain.append(mean(step for run in chosen for step in run))
    return (
        "Ten of our runs at a time, ended at random: the mean of the positions' means scatters "
        f"{stdev(by_position) / true:.1%} "
        f"around the truth, the mean of all steps {stdev(plain) / true:.1%}."
    )


def crops(subject: Subject, args: argparse.Namespace) -> str:
    """16: twelve crops of thirteen."""
    passes = {
        count: GreedyPass(subject.model, make_inputs(subject.loaded, subject.config, CPU, num_crops=count))
        for count in (12, 11)
    }
    found: defaultdict[int, list[PassTimes]] = defaultdict(list)
    for _ in range(max(2, args.passes // 3)):
        for count, greedy in passes.items():
            greedy.run(1, subject.timer)
            found[count].append(subject.timer.times())
    # The fastest: a pass is long, and what disturbs it makes it longer.
    least = {
        count: (min(t.vision_ms for t in times), min(t.prefill_ms for t in times))
        for count, times in found.items()
    }
    vision, prefill = (least[11][place] / least[12][place] - 1 for place in (0, 1))
    return (
        f"At 12 crops and the whole picture, one less: vision {percent(vision)}, prefill {percent(prefill)}."
    )


def interleaving(subject: Subject, args: argparse.Namespace) -> str:
    """18: the slope over depth, configurations one after the other and in shuffled rounds."""
    total, chance = len(subject.blocks), random.Random(args.seed)
    depths = [total // 4, total // 2, 3 * total // 4, total]
    slopes: dict[str, list[float]] = {"after": [], "rounds": []}
    for _ in range(args.sweeps):
        for way, found in slopes.items():
            visits = [depth for depth in depths for _ in range(args.per_depth)]
            if way == "rounds":
                visits = [d for _ in range(args.per_depth) for d in chance.sample(depths, len(depths))]
            taken: defaultdict[int, list[float]] = defaultdict(list)
            for depth in visits:
                with BlockMaskWrapper(subject.model, BlockMask.first(depth, total=total)):
                    taken[depth].append(median(subject.timed().decode_step_ms))
            found.append(fit_line(depths, [median(taken[depth]) for depth in depths]).slope)
    spreads = {way: stdev(values) / mean(values) for way, values in slopes.items()}
    return (
        f"{args.sweeps} sweeps of {len(depths)} depths with {args.per_depth} samples each, both ways: "
        "the slope scatters "
        f"{percent(spreads['after'])} one after the other, {percent(spreads['rounds'])} in rounds."
    )


def sizes(args: argparse.Namespace) -> dict[int, str]:
    """The size of each pitfall that has one here, as a sentence."""
    subject = Subject(args.model, args.steps)
    # Before anything else has run.
    first = took_ms(subject.generate)
    later = [took_ms(subject.generate) for _ in range(args.passes)]
    spread = mean(later) / median(later) - 1
    text, image = subject.inputs.num_input_text_tokens, subject.inputs.num_vision_tokens
    found = readings(subject, args)
    found[4] = by_subtraction(subject, args)
    found[7] = f"The first `generate()` took {first / median(later):.1f} times the median of those after it."
    found[8] = in_bfloat16(subject, args)
    found[9] = f"The mean of {len(later)} runs is {percent(spread)} above their median."
    found[10], found[11] = skipped_blocks(subject, args)
    found[14] = lengths(subject, args)
    found[16] = crops(subject, args)
    found[17] = (
        f"{text + 2 * image} tokens for {text + image} ({image} of a picture): "
        f"{percent(image / (text + image), 0)} too many. "
        f"Time per token divided by {args.steps + 1} new tokens and not {args.steps} steps: "
        f"{percent(1 / (args.steps + 1))} too low."
    )
    found[18] = interleaving(subject, args)
    return found


PAGE = """\
# Nineteen pitfalls, and what maskprof does instead

The measurement that maskprof grew out of timed a vision-language model by hooks around `generate()`. Read closely, it
misleads in nineteen ways, none of them rare. Each is told here with what maskprof does instead, and with its size
where it has one, measured on {model} ({blocks} blocks, a picture and {steps} decode steps) by a re-creation in which
each is a switch.
Made by `{command}`.

{machine}

{sections}
"""


def page(args: argparse.Namespace) -> str:
    found = sizes(args)
    sections = []
    for number, pitfall in PITFALLS.items():
        size = pitfall.without_size or found[number]
        sections.append(
            f"## {number}. {pitfall.title}\n\n{pitfall.theirs}\n\n*Instead*: "
            f"{pitfall.instead}\n\n*Size*: {size}"
        )
    return PAGE.format(
        model=args.model,
        blocks=len(find_blocks(load_model(RunConfig(model_path=args.model, device="cpu"), CPU).model)),
        steps=args.steps,
        command=command_line(),
        machine="\n".join(machine_lines(CPU)),
        sections="\n\n".join(sections),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_page_arguments(parser)
    parser.add_argument("--model", default="molmoe-tiny", help="a native Molmo")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--sweeps", type=int, default=12)
    parser.add_argument("--per_depth", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.quick:
        args.passes, args.sweeps, args.per_depth, args.steps = 3, 2, 1, 3
    torch.set_num_threads(1)
    publish(page(args), args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
