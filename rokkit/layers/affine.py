"""A learned scale and shift."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Affine(nn.Module):
    """γ ∘ x + β, from γ = 1 and β = 0.

    What BatchNorm amounts to where a graph is built without its training flag, as in rim.py of
    RIM's public code: its moving mean and variance stay at 0 and 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        """[B, width] -> [B, width]."""
        return x * self.weight + self.bias
