"""Interactions between field vectors."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rokkit.layers.readout import Readout


def pair_count(m: int) -> int:
    """Number of pairs i < j among m vectors."""
    return m * (m - 1) // 2


def pairwise_products(v: Float[Tensor, "B M d"]) -> Float[Tensor, "B P"]:
    """Inner products ⟨v_i, v_j⟩ for all i < j, ordered (0,1), (0,2), …, (1,2), …"""
    m = v.shape[1]
    i, j = torch.triu_indices(m, m, offset=1, device=v.device)
    # Of one dimension: picking along two takes twice as long, there and back.
    return (v @ v.transpose(1, 2)).flatten(1).index_select(1, i * m + j)


def pairwise_sum(v: Float[Tensor, "B M d"]) -> Float[Tensor, "B"]:
    """Σ_{i<j} ⟨v_i, v_j⟩ as ½ Σ_d [(Σ_i v_i)² − Σ_i v_i²], which takes M·d, not M²·d steps."""
    return 0.5 * _twice_pairwise_sum(v)


def _twice_pairwise_sum(v: Float[Tensor, "B M d"]) -> Float[Tensor, "B"]:
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return v.sum(1).square().sub_(v.square().sum(1)).sum(1)
    found: Tensor = _TwicePairwiseSum.apply(v)  # type: ignore[no-untyped-call]
    return found


class _TwicePairwiseSum(torch.autograd.Function):
    """Its gradient, 2 (Σ_j v_j − v_i), in two passes over v; torch makes six."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        total = v.sum(1)
        ctx.save_for_backward(v, total)
        return total.square().sub_(v.square().sum(1)).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        v, total = ctx.saved_tensors
        of_v: Tensor = (total[:, None] - v).mul_(2 * gradient[:, None, None])
        return of_v


class FactorisationMachine(nn.Module):
    """⟨w, v⟩ + b + Σ_{i<j} ⟨v_i, v_j⟩ over M vectors of width d (Rendle, ICDM'10).

    DEVIATION(FM, Eq. 1): an id's first-order weight is linear in its embedding, ⟨w_field, v_id⟩,
    and no number of its own: it then goes wherever the embedding comes from, that of a knowledge
    base included, and one table holds all there is to know of an id.
    """

    def __init__(self, vectors: int, dim: int) -> None:
        """M `vectors` of width `dim`: M·d + 1 parameters."""
        super().__init__()
        self.linear = Readout(vectors * dim)

    def forward(self, v: Float[Tensor, "B M d"]) -> Float[Tensor, "B"]:
        """Its output for each row."""
        first: Tensor = self.linear(v.flatten(1)).squeeze(1)
        return torch.add(first, _twice_pairwise_sum(v), alpha=0.5)  # halved and added in one
