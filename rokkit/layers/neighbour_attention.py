"""RIM's attention over retrieved samples.

Symbols: B batch; K neighbours; F fields; d width of an id's embedding; D = F·d; V ids.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from rokkit.layers.attention import ProductAttention
from rokkit.layers.embedding import FieldEmbedding, IdEmbedding, listed
from rokkit.layers.loops import loops_apply


class NeighbourAttention(ProductAttention):
    """a = softmax_k ⟨W x + b, S_k⟩ over the neighbours' embeddings S_k (rim.py)."""

    def __init__(self, dim: int, scale: bool = False) -> None:
        """`scale` divides the products by √D, as in the author's PyTorch version."""
        super().__init__(dim, dim)
        self.factor = dim**-0.5 if scale else 1.0

    def scores(self, x: Float[Tensor, "B P"], keys: Float[Tensor, "B K D"]) -> Float[Tensor, "B K"]:
        """⟨W x + b, S_k⟩, divided by √D with `scale`."""
        return super().scores(x, keys) * self.factor

    def over_ids(
        self,
        x: Float[Tensor, "B D"],
        ids: Int[Tensor, "B K F"],
        mask: Bool[Tensor, "B K"],
        embedding: IdEmbedding,
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K"]]:
        """(Σ_k a_k S_k, a) for neighbours given as ids; both are 0 for a row without any.

        On the CPU a compiled loop looks rows up as it comes by them. What torch would do, a tensor
        of B·K·D that is written, and read in eight further passes, takes most of a RIM's training.
        """
        if isinstance(embedding, FieldEmbedding) and loops_apply(embedding.weight):
            embedding.announce(ids)
            q = self.query(x).float() * self.factor
            found: tuple[Tensor, Tensor] = _OverIds.apply(  # type: ignore[no-untyped-call]
                embedding.weight, q, ids, mask, embedding.sparse_gradient
            )
            return found
        keys = embedding(ids).flatten(2)
        weights: Tensor = self(x, keys, mask)
        return torch.bmm(weights[:, None], keys).squeeze(1), weights


class _OverIds(torch.autograd.Function):
    """The compiled loops, forwards and backwards."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, q: Tensor, ids: Tensor, mask: Tensor, sparse: bool
    ) -> tuple[Tensor, Tensor]:
        from rokkit.layers.neighbour_kernel import attend  # what is compiled is long to import

        q, ids, mask = q.contiguous(), ids.contiguous(), mask.contiguous()
        weights, attended = q.new_empty(mask.shape), torch.empty_like(q)
        arrays = (tensor.detach().numpy() for tensor in (table, ids, mask, q, weights, attended))
        attend(*arrays)
        ctx.save_for_backward(table, q, ids, mask, weights)
        ctx.sparse = sparse
        return attended, weights

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_attended: Tensor, of_weights: Tensor
    ) -> tuple[Tensor | None, Tensor, None, None, None]:
        from rokkit.layers.neighbour_kernel import attend_backward

        table, q, ids, mask, weights = ctx.saved_tensors
        kept = 0 if not ctx.needs_input_grad[0] else 2 if ctx.sparse else 1
        of_q = torch.empty_like(q)
        of_table = q.new_zeros(table.shape if kept == 1 else (0, table.shape[1]))
        of_rows = q.new_zeros(ids.numel() if kept == 2 else 0, table.shape[1])
        given = (table, ids, mask, q, weights, of_weights.contiguous(), of_attended.contiguous())
        attend_backward(*(t.detach().numpy() for t in (*given, of_q, of_table, of_rows)), kept)
        if kept == 2:
            of_table = listed(ids.reshape(-1), of_rows, table.shape)
        return of_table if kept else None, of_q, None, None, None
