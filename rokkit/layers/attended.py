"""What attention makes of behaviours that lie one after the other, without padding.

Symbols: B batch; n behaviours; D width of one.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from rokkit.layers.loops import worth_a_loop


def weighted_sums(
    weights: Float[Tensor, "n"], k: Float[Tensor, "n D"], row: Int[Tensor, "n"], rows: int
) -> Float[Tensor, "B D"]:
    """Σ w_i k_i over the behaviours of each of B = `rows` rows; zero for a row without any."""
    if worth_a_loop(k) and weights.dtype == k.dtype:
        sums: Tensor = _WeightedSums.apply(weights, k, row, rows)  # type: ignore[no-untyped-call]
        return sums
    weighed = weights[:, None] * k
    return weighed.new_zeros(rows, k.shape[1]).index_add(0, row, weighed)


def products(
    q: Float[Tensor, "B D"], k: Float[Tensor, "n D"], row: Int[Tensor, "n"]
) -> Float[Tensor, "n"]:
    """⟨q_b, k_i⟩ of each behaviour with its row's q."""
    if worth_a_loop(k) and q.dtype == k.dtype:
        found: Tensor = _Products.apply(q, k, row)  # type: ignore[no-untyped-call]
        return found
    return (q.index_select(0, row) * k).sum(1)


class _Products(torch.autograd.Function):
    """The same, holding no product of n x D: the way back of weighted sums, and back."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, row: Tensor) -> Tensor:
        from rokkit.layers.attended_kernel import dots

        q, k = q.contiguous(), k.contiguous()
        found = k.new_empty(len(k))
        dots(*(t.detach().numpy() for t in (q, k, row, found)))
        ctx.save_for_backward(q, k, row)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.attended_kernel import add_weighted, spread

        q, k, row = ctx.saved_tensors
        of_q, of_k, shares = torch.zeros_like(q), torch.empty_like(k), of_found.contiguous()
        add_weighted(*(t.numpy() for t in (shares, k, row, of_q)))
        spread(*(t.detach().numpy() for t in (shares, q, row, of_k)))
        return of_q, of_k, None


class _WeightedSums(torch.autograd.Function):
    """The same, holding no product of n x D."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, k: Tensor, row: Tensor, rows: int) -> Tensor:
        from rokkit.layers.attended_kernel import add_weighted  # what is compiled is long to import

        weights, k = weights.contiguous(), k.contiguous()
        sums = k.new_zeros(rows, k.shape[1])
        add_weighted(*(t.detach().numpy() for t in (weights, k, row, sums)))
        ctx.save_for_backward(weights, k, row)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_sums: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.attended_kernel import add_weighted_backward

        weights, k, row = ctx.saved_tensors
        of_weights, of_k = torch.empty_like(weights), torch.empty_like(k)
        given = (of_sums.contiguous(), weights, k, row, of_weights, of_k)
        add_weighted_backward(*(t.detach().numpy() for t in given))
        return of_weights, of_k, None, None
