"""MolmoE's feed-forward part: a router, and experts that are computed group by group.

The published code loops over all experts and asks the device for each one's tokens. Here the tokens are sorted by
expert once; no expert without tokens is touched, and a GPU is not waited for where it has a grouped product.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskprof.models.molmo.config import MolmoConfig

# On a GPU without a grouped product: so few pairs of a token and an expert are worth copying their weights.
_FEW_PAIRS = 16
_AMPERE = (8, 0)
_ALIGNMENT_BYTES = 16
# Older releases have it under a private name, for some GPUs only.
_GROUPED_PRODUCT: Any = getattr(functional, "grouped_mm", None)


class MolmoExperts(nn.Module):
    """The experts' weights, stacked: `gate_up_proj` (experts, 2 * inner, hidden), `down_proj` (experts, hidden, inner).

    State dicts with one tensor per expert, as published, load too.
    """

    def __init__(self, config: MolmoConfig) -> None:
        """Allocate the weights; transformers or a checkpoint fills them."""
        super().__init__()
        experts, hidden, inner = config.num_experts, config.hidden_size, config.intermediate_size // 2
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * inner, hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, inner))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of each token's experts.

        Args:
            x: (tokens, hidden).
            chosen: (tokens, k), the numbers of each token's experts.
            weights: (tokens, k), of x's dtype.
        """
        tokens, k = chosen.shape
        if x.is_cuda and tokens * k <= _FEW_PAIRS and not self._grouped_product_fits(x):
            made = self._copied_together(x, chosen)
        elif tokens == 1 and not x.is_cuda:
            rows = torch.cat([self._one_expert(expert, x) for expert in chosen[0].tolist()])
            return weights @ rows
        else:
            experts, order = chosen.flatten().sort(stable=True)
            grouped = self._by_group(x[order // k], experts)
            made = torch.empty_like(grouped).index_copy_(0, order, grouped).view(tokens, k, -1)
        return (made * weights[..., None]).sum(dim=1)

    def _one_expert(self, expert: int, x: Tensor) -> Tensor:
        inner = _gated(functional.linear(x, self.gate_up_proj[expert]))
        return functional.linear(inner, self.down_proj[expert])

    def _by_group(self, x: Tensor, experts: Tensor) -> Tensor:
        """Rows of x through their experts, whose numbers `experts` ascend."""
        everyone = torch.arange(self.down_proj.shape[0], device=x.device)
        ends = torch.searchsorted(experts, everyone, right=True, out_int32=True)
        if self._grouped_product_fits(x):
            gate_up = _GROUPED_PRODUCT(x, self.gate_up_proj.transpose(1, 2), offs=ends)
            return _GROUPED_PRODUCT(_gated(gate_up), self.down_proj.transpose(1, 2), offs=ends)  # type: ignore[no-any-return]
        parts, start = [], 0
        # One copy to the host for all experts; on a CPU it is none.
        for expert, end in enumerate(ends.tolist()):
            if end > start:
                parts.append(self._one_expert(expert, x[start:end]))
                start = end
        return torch.cat(parts)

    def _copied_together(self, x: Tensor, chosen: Tensor) -> Tensor:
        """All pairs in one batched product; (tokens, k, hidden)."""
        tokens, k = chosen.shape
        experts = chosen.flatten()
        rows = x[:, None].expand(-1, k, -1).reshape(tokens * k, -1, 1)
        inner = _gated(torch.bmm(self.gate_up_proj[experts], rows).squeeze(-1))
        return torch.bmm(self.down_proj[experts], inner[..., None]).view(tokens, k, -1)

    def _grouped_product_fits(self, x: Tensor) -> bool:
        return (
            _GROUPED_PRODUCT is not None
            and x.is_cuda
            and x.dtype == torch.bfloat16
            and self.gate_up_proj.dtype == torch.bfloat16
            and torch.cuda.get_device_capability(x.device) >= _AMPERE
            and x.shape[-1] * x.element_size() % _ALIGNMENT_BYTES == 0
            and self.down_proj.shape[-1] * x.element_size() % _ALIGNMENT_BYTES == 0
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        stack_published_experts(state_dict, prefix, self.down_proj.shape[0])
        super()._load_from_state_dict(state_dict, prefix, *args)


class MolmoMoE(nn.Module):
    """The feed-forward part of a MolmoE block, with the norm that stands before it.

    `top_k` is read at every call and may be changed between them.
    """

    def __init__(self, config: MolmoConfig, norm: nn.Module) -> None:
        """Build router and experts; `norm` is a new norm of width `hidden_size`."""
        super().__init__()
        self.ff_norm = norm
        self.gate = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.experts = MolmoExperts(config)
        self.top_k = config.num_experts_per_tok

    def forward(self, x: Tensor) -> Tensor:
        """The sublayer's output for x (batch, tokens, hidden), without the residual."""
        y = self.ff_norm(x)
        flat = y.reshape(-1, y.shape[-1])
        # The chosen experts' shares are not scaled to sum to one.
        shares = functional.softmax(self.gate(flat), dim=-1, dtype=torch.float32)
        weights, chosen = shares.topk(self.top_k, dim=-1)
        return self.experts(flat, chosen, weights.to(y.dtype)).view_as(y)  # type: ignore[no-any-return]


def stack_published_experts(state_dict: dict[str, Any], prefix: str, num_experts: int) -> None:
    """Replace `<prefix>0.gate_proj.weight` and so on by the stacked tensors, in place, where all are there."""
    names = {
        part: [f"{prefix}{expert}.{part}.weight" for expert in range(num_experts)]
        for part in ("gate_proj", "up_proj", "down_proj")
    }
    if not all(name in state_dict for part in names.values() for name in part):
        return
    gate, up, down = (torch.stack([state_dict.pop(name) for name in part]) for part in names.values())
    state_dict[f"{prefix}gate_up_proj"] = torch.cat((gate, up), dim=1)
    state_dict[f"{prefix}down_proj"] = down


def _gated(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up
