"""Molmo's decoder blocks: norms, rotary positions, attention with either kind of cache, feed-forward.

A block returns `(x, (k, v))`, its keys and values so far, or `(x, None)` without a cache. It takes its past as
such a pair (`layer_past`) or as a transformers cache with a slot for it (`past_key_values`).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskprof.models.molmo.config import MolmoConfig
from maskprof.models.molmo.experts import MolmoMoE

KVPair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Rotation:
    """Cosines and sines of the positions' angles, each (batch, 1, tokens, head_dim), float32.

    The first half of the sines has its sign changed.
    """

    cos: Tensor
    sin: Tensor


class MolmoRMSNorm(nn.Module):
    """Root-mean-square norm: computed in float32, cast back, and only then multiplied by the weight."""

    def __init__(self, width: int, eps: float) -> None:
        """A norm over the last `width` values."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        if x.dtype == self.weight.dtype == torch.float32:
            return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return functional.rms_norm(x, self.weight.shape, None, self.eps) * self.weight


class RotaryPositions:
    """Makes the rotation of given positions; the frequencies are kept per device."""

    def __init__(self, head_dim: int, theta: float) -> None:
        """`theta` is the base of the frequencies."""
        self.head_dim, self.theta = head_dim, theta
        self._frequencies: dict[torch.device, Tensor] = {}

    def __call__(self, position_ids: Tensor) -> Rotation:
        """Cosines and sines for positions (batch, tokens)."""
        frequencies = self._frequencies.get(position_ids.device)
        if frequencies is None:
            # Kept for later, which may be a training step.
            with torch.inference_mode(mode=False):
                steps = torch.arange(0, self.head_dim, 2, device=position_ids.device, dtype=torch.float32)
                frequencies = 1.0 / (self.theta ** (steps / self.head_dim))
            self._frequencies[position_ids.device] = frequencies
        angles = position_ids[:, None, :, None].float() * frequencies
        cos, sin = angles.cos(), angles.sin()
        return Rotation(torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1))


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate heads (batch, heads, tokens, head_dim) in float32; the two halves of a head are the pairs."""
    full = x.float()
    return (full * rotation.cos + full.roll(x.shape[-1] // 2, dims=-1) * rotation.sin).to(x.dtype)


class _WithAttention(nn.Module):
    """What attention needs, under the names of both dialects: in a block itself, or in its `attn`."""

    def _add_attention(self, config: MolmoConfig) -> None:
        hidden, heads, kv_heads = (
            config.hidden_size,
            config.num_attention_heads,
            config.num_key_value_heads,
        )
        kv_width = kv_heads * (hidden // heads)
        self.config = config
        self.fused_widths = (hidden, kv_width, kv_width)
        self.att_proj = nn.Linear(hidden, sum(self.fused_widths), bias=config.qkv_bias)
        self.attn_out = nn.Linear(hidden, hidden, bias=False)
        self.attn_norm = MolmoRMSNorm(hidden, config.layer_norm_eps)
        self.q_norm: nn.Module | None = None
        self.k_norm: nn.Module | None = None
        if config.attention_layer_norm:
            self.q_norm = MolmoRMSNorm(hidden, config.layer_norm_eps)
            self.k_norm = MolmoRMSNorm(kv_width, config.layer_norm_eps)
        self.rotary = RotaryPositions(hidden // heads, config.rope_theta)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (batch, heads, tokens, head_dim), not rotated yet."""
        config = self.config
        fused = self.att_proj(x)
        if config.clip_qkv is not None:
            fused = fused.clamp(-config.clip_qkv, config.clip_qkv)
        q, k, v = fused.split(self.fused_widths, dim=-1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        batch, tokens, _ = x.shape
        head_dim = self.fused_widths[0] // config.num_attention_heads
        q, k, v = (part.view(batch, tokens, -1, head_dim).transpose(1, 2) for part in (q, k, v))
        return q, k, v

    def _merge(self, mixed: Tensor) -> Tensor:
        batch, _, tokens, _ = mixed.shape
        merged: Tensor = self.attn_out(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        return merged


class MolmoBlock(_WithAttention):
    """One block of the flat dialect; every parameter stands directly under it."""

    def __init__(self, config: MolmoConfig, layer_idx: int) -> None:
        """Build block number `layer_idx`, which is also its slot in a cache."""
        super().__init__()
        self.layer_idx = layer_idx
        self.norm_after = bool(config.norm_after)
        self._add_attention(config)
        self._add_feed_forward(config)

    def _add_feed_forward(self, config: MolmoConfig) -> None:
        self.ff_norm = MolmoRMSNorm(config.hidden_size, config.layer_norm_eps)
        _add_dense(self, config)

    def _attention(self) -> _WithAttention:
        return self

    def _feed_forward(self, x: Tensor) -> Tensor:
        if self.norm_after:
            normed: Tensor = self.ff_norm(_dense(self, x))
            return normed
        return _dense(self, self.ff_norm(x))

    def forward(
        self,
        x: Tensor,
        attention_bias: Tensor | None = None,
        position_ids: Tensor | None = None,
        layer_past: KVPair | None = None,
        use_cache: bool = False,
        *,
        past_key_values: Any = None,
        rotation: Rotation | None = None,
        cache_position: Tensor | None = None,
    ) -> tuple[Tensor, KVPair | None]:
        """Run the block.

        Args:
            x: (batch, tokens, hidden).
            attention_bias: added to the scores, or what may be seen (bool), (batch or 1, 1, tokens, keys); None is
                plain causal attention over all that came before.
            position_ids: (batch, tokens); None counts on from the past.
            layer_past: this block's keys and values so far, each (batch, kv heads, past tokens, head_dim).
            use_cache: return keys and values, also where a `past_key_values` keeps them.
            past_key_values: a transformers cache instead of `layer_past`; slot `layer_idx` is this block's.
            rotation: of the positions, made once for all blocks.
            cache_position: slots of the new tokens in a cache of fixed size, (tokens,).

        Returns:
            x of the same shape, and the keys (rotated) and values of all tokens so far, or None.
        """
        part = self._attention()
        normed = x if self.norm_after else part.attn_norm(x)
        q, k, v = part._project(normed)  # noqa: SLF001  the block is where its parts are put together
        if rotation is None:
            rotation = part.rotary(self._positions(x, position_ids, layer_past, past_key_values))
        q, k = rotate(q, rotation), rotate(k, rotation)
        if past_key_values is not None:
            more = () if cache_position is None else ({"cache_position": cache_position},)
            k, v = past_key_values.update(k, v, self.layer_idx, *more)
        elif layer_past is not None:
            k, v = torch.cat((layer_past[0], k), dim=-2), torch.cat((layer_past[1], v), dim=-2)
        mixed = part._merge(attend(q, k, v, attention_bias, eager=_is_eager(part.config)))  # noqa: SLF001
        x = x + (part.attn_norm(mixed) if self.norm_after else mixed)
        x = x + self._feed_forward(x)
        return x, ((k, v) if use_cache else None)

    def _positions(self, x: Tensor, given: Tensor | None, layer_past: KVPair | None, cache: Any) -> Tensor:
        if given is not None:
            return given
        past = layer_past[0].shape[-2] if layer_past is not None else 0
        if cache is not None:
            past = cache.get_seq_length(self.layer_idx)
        return torch.arange(x.shape[1], device=x.device)[None] + past


class _NestedAttention(_WithAttention):
    def __init__(self, config: MolmoConfig) -> None:
        super().__init__()
        self._add_attention(config)


class _NestedDense(nn.Module):
    """A dense feed-forward part under MolmoE's names; no released checkpoint has one."""

    def __init__(self, config: MolmoConfig, norm: nn.Module) -> None:
        super().__init__()
        self.ff_norm = norm
        self.norm_after = bool(config.norm_after)
        _add_dense(self, config)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_after:
            normed: Tensor = self.ff_norm(_dense(self, x))
            return normed
        return _dense(self, self.ff_norm(x))


class MolmoNestedBlock(MolmoBlock):
    """One block of MolmoE's dialect: parameters under `attn` and `mlp`, dense or mixture of experts."""

    def _add_attention(self, config: MolmoConfig) -> None:
        self.attn = _NestedAttention(config)

    def _add_feed_forward(self, config: MolmoConfig) -> None:
        norm = MolmoRMSNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = MolmoMoE(config, norm) if config.num_experts else _NestedDense(config, norm)

    def _attention(self) -> _WithAttention:
        return self.attn

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        return out


def make_block(config: MolmoConfig, layer_idx: int) -> MolmoBlock:
    """A block of the config's dialect."""
    return (MolmoNestedBlock if config.nested_names else MolmoBlock)(config, layer_idx)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, eager: bool = False) -> Tensor:
    """Attention of queries (batch, heads, tokens, head_dim) over keys and values with as many heads or fewer.

    Without a bias it is causal, the last query seeing all keys; where that is the whole story no mask is made.
    """
    tokens, keys = q.shape[-2], k.shape[-2]
    if bias is None and (eager or tokens not in (1, keys)):
        bias = torch.ones(tokens, keys, dtype=torch.bool, device=q.device).tril(keys - tokens)
    elif bias is not None and bias.is_floating_point():
        bias = bias.to(q.dtype).clamp(min=torch.finfo(q.dtype).min)
    grouped = q.shape[1] != k.shape[1]
    if not eager:
        causal = bias is None and tokens > 1
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, is_causal=causal, enable_gqa=grouped
        )
    if grouped:
        k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for part in (k, v))
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    if bias is not None and bias.dtype == torch.bool:
        scores = scores.masked_fill(~bias, torch.finfo(q.dtype).min)
    elif bias is not None:
        scores = scores + bias
    mixed: Tensor = scores.softmax(dim=-1, dtype=torch.float32).to(v.dtype) @ v
    return mixed


def _is_eager(config: Any) -> bool:
    return bool(getattr(config, "_attn_implementation", None) == "eager")


def _add_dense(part: nn.Module, config: MolmoConfig) -> None:
    part.ff_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
    part.ff_out = nn.Linear(config.intermediate_size // 2, config.hidden_size, bias=False)


def _dense(part: Any, x: Tensor) -> Tensor:
    # The value comes first, the gate second: the other way round than in most models.
    value, gate = part.ff_proj(x).chunk(2, dim=-1)
    out: Tensor = part.ff_out(functional.silu(gate) * value)
    return out
