"""Dice, the activation of DIN (Zhou et al., KDD'18, §5.2 there)."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rokkit.layers.batch_norm import BatchNorm
from rokkit.layers.loops import loops_apply

MANY = 512  # rows from which on the loop pays without a way back too; few are asked for one by one


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
        worth_it = torch.is_grad_enabled() or s.shape[0] >= MANY
        if mask is None and worth_it and loops_apply(s):
            activated: Tensor = _Activated.apply(  # type: ignore[no-untyped-call]
                s, self.alpha, self.norm, self.training and s.shape[0] > 1
            )
            return activated
        p: Tensor = self.norm(s, mask).sigmoid()
        return s * (self.alpha + (1 - self.alpha) * p).to(s.dtype)


class _Activated(torch.autograd.Function):
    """The same in fewer passes; of what lies between s and the result only p is kept."""

    @staticmethod
    def forward(ctx: Any, s: Tensor, alpha: Tensor, norm: BatchNorm, of_batch: bool) -> Tensor:
        from rokkit.layers.dice_kernel import activate  # what is compiled is long to import

        s = s.contiguous()
        held = (norm.running_mean, norm.running_var)
        normed, mean, scale = torch.native_batch_norm(
            s, None, None, *held, of_batch, norm.momentum, norm.eps
        )
        if not of_batch:
            mean, scale = norm.running_mean.clone(), (norm.running_var + norm.eps).rsqrt()
        p, activated = normed.sigmoid_(), torch.empty_like(s)
        activate(*(t.detach().numpy() for t in (s, p, alpha, activated)))
        ctx.save_for_backward(s, p, alpha, mean, scale)
        ctx.of_batch = of_batch
        return activated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_activated: Tensor) -> tuple[Tensor, Tensor, None, None]:
        from rokkit.layers.dice_kernel import activate_backward

        s, p, alpha, mean, scale = ctx.saved_tensors
        of_s, of_alpha = torch.empty_like(s), torch.empty_like(alpha)
        given = (t.detach().numpy() for t in (of_activated.contiguous(), s, p, alpha, mean, scale))
        activate_backward(*given, ctx.of_batch, of_s.numpy(), of_alpha.numpy())
        return of_s, of_alpha, None, None
