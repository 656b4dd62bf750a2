"""Interactions between field vectors."""

import torch
from jaxtyping import Float
from torch import Tensor


def pair_count(m: int) -> int:
    """Number of pairs i < j among m vectors."""
    return m * (m - 1) // 2


def pairwise_products(v: Float[Tensor, "B M d"]) -> Float[Tensor, "B P"]:
    """Inner products ⟨v_i, v_j⟩ for all i < j, ordered (0,1), (0,2), …, (1,2), …"""
    m = v.shape[1]
    i, j = torch.triu_indices(m, m, offset=1, device=v.device)
    return (v @ v.transpose(1, 2))[:, i, j]
