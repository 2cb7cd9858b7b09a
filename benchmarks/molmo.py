"""One Molmo block, and the embedding, against the same weights run the way the published code is written.

    python benchmarks/molmo.py --output docs/results/molmo-block.md

The plain writing gathers the embedding from a concatenation of both tables, always passes a float mask, repeats
keys and values to all heads, concatenates them to the past, and loops over all experts, asking the device for each
one's tokens. Both run on the same weights in one process, in alternating order within shuffled rounds; the ratio is
of the two medians, its interval comes from the paired differences.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskprof.measuring.environment import describe_environment
from maskprof.models.molmo import MolmoConfig
from maskprof.models.molmo.caches import PreallocatedLayer
from maskprof.models.molmo.decoder import MolmoBlock, RotaryPositions, make_block
from maskprof.models.molmo.model import MolmoEmbedding
from maskprof.models.presets import PRESETS
from maskprof.stats import Interval, describe, paired_difference

QUICK = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 256,
    "vocab_size": 4000,
    "embedding_size": 4096,
}
KINDS = {"MolmoE-1B": "molmoe-1b", "Molmo-7B-D": "molmo-7b-d"}
MILLI = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Two ways to the same result; each call does the work once and returns it."""

    model: str
    work: str
    ours: Callable[[], Tensor]
    plain: Callable[[], Tensor]


class OneSlot:
    """As much of a transformers cache as one block asks for."""

    def __init__(self, layer: PreallocatedLayer) -> None:
        self.layer = layer

    def update(self, keys: Tensor, values: Tensor, _index: int, *_more: Any) -> Any:
        return self.layer.update(keys, values)


# The plain writing


def plain_norm(x: Tensor, norm: nn.Module) -> Tensor:
    wide = x.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + norm.eps)
    return scaled.to(x.dtype) * norm.weight


def plain_rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def plain_experts(y: Tensor, moe: nn.Module) -> Tensor:
    flat = y.reshape(-1, y.shape[-1])
    shares = functional.softmax(moe.gate(flat), dim=-1, dtype=torch.float32)
    weights, chosen = shares.topk(moe.top_k, dim=-1)
    weights = weights.to(y.dtype)
    out = torch.zeros_like(flat)
    experts = moe.experts.down_proj.shape[0]
    hit = functional.one_hot(chosen, experts).permute(2, 1, 0)
    for expert in range(experts):
        slots, rows = torch.where(hit[expert])
        gate, up = moe.experts.gate_up_proj[expert].chunk(2)
        inner = functional.silu(functional.linear(flat[rows], gate)) * functional.linear(flat[rows], up)
        made = functional.linear(inner, moe.experts.down_proj[expert])
        out.index_add_(0, rows, made * weights[rows, slots, None])
    return out.view_as(y)


def plain_dense(y: Tensor, block: nn.Module) -> Tensor:
    value, gate = block.ff_proj(y).chunk(2, dim=-1)
    return block.ff_out(functional.silu(gate) * value)


def plain_block(
    block: MolmoBlock, config: MolmoConfig, x: Tensor, past: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    part = block.attn if config.nested_names else block
    batch, tokens, hidden = x.shape
    head_dim = hidden // config.num_attention_heads
    q, k, v = part.att_proj(plain_norm(x, part.attn_norm)).split(part.fused_widths, dim=-1)
    if part.q_norm is not None:
        q, k = plain_norm(q, part.q_norm), plain_norm(k, part.k_norm)
    q, k, v = (t.view(batch, tokens, -1, head_dim).transpose(1, 2) for t in (q, k, v))
    before = 0 if past is None else past[0].shape[-2]
    steps = torch.arange(0, head_dim, 2, device=x.device, dtype=torch.float32)
    angles = torch.arange(before, before + tokens, device=x.device)[:, None] / (
        config.rope_theta ** (steps / head_dim)
    )
    angles = torch.cat((angles, angles), dim=-1)
    q, k = (plain_rotated(t, angles.cos(), angles.sin()) for t in (q, k))
    if past is not None:
        k, v = torch.cat((past[0], k), dim=-2), torch.cat((past[1], v), dim=-2)
    bias = torch.full((k.shape[-2],) * 2, torch.finfo(x.dtype).min, dtype=x.dtype, device=x.device).triu(1)
    repeats = q.shape[1] // k.shape[1]
    all_k, all_v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
    mixed = functional.scaled_dot_product_attention(q, all_k, all_v, attn_mask=bias[-tokens:])
    x = x + part.attn_out(mixed.transpose(1, 2).reshape(batch, tokens, hidden))
    rest = block.mlp if config.nested_names else block
    y = plain_norm(x, rest.ff_norm)
    return x + (plain_experts(y, rest) if config.num_experts else plain_dense(y, rest)), (k, v)


# The cases


def filled(module: nn.Module, generator: torch.Generator) -> nn.Module:
    for parameter in module.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=0.02, generator=generator)
    return module.eval().requires_grad_(requires_grad=False)


