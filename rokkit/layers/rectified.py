"""What comes after the product of a hidden layer: BatchNorm, ReLU and dropout at once."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rokkit.layers.batch_norm import BatchNorm
from rokkit.layers.dropout import STEPS, Dropout, chances
from rokkit.layers.loops import worth_a_loop


class HiddenLayers(nn.Sequential):
    """Layers one after the other.

    In training, BatchNorm, ReLU and dropout that follow each other are one where compiled loops
    apply: the same numbers to rounding, the same elements dropped, in a third of the passes.
    """

    def forward(self, x: Float[Tensor, "*rows _"]) -> Float[Tensor, "*rows _"]:
        """What the last layer answers."""
        layers = list(self)
        while layers:
            norm, relu, dropout = (*layers[:3], None, None)[:3]
            if isinstance(norm, BatchNorm) and isinstance(relu, nn.ReLU) and _at_once(norm, x):
                p = _share_dropped(dropout)
                layers = layers[3 if p > 0 else 2 :]
                x = _Rectified.apply(x, norm.weight, norm.bias, norm, p)  # type: ignore[no-untyped-call]
            else:
                x = layers.pop(0)(x)
        return x


def _at_once(norm: BatchNorm, x: Tensor) -> bool:
    several = norm.training and norm.weight is not None and x.shape[0] > 1
    return several and torch.is_grad_enabled() and worth_a_loop(x)


def _share_dropped(layer: nn.Module | None) -> float:
    """0 for what is no dropout, or one that would drop nothing or everything."""
    if isinstance(layer, Dropout) and layer.training and 0 < round(layer.p * STEPS) < STEPS:
        return layer.p
    return 0.0


class _Rectified(torch.autograd.Function):
    """relu(norm(x)) in training, some of it dropped."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, norm: BatchNorm, p: float
    ) -> Tensor:
        # What is compiled is long to import.
        from rokkit.layers.rectified_kernel import drop, rectify, statistics

        x = x.contiguous()
        mean, scale, y = torch.empty_like(gamma), torch.empty_like(gamma), torch.empty_like(x)
        held = (x, mean, scale, norm.running_mean, norm.running_var)
        statistics(*(t.detach().numpy() for t in held), norm.momentum, norm.eps)
        rectify(*(t.detach().numpy() for t in (x, mean, scale, gamma, beta, y)))
        ctx.factor = 1.0
        if p > 0:
            draws, below, ctx.factor = chances(x.shape, p)
            drop(y.numpy(), draws.numpy(), below, ctx.factor)
        ctx.save_for_backward(x, y, mean, scale, gamma)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_y: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.rectified_kernel import rectify_backward

        x, y, mean, scale, gamma = ctx.saved_tensors
        of_x, of_gamma, of_beta = (torch.empty_like(t) for t in (x, gamma, gamma))
        held = tuple(t.detach().numpy() for t in (of_y.contiguous(), x, y, mean, scale, gamma))
        found = tuple(t.numpy() for t in (of_x, of_gamma, of_beta))
        rectify_backward(*held, ctx.factor, *found)
        return of_x, of_gamma, of_beta, None, None
