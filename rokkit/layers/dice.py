"""Dice, the activation of DIN (Zhou et al., KDD'18, §5.2 there)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from rokkit.layers.batch_norm import BatchNorm


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