def cases_of(name: str, args: argparse.Namespace) -> list[Case]:
    settings = dict(PRESETS[KINDS[name]].config) | (QUICK if args.quick else {})
    config = MolmoConfig(**settings)
    device, dtype = args.device, getattr(torch, args.dtype)
    generator = torch.Generator(device).manual_seed(args.seed)
    with torch.device(device):
        torch.set_default_dtype(dtype)
        block = filled(make_block(config, 0), generator)
        embedding = filled(MolmoEmbedding(config), generator)
        torch.set_default_dtype(torch.float32)
        prompt = torch.randn(1, args.tokens, config.hidden_size, generator=generator).to(dtype)
        step = torch.randn(1, 1, config.hidden_size, generator=generator).to(dtype)
        ids = torch.tensor([[17]])
        places = torch.arange(args.tokens + 1)[None]
    past = block(prompt, use_cache=True)[1]
    rotary = RotaryPositions(config.hidden_size // config.num_attention_heads, config.rope_theta)
    layer = PreallocatedLayer(args.tokens + 1)
    layer.update(*past)

    def our_step() -> Tensor:
        # One token back, so that each call appends the same one.
        layer.keys, layer.values = layer.keys[..., : args.tokens, :], layer.values[..., : args.tokens, :]
        rotation = rotary(places[:, -1:])
        return block(step, use_cache=True, past_key_values=OneSlot(layer), rotation=rotation)[0]

    def plain_lookup() -> Tensor:
        return functional.embedding(ids, torch.cat((embedding.embedding, embedding.new_embedding)))

    return [
        Case(
            model=name,
            work=f"block, prefill of {args.tokens} tokens",
            ours=lambda: block(prompt, use_cache=True, rotation=rotary(places[:, :-1]))[0],
            plain=lambda: plain_block(block, config, prompt, None)[0],
        ),
        Case(
            model=name,
            work=f"block, one step after {args.tokens}",
            ours=our_step,
            plain=lambda: plain_block(block, config, step, past)[0],
        ),
        Case(model=name, work="embedding, one step", ours=lambda: embedding(ids), plain=plain_lookup),
    ]


def seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def measure(case: Case, rounds: int, device: torch.device) -> tuple[list[float], list[float]]:
    """Milliseconds of each round, ours and plain; a round's figure is the better of two runs."""
    ways = {"ours": case.ours, "plain": case.plain}
    times: dict[str, list[float]] = {way: [] for way in ways}
    gc.collect()
    gc.disable()
    try:
        for number in range(-1, rounds):
            order = ["ours", "plain", "plain", "ours"]
            if random.random() < 0.5:
                order.reverse()
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for way in order:
                taken[way].append(seconds(ways[way], device) * MILLI)
            if number >= 0:
                for way, values in taken.items():
                    times[way].append(min(values))
    finally:
        gc.enable()
    return times["ours"], times["plain"]


def difference(case: Case) -> float:
    """Largest difference between the two, as a share of the largest value."""
    ours, plain = case.ours().float(), case.plain().float()
    return float((ours - plain).abs().max() / plain.abs().max())


def row_of(case: Case, args: argparse.Namespace) -> str:
    apart = difference(case)
    ours, plain = measure(case, args.rounds, args.device)
    left, right = describe(ours), describe(plain)
    saved = paired_difference(plain, ours)
    return (
        f"| {case.model} | {case.work} | {left.p50:.3g} {bounds(left.p50_ci95)} "
        f"| {right.p50:.3g} {bounds(right.p50_ci95)} | {saved.median:.3g} {bounds(saved.ci95)} "
        f"| {right.p50 / left.p50:.3g} | {apart:.0e} |"
    )


def bounds(interval: Interval | None) -> str:
    return "" if interval is None else f"({interval[0]:.3g} to {interval[1]:.3g})"


def page(rows: list[str], args: argparse.Namespace) -> str:
    environment = describe_environment(args.device)
    where = ", ".join(
        str(environment[key])
        for key in ("device", "cpu", "threads", "torch", "time")
        if environment.get(key) is not None
    )
    quick = "\n**Quick run: small shapes and few rounds; these figures say nothing.**\n" if args.quick else ""
    return "\n".join(
        (
            "# A Molmo block against the published way of writing it",
            "",
            (
                f"Device, CPU, threads, torch, time: {where}. {args.dtype}, {args.rounds} rounds. Written by "
                "`benchmarks/molmo.py`; what is compared stands at its beginning."
            ),
            quick,
            (
                "Medians in ms with their 95 % intervals; `saved` is the paired difference. `apart` is the largest "
                "difference between the two results, as a share of the largest value."
            ),
            "",
            "| model | work | ours | plain | saved | plain / ours | apart |",
            "| :--- | :--- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        )
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    parser.add_argument(
        "--device", type=torch.device, default=torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="bfloat16 on a GPU, else float32")
    parser.add_argument("--models", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--tokens", type=int, default=326, help="of the prompt; 326 is a 336x336 picture's")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a smoke test: its figures say nothing")
    args = parser.parse_args()
    args.dtype = args.dtype or ("bfloat16" if args.device.type == "cuda" else "float32")
    if args.quick:
        args.rounds, args.tokens = min(args.rounds, 3), min(args.tokens, 32)
    return args


def main() -> None:
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    random.seed(args.seed)
    rows: list[str] = []
    with torch.inference_mode():
        # One model's weights at a time.
        for name in args.models:
            for case in cases_of(name, args):
                rows.append(row_of(case, args))
                sys.stderr.write(f"{rows[-1]}\n")
    text = page(rows, args)
    sys.stdout.write(text)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
