"""Which fields a search goes by, learned by REINFORCE (UBR).

Symbols: B batch; M fields; d embedding; C fields that may be chosen.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from rokkit.config import require
from rokkit.layers.mlp import MLP


class FieldSelector(nn.Module):
    """Log-odds that a field is chosen, from what all fields hold.

        u = LayerNorm(e)      s = softmax(W_q u (W_k e)ᵀ / √(d/heads)) W_v e + u      o = MLP(s)

    (ubr.py of UBR4CTR's public code.) Keys have no bias: the softmax takes it away again. Whether a
    field is chosen turns on a sign, so that this runs in float32 under autocast too. The embeddings
    e get no gradient.
    """

    HEADS = 2
    HIDDEN = (20, 10)  # of the MLP

    def __init__(self, dim: int, read: Sequence[int], choice: Sequence[int]) -> None:
        """Looks at the columns `read` and chooses among the columns `choice`, which are of them."""
        super().__init__()
        require(dim % self.HEADS == 0, "embed_dim", dim, f"a multiple of {self.HEADS}, the heads")
        self.read = list(read)
        self.choice = [self.read.index(column) for column in choice]
        self.norm = nn.LayerNorm(dim, eps=1e-8)  # small: embeddings start near 0
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.score = MLP(dim, self.HIDDEN, 1)
        # p = .73 and not ½ to begin with: what has learned nothing yet chooses every field.
        nn.init.ones_(self.score.out.bias)

    def forward(self, fields: Float[Tensor, "B F d"]) -> Float[Tensor, "B C"]:
        """Log-odds of the columns that may be chosen."""
        with _in_float32(fields):
            e = fields[:, self.read].detach().float()
            u = self.norm(e)
            q, k, v = (self._split(part) for part in (self.query(u), self.key(e), self.value(e)))
            weights = (q @ k.transpose(2, 3) * q.shape[3] ** -0.5).softmax(3)
            s = (weights @ v).transpose(1, 2).flatten(2) + u
            odds: Tensor = self.score(s[:, self.choice].flatten(0, 1))
            return odds.view(s.shape[0], -1)

    def _split(self, x: Float[Tensor, "B M d"]) -> Float[Tensor, "B H M e"]:
        return x.view(*x.shape[:2], self.HEADS, -1).transpose(1, 2)


def log_likelihood(odds: Float[Tensor, "B C"], chosen: Bool[Tensor, "B C"]) -> Float[Tensor, "B"]:
    """log P(chosen) of independent choices with these log-odds."""
    nats = functional.binary_cross_entropy_with_logits(odds, chosen.float(), reduction="none")
    return -nats.sum(1)


def information_gain(logits: Float[Tensor, "B"], y: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """UBR's reward, 1 − log P(y) / log ½, at least −1: 0 for a coin's guess, 1 for certainty."""
    nats = functional.binary_cross_entropy_with_logits(logits.float(), y, reduction="none")
    return (1 - nats / math.log(2)).clamp(min=-1)


def reinforce(
    log_p: Float[Tensor, "B"],
    reward: Float[Tensor, "B"],
    baseline: Float[Tensor, "B"] | None = None,
) -> Float[Tensor, ""]:
    """−mean (R_b − R̄_b) log P_b, whose gradient is, on average, that of −mean E[R_b].

    R̄_b must not depend on what row b chose; by default it is the mean reward of the other rows.
    (With row b in the mean the gradient would be (B − 1)/B of what it should be.) One row alone has
    nothing to be compared with and gets no gradient. The value means nothing and is taken off, so
    that a training loss stays what it is: this is 0, with a gradient.
    """
    if baseline is None:
        rows = reward.shape[0]
        advantage = (reward - reward.mean()) * (rows / max(rows - 1, 1))
    else:
        advantage = reward - baseline
    surrogate = -(advantage.detach() * log_p).mean()
    return surrogate - surrogate.detach()


def drawn(odds: Float[Tensor, "B C"]) -> Bool[Tensor, "B C"]:
    """Independent choices with these log-odds, from torch's global generator."""
    return torch.rand_like(odds) < odds.sigmoid()


def _in_float32(tensor: Tensor) -> AbstractContextManager[object]:
    """Where autocast is off; meta tensors know no autocast."""
    if tensor.is_meta:
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
