"""Dropout whose masks are cheap to draw on a CPU."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

STEPS = 1 << 16  # values of one draw; rates are rounded to a multiple of 1 / STEPS


class Dropout(nn.Dropout):
    """`nn.Dropout` with the masks of `dropped`."""

    def __init__(self, p: float) -> None:
        super().__init__(p)  # never in place

    def forward(self, input: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Some of `input` set to 0, the rest scaled up, in training mode alone."""
        return dropped(input, self.p) if self.training else input


def dropped(x: Float[Tensor, "..."], p: float) -> Float[Tensor, "..."]:
    """Each element is 0 with probability `p` and divided by 1 − p otherwise.

    On a CPU, torch may ask its generator once for every element; here one number of 64 bits decides
    on four. `p` is rounded to a multiple of 2^-16. On other devices, and where a graph is traced,
    it is torch's own.
    """
    if p == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.dropout(x, p)
    below = round(p * STEPS)
    if below == STEPS:
        return torch.zeros_like(x)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64)
    draws = words.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
    # int16 is exact in float32, and comparing floats writes 0 and 1 as floats in a single pass.
    kept = draws.float().ge_(below - STEPS // 2)
    return x * kept.mul_(STEPS / (STEPS - below)).to(x.dtype)
