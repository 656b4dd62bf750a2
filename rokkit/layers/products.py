"""Sums over a history, weighed by products with it: soft search, and heads over what it finds.

Symbols: B batch; T behaviours; D width of one; A heads; R = 1 + 2A rows of products, or 1.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from rokkit.layers.attention import masked_softmax
from rokkit.layers.found import Found, best, chosen
from rokkit.layers.loops import worth_a_loop


def weighed_by_products(
    asked: Float[Tensor, "B R D"],
    keys: Float[Tensor, "B T D"],
    mask: Bool[Tensor, "B T"],
    newest: Found | None = None,
    top: int = 0,
) -> tuple[Float[Tensor, "B R T"], Float[Tensor, "B R D"]]:
    """(w, Σ_t w_t k_t): without a gradient, and with one.

    w is ⟨asked, k_t⟩ in the first row, by which the search goes. With `newest` its softmax follows:
    in A rows over those, and in A more over the `top` that the first row finds.
    """
    if torch.is_grad_enabled() and worth_a_loop(keys) and asked.dtype == keys.dtype:
        found: tuple[Tensor, Tensor] = _Products.apply(asked, keys, mask, newest, top)  # type: ignore[no-untyped-call]
        return found
    weights = _weights(asked, keys, mask, newest, top)
    return weights.detach(), torch.bmm(weights, keys)


def _weights(
    asked: Tensor, keys: Tensor, mask: Tensor, newest: Found | None, top: int
) -> Float[Tensor, "B R T"]:
    scores = torch.bmm(asked, keys.transpose(1, 2)) * mask[:, None]
    if newest is None:
        return scores
    found = newest, best(scores[:, 0].detach(), mask, top)
    heads = scores.shape[1] // 2
    where = torch.stack([chosen(one, mask.shape[1]) for one in found], 1).repeat_interleave(
        heads, 1
    )
    return torch.cat([scores[:, :1], masked_softmax(scores[:, 1:], where)], 1)


class _Products(torch.autograd.Function):
    """The same; the way back goes through the keys once, where torch would in each product."""

    @staticmethod
    def forward(
        ctx: Any, asked: Tensor, keys: Tensor, mask: Tensor, newest: Found | None, top: int
    ) -> tuple[Tensor, Tensor]:
        weights = _weights(asked, keys, mask, newest, top)
        ctx.save_for_backward(asked.contiguous(), keys.contiguous(), mask, weights)
        ctx.mark_non_differentiable(weights)
        return weights, torch.bmm(weights, keys)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, of_sums: Tensor) -> tuple[Tensor | None, ...]:
        from rokkit.layers.products_kernel import products_backward  # it is long to import

        asked, keys, mask, weights = ctx.saved_tensors
        of_asked, of_keys = torch.zeros_like(asked), torch.zeros_like(keys)
        given = (asked, keys, mask, weights, of_sums.contiguous(), of_asked, of_keys)
        products_backward(*(t.detach().numpy() for t in given))
        return of_asked, of_keys, None, None, None
