"""Search among a user's own behaviours (SIM §3.2, UBR).

What is found by ids is given as ids; padding, id 0, comes after it.

Symbols: B batch; T behaviours; C fields of the item tuple; K behaviours kept; D = C·d.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from rokkit.files import slices
from rokkit.layers.attention import ProductAttention
from rokkit.layers.found import best, taken
from rokkit.layers.products import weighed_by_products

ROWS_AT_ONCE = 1_000_000  # of a pool that may be memory-mapped


def match_scores(
    history: Int[Tensor, "B T C"],
    target: Int[Tensor, "B C"],
    chosen: Bool[Tensor, "B C"],
    idf: Float[Tensor, "V"],
) -> Float[Tensor, "B T"]:
    """BM25 of each behaviour: Σ idf(id) over the chosen fields where it has the target's id.

    Rows have one token per field, so BM25 is a sum of idf (up to a factor). Above 0 where anything
    matches, 0 elsewhere; padding matches nothing.
    """
    weight = idf[target.long()] * chosen * (target != 0)  # ONNX takes no other index
    return ((history == target[:, None]) * weight[:, None]).sum(2)


def inverse_frequencies(
    x: NDArray[np.int32], columns: Sequence[int], n_ids: int
) -> NDArray[np.float32]:
    """[n_ids]: BM25's idf ln(1 + (N − n + ½) / (n + ½)), n being an id's rows among the N of x.

    Counted over the `columns` of x [N, F]; Lucene's form, which is above 0 whatever n is.
    """
    n = np.zeros(n_ids, np.int64)
    for rows in slices(len(x), ROWS_AT_ONCE):
        ids = np.asarray(x[rows])[:, list(columns)]
        n += np.bincount(ids.ravel(), minlength=n_ids)
    return np.log1p((len(x) - n + 0.5) / (n + 0.5)).astype(np.float32)


class MatchSearch(nn.Module):
    """The behaviours that match a target best in the fields chosen for it (UBR).

    Ids' idf is told by `read_pool`; until then ids of one field count as equally frequent.
    """

    idf: Tensor

    def __init__(self, columns: Sequence[int], sizes: Sequence[int], k: int) -> None:
        """`columns` of the item tuple, `sizes` of all fields in column order, `k` to be found."""
        super().__init__()
        self.columns, self.k = list(columns), k
        values = torch.tensor([1, *sizes])  # padding, and the fields
        self.register_buffer("idf", values.add(1.0).log().repeat_interleave(values))  # [V]

    def read_pool(self, x: NDArray[np.int32]) -> None:
        """Take ids' idf from the pool's rows x [N, F]."""
        found = inverse_frequencies(x, self.columns, len(self.idf))
        self.idf.copy_(torch.from_numpy(found))

    def forward(
        self,
        history: Int[Tensor, "B T C"],
        x: Int[Tensor, "B F"],
        chosen: Bool[Tensor, "B C"],
    ) -> Int[Tensor, "B K C"]:
        """The best `k` of those that match somewhere; with no field chosen, the newest of all."""
        scores = match_scores(history, x[:, self.columns], chosen, self.idf)
        found = (history[..., 0] != 0) & ((scores > 0) | ~chosen.any(1)[:, None])
        return taken(history, best(scores, found, self.k))


class ProductSearch(nn.Module):
    """SIM's soft search: s_t = ⟨W_b k_t, W_a q⟩ for behaviours k_t and a target q."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)

    def forward(
        self, q: Float[Tensor, "B D"], keys: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B P"]]:
        """The scores to search by, without a gradient, and Σ_t s_t k_t ⊕ q [B, 2D] with one.

        A top K passes no gradient: a loss on what was pooled trains the search.
        """
        scores, pooled = weighed_by_products(self.asked(q)[:, None], keys, mask)
        return scores.squeeze(1), torch.cat([pooled.squeeze(1), q], 1)

    def asked(self, q: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """W_bᵀ W_a q, for ⟨W_b k, W_a q⟩ = ⟨k, W_bᵀ W_a q⟩: once per row."""
        asked: Tensor = self.query(q) @ self.key.weight
        return asked


class QueryAttention(ProductAttention):
    """Σ_k softmax_k⟨W x + b, h_k⟩ h_k over what was found (rec.py of UBR4CTR's public code)."""

    def forward(
        self, x: Float[Tensor, "B P"], keys: Float[Tensor, "B K D"], mask: Bool[Tensor, "B K"]
    ) -> Float[Tensor, "B D"]:
        """What was found, weighed; zero for a row with nothing."""
        return torch.bmm(super().forward(x, keys, mask)[:, None], keys).squeeze(1)
