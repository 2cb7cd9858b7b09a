import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof.models.molmo import MolmoConfig
from maskprof.models.molmo import experts as experts_module
from maskprof.models.molmo.decoder import MolmoRMSNorm
from maskprof.models.molmo.experts import MolmoExperts, MolmoMoE

HIDDEN, INNER = 16, 8


def made(experts=5, k=2, dtype=torch.float32):
    config = MolmoConfig(
        hidden_size=HIDDEN,
        intermediate_size=2 * INNER,
        num_experts=experts,
        num_experts_per_tok=k,
        num_attention_heads=2,
    )
    moe = MolmoMoE(config, MolmoRMSNorm(HIDDEN, 1e-5))
    generator = torch.Generator().manual_seed(experts)
    with torch.no_grad():
        for parameter in moe.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return moe.to(dtype).requires_grad_(requires_grad=False)


def one_by_one(experts: MolmoExperts, x, chosen, weights):
    """Each pair of a token and an expert by itself."""
    out = torch.zeros_like(x)
    for token in range(x.shape[0]):
        for slot in range(chosen.shape[1]):
            expert = int(chosen[token, slot])
            gate, up = (experts.gate_up_proj[expert] @ x[token]).chunk(2)
            out[token] += weights[token, slot] * (
                experts.down_proj[expert] @ (torch.nn.functional.silu(gate) * up)
            )
    return out


@settings(deadline=None, max_examples=30)
@given(tokens=st.integers(1, 12), experts=st.integers(1, 9), data=st.data())
def test_groups_are_the_experts_one_by_one(tokens, experts, data):
    k = data.draw(st.integers(1, experts))
    moe = made(experts, k)
    generator = torch.Generator().manual_seed(tokens)
    x = torch.randn(tokens, HIDDEN, generator=generator)
    chosen = torch.stack([torch.randperm(experts, generator=generator)[:k] for _ in range(tokens)])
    weights = torch.rand(tokens, k, generator=generator)
    expected = one_by_one(moe.experts, x, chosen, weights)
    torch.testing.assert_close(moe.experts(x, chosen, weights), expected, atol=1e-5, rtol=1e-5)
    copied = (moe.experts._copied_together(x, chosen) * weights[..., None]).sum(dim=1)
    torch.testing.assert_close(copied, expected, atol=1e-5, rtol=1e-5)


def test_all_tokens_may_choose_the_same_experts():
    moe = made()
    x = torch.randn(6, HIDDEN, generator=torch.Generator().manual_seed(0))
    chosen, weights = torch.tensor([[4, 1]]).expand(6, -1), torch.full((6, 2), 0.25)
    expected = one_by_one(moe.experts, x, chosen, weights)
    torch.testing.assert_close(moe.experts(x, chosen, weights), expected, atol=1e-5, rtol=1e-5)


def test_shares_are_not_scaled_to_one():
    moe = made(k=1)
    x = torch.randn(1, 3, HIDDEN, generator=torch.Generator().manual_seed(0))
    y = moe.ff_norm(x).view(3, HIDDEN)
    shares, chosen = moe.gate(y).softmax(-1).max(-1)
    expected = one_by_one(moe.experts, y, chosen[:, None], shares[:, None])
    torch.testing.assert_close(moe(x)[0], expected, atol=1e-5, rtol=1e-5)
    assert float(shares.max()) < 1


def test_the_number_of_experts_is_read_at_every_call():
    moe = made()
    x = torch.randn(1, 4, HIDDEN, generator=torch.Generator().manual_seed(0))
    two = moe(x)
    moe.top_k = 5
    everyone = moe(x)
    moe.top_k = 2
    assert not torch.equal(two, everyone)
    assert torch.equal(moe(x), two)


@pytest.mark.parametrize("tokens", [1, 7])
def test_bfloat16_is_near(tokens):
    x = torch.randn(1, tokens, HIDDEN, generator=torch.Generator().manual_seed(3))
    full, half = made()(x), made(dtype=torch.bfloat16)(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert float((half.float() - full).abs().median()) < 0.05 * float(full.abs().max())


@pytest.mark.skipif(experts_module._GROUPED_PRODUCT is None, reason="this torch has no grouped product")
@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_the_grouped_product_that_gpus_use(monkeypatch, tokens):
    moe = made(dtype=torch.bfloat16).experts
    x = torch.randn(tokens, HIDDEN, generator=torch.Generator().manual_seed(5)).bfloat16()
    chosen = torch.tensor([[4, 1]]).expand(tokens, -1).contiguous()
    chosen = (chosen + torch.arange(tokens)[:, None]) % 5
    experts, order = chosen.flatten().sort(stable=True)
    expected = moe._by_group(x[order // 2], experts)
    monkeypatch.setattr(MolmoExperts, "_grouped_product_fits", lambda _self, _x: True)
    torch.testing.assert_close(moe._by_group(x[order // 2], experts), expected, atol=2e-2, rtol=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("tokens", [1, 2, 33])
def test_a_gpu_computes_the_same(dtype, tokens):
    x = torch.randn(1, tokens, HIDDEN, generator=torch.Generator().manual_seed(5))
    expected = made()(x)
    actual = made(dtype=dtype).cuda()(x.to("cuda", dtype)).cpu().float()
    tolerance = 1e-4 if dtype == torch.float32 else 0.1 * float(expected.abs().max())
    assert float((actual - expected).abs().median()) < tolerance
