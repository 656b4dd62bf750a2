"""A linear layer to one number."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Readout(nn.Linear):
    """torch's linear layer with one output, in float32 under autocast too.

    A product with a single column gains nothing by bfloat16: to cast what goes in and out, and to
    set the product up, takes longer than the product, forward and backward.
    """

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, 1)

    def forward(self, x: Float[Tensor, "*rows P"]) -> Float[Tensor, "*rows 1"]:
        """W x + b."""
        kind = x.device.type
        known = torch.amp.is_autocast_available(kind)  # not that of tensors without values
        if not (known and torch.is_autocast_enabled(kind)):
            return super().forward(x)
        # No product of matrices, which autocast would take over, in a compiled way back as well.
        return (x.float() * self.weight[0]).sum(-1, keepdim=True) + self.bias
