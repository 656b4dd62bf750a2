"""SIM's soft search and the attention to what it finds (§3.2 and §3.3 there).

Symbols: B batch; T behaviours; D width of a target and of a behaviour; A heads; P width of an
attention's answer; M = 2D.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rokkit.layers.attention import BehaviourAttention
from rokkit.layers.found import Found, attend_among, best
from rokkit.layers.heads import HeadAttention
from rokkit.layers.products import weighed_by_products
from rokkit.layers.search import ProductSearch


def search_and_attend(
    search: ProductSearch,
    attends: Sequence[BehaviourAttention | HeadAttention],
    q: Float[Tensor, "B D"],
    keys: Float[Tensor, "B T D"],
    mask: Bool[Tensor, "B T"],
    newest: Found,
    top: int,
) -> tuple[list[Float[Tensor, "B P"]], Float[Tensor, "B M"]]:
    """φ_s over the `newest` and φ_l over the best `top`; and what the search pooled.

    `attends` are two of a kind. Heads and search are products with the same keys, which are gone
    through once for all of them.
    """
    heads = [one for one in attends if isinstance(one, HeadAttention)]
    if not heads:
        scores, pooled = search(q, keys, mask)
        return attend_among(attends, q, keys, (newest, best(scores, mask, top))), pooled
    asked = torch.cat([search.asked(q)[:, None], *(one.asked(q) for one in heads)], 1)
    sums = weighed_by_products(asked, keys, mask, newest, top)[1]
    phi = [one.joined(own) for one, own in zip(heads, sums[:, 1:].chunk(2, 1), strict=True)]
    return phi, torch.cat([sums[:, 0], q], 1)
