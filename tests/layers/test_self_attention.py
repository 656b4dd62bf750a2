"""Self-attention over a few tokens: compiled loops against torch's operations, and both by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rokkit.layers import self_attended, self_attention
from rokkit.layers.self_attention_kernel import LANES


def of(qkv: torch.Tensor, heads: int, loops: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What attention answers, and the gradient of a weighted sum of it."""
    qkv = qkv.detach().requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_attention, "worth_a_loop", lambda tensor: loops)
        out = self_attended(qkv, heads)
    weights = torch.linspace(-1, 2, out.numel()).reshape(out.shape)
    (gradient,) = torch.autograd.grad((out * weights).sum(), qkv)
    return out.detach(), gradient


@settings(deadline=None, max_examples=40)
@given(
    rows=st.sampled_from([1, 2, LANES - 1, LANES, LANES + 1, 2 * LANES + 5]),
    tokens=st.integers(1, 11),
    heads=st.integers(1, 3),
    width=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_the_loops_are_torchs_operations(
    rows: int, tokens: int, heads: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    qkv = 2 * torch.randn(rows, tokens, 3 * heads * width, generator=generator)
    for ours, other in zip(of(qkv, heads, True), of(qkv, heads, False), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loops", [True, False])
def test_two_tokens_by_hand(loops: bool) -> None:
    """Heads of one number: q·k is 0 and ln 3 for the first token, so v is weighed 1/4 and 3/4."""
    q, k, v = [1.0, 0.0], [0.0, float(np.log(3))], [4.0, 8.0]
    qkv = torch.tensor([[[q[i], k[i], v[i]] for i in range(2)]])
    out, gradient = of(qkv, 1, loops)
    torch.testing.assert_close(out, torch.tensor([[[7.0], [6.0]]]))
    # The sum is −1 · out_0 + 2 · out_1: v_0 counts −1/4 + 1, v_1 counts −3/4 + 1.
    torch.testing.assert_close(gradient[0, :, 2], torch.tensor([0.75, 0.25]))


def test_high_scores_do_not_overflow() -> None:
    qkv = torch.zeros(1, 2, 3)
    qkv[0, :, 0] = 1e4
    qkv[0, :, 1] = torch.tensor([1.0, 3.0])
    qkv[0, :, 2] = torch.tensor([5.0, 9.0])
    out, gradient = of(qkv, 1, True)
    torch.testing.assert_close(out, torch.tensor([[[9.0], [9.0]]]))
    assert gradient.isfinite().all()


def test_a_row_is_alone() -> None:
    """Rows beside it, and those that fill a block up, change nothing."""
    qkv = torch.randn(LANES + 3, 4, 18, generator=torch.Generator().manual_seed(0))
    out, _ = of(qkv, 2, True)
    alone, _ = of(qkv[LANES + 1 : LANES + 2], 2, True)
    assert torch.equal(out[LANES + 1 : LANES + 2], alone)


def test_what_stands_in_another_order_in_memory() -> None:
    qkv = torch.randn(18, 4, 5, generator=torch.Generator().manual_seed(0)).permute(2, 1, 0)
    for ours, other in zip(of(qkv, 2, True), of(qkv.contiguous(), 2, False), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-5)


def test_numbers_of_double_width_go_by_torch() -> None:
    qkv = torch.randn(3, 2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: self_attended(x, 2), qkv)
