"""The first layer of DIN's activation unit.

Symbols: B batch; n behaviours; D width of a target and of a behaviour; H width of the layer; W_k
and W_p [H, D] its weights of k and of q∘k, W = W_k ⊕ W_p.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from rokkit.layers.blocks import blocks
from rokkit.layers.loops import worth_a_loop


def pair_layer(
    q: Float[Tensor, "B D"],
    of_query: Float[Tensor, "B H"],
    k: Float[Tensor, "n D"],
    row: Int[Tensor, "n"] | None,
    weight: Float[Tensor, "H P"],
) -> Float[Tensor, "n H"]:
    """of_query + W_k k + W_p (q∘k), each behaviour with the target of its `row`; P = 2D.

    Without `row` there is one target. Where compiled loops apply, q∘k is never held for all.
    """
    if row is None:  # W_k + W_p diag(q) is one matrix for all behaviours
        w_k, w_p = weight.tensor_split(2, 1)
        return functional.linear(k, torch.addcmul(w_k, w_p, q), of_query[0])
    if worth_a_loop(k):
        layer: Tensor = _PairLayer.apply(q, of_query, k, row, weight)  # type: ignore[no-untyped-call]
        return layer
    s = functional.linear(torch.cat([k, q.index_select(0, row) * k], 1), weight)
    s += of_query.index_select(0, row)  # in place: a tensor of n x H less
    return s


class _PairLayer(torch.autograd.Function):
    """The layer a block of behaviours at a time; their pairs are made anew on the way back."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, of_query: Tensor, k: Tensor, row: Tensor, weight: Tensor
    ) -> Tensor:
        q, k = q.contiguous(), k.contiguous()
        s = of_query.index_select(0, row)
        for block in blocks(k.shape[0]):
            s[block].addmm_(_pairs(q, k[block], row[block]), weight.t())
        ctx.save_for_backward(q, k, row, weight)
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_s: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.pairs_kernel import pairs_backward  # what is compiled is long to import

        q, k, row, weight = ctx.saved_tensors
        of_s = of_s.contiguous()
        of_q, of_k, of_weight = torch.zeros_like(q), torch.empty_like(k), torch.zeros_like(weight)
        of_query = of_s.new_zeros(q.shape[0], of_s.shape[1])
        for block in blocks(k.shape[0]):
            of_weight.addmm_(of_s[block].t(), _pairs(q, k[block], row[block]))
            of_pairs = torch.mm(of_s[block], weight)
            given = (of_s[block], of_pairs, q, k[block], row[block], of_q, of_query, of_k[block])
            pairs_backward(*(t.detach().numpy() for t in given))
        return of_q, of_query, of_k, None, of_weight


def _pairs(q: Tensor, k: Tensor, row: Tensor) -> Tensor:
    """k ⊕ q∘k."""
    return torch.cat([k, q.index_select(0, row) * k], 1)
