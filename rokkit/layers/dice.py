"""Dice, the activation of DIN (Zhou et al., KDD'18, §5.2 there)."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rokkit.layers.batch_norm import BatchNorm
from rokkit.layers.blocks import blocks
from rokkit.layers.loops import worth_a_loop


class Dice(nn.Module):
    """p·s + (1 − p)·α·s with p = sigmoid(BatchNorm(s)), without affine, and α learned from 0.

    Statistics are over rows, so padding must be left out of them: either it is not among the rows,
    or `mask` says which rows count.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(width, affine=False)
        self.alpha = nn.Parameter(torch.zeros(width))

    def forward(
        self, s: Float[Tensor, "N H"], mask: Bool[Tensor, "N"] | None = None
    ) -> Float[Tensor, "N H"]:
        """Activated s."""
        p: Tensor = self.norm(s, mask).sigmoid()
        return s * (self.alpha + (1 - self.alpha) * p).to(s.dtype)


def dice_then_linear(
    dice: nn.Module,
    linear: nn.Module,
    s: Float[Tensor, "N H"],
    mask: Bool[Tensor, "N"] | None = None,
) -> Float[Tensor, "N O"]:
    """linear(dice(s)). Where compiled loops apply, of what lies between only s is kept."""
    made_for_it = isinstance(dice, Dice) and isinstance(linear, nn.Linear)
    if made_for_it and mask is None and worth_a_loop(s):
        of_batch = dice.training and s.shape[0] > 1
        done: Tensor = _DiceLinear.apply(  # type: ignore[no-untyped-call]
            s, dice.alpha, linear.weight, linear.bias, dice.norm, of_batch
        )
        return done
    answered: Tensor = linear(dice(s, mask))
    return answered


class _DiceLinear(torch.autograd.Function):
    """Both layers a block of rows at a time; p and the activated s are made anew on the way back.

    Symbols: W [O, H] and b [O] of the linear layer; μ and 1/σ [H] of the normalisation.
    """

    @staticmethod
    def forward(
        ctx: Any,
        s: Tensor,
        alpha: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        norm: BatchNorm,
        of_batch: bool,
    ) -> Tensor:
        from rokkit.layers.dice_kernel import activate  # what is compiled is long to import

        s = s.contiguous()
        mean, var = norm.running_mean, norm.running_var
        if of_batch:
            mean, var = torch.batch_norm_update_stats(s, mean, var, norm.momentum)
        mean, scale = mean.clone(), (var + norm.eps).rsqrt()
        answered = s.new_empty(s.shape[0], weight.shape[0])
        for block in blocks(s.shape[0]):
            p = _opened(s[block], mean, scale)
            activated = torch.empty_like(p)
            activate(*(t.detach().numpy() for t in (s[block], p, alpha, activated)))
            torch.mm(activated, weight.t(), out=answered[block])
        if bias is not None:
            answered += bias
        ctx.save_for_backward(s, alpha, weight, mean, scale)
        ctx.of_batch, ctx.has_bias = of_batch, bias is not None
        return answered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_answered: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.dice_kernel import activate_backward, recentre

        s, alpha, weight, mean, scale = ctx.saved_tensors
        of_answered = of_answered.contiguous()
        of_s, of_weight = torch.empty_like(s), torch.zeros_like(weight)
        sums = torch.zeros(3, s.shape[1], dtype=torch.float64)  # of the normalised s, along it, α
        for block in blocks(s.shape[0]):
            p = _opened(s[block], mean, scale)
            activated = torch.empty_like(p)
            of_activated = torch.mm(of_answered[block], weight)
            given = (of_activated, s[block], p, alpha, mean, scale, activated, of_s[block], sums)
            activate_backward(*(t.detach().numpy() for t in given))
            of_weight.addmm_(of_answered[block].t(), activated)
        if ctx.of_batch:
            means = (sums[:2] / s.shape[0]).to(s.dtype)
            recentre(*(t.detach().numpy() for t in (s, mean, scale, means, of_s)))
        of_bias = of_answered.sum(0) if ctx.has_bias else None
        return of_s, sums[2].to(alpha.dtype), of_weight, of_bias, None, None


def _opened(s: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """p, how far each gate is open."""
    return (s - mean).mul_(scale).sigmoid_()
