"""Dropout whose masks are cheap to draw on a CPU."""

import torch
from jaxtyping import Float, Int16
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
    if round(p * STEPS) == STEPS:
        return torch.zeros_like(x)
    draws, below, factor = chances(x.shape, p)
    # int16 is exact in float32, and comparing floats writes 0 and 1 as floats in a single pass.
    kept = draws.float().ge_(below)
    return x * kept.mul_(factor).to(x.dtype)


def chances(shape: torch.Size, p: float) -> tuple[Int16[Tensor, "..."], int, float]:
    """(draws, below, factor): what is drawn below a bound is dropped, the rest times a factor."""
    n, below = shape.numel(), round(p * STEPS)
    words = torch.empty((n + 3) // 4, dtype=torch.int64)
    draws = words.random_(-(2**63), None).view(torch.int16)[:n].view(shape)
    return draws, below - STEPS // 2, STEPS / (STEPS - below)
