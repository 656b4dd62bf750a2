"""Attention over a user's behaviours (DIN), and by products.

Symbols: B batch; T behaviours; K neighbours; D width of a query and of a key; n behaviours that are
no padding, over the whole batch.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rokkit.config import require
from rokkit.layers.attended import weighted_sums
from rokkit.layers.dice import Dice, dice_then_linear
from rokkit.layers.packing import packed_softmax
from rokkit.layers.pairs import pair_layer


def masked_softmax(
    scores: Float[Tensor, "*rows T"], mask: Bool[Tensor, "*rows T"]
) -> Float[Tensor, "*rows T"]:
    """Softmax over the places where `mask` holds, 0 elsewhere; a row without any is all 0."""
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~mask, lowest).softmax(-1) * mask


class ActivationUnit(nn.Module):
    """DIN's score of a behaviour k for a target q: an MLP with Dice over [q, k, q − k, q∘k].

    (Zhou et al., KDD'18, §4.3 there.) The first layer's product with q − k is one with q less one
    with k, so W_q q + W_k k + W_p (q∘k) is the same family of functions, needs no tensor of
    B x T x 4D, and takes W_q q once per row.

    DEVIATION(DIN §4.3): initial weights are drawn for three inputs (q, k, q∘k), not four.
    """

    def __init__(self, dim: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        require(bool(hidden), "attention_hidden", hidden, "at least one width")
        self.query = nn.Linear(dim, hidden[0])
        self.key = nn.Linear(2 * dim, hidden[0], bias=False)  # W_k ⊕ W_p
        self.dices = nn.ModuleList(Dice(width) for width in hidden)
        # The last one has no bias: a softmax over the scores takes it away again.
        self.linears = nn.ModuleList(
            nn.Linear(a, b, bias=i < len(hidden))
            for i, (a, b) in enumerate(pairwise((*hidden, 1)), 1)
        )
        for linear in (self.query, self.key):  # as one layer over q ⊕ k ⊕ q∘k
            nn.init.uniform_(linear.weight, -((3 * dim) ** -0.5), (3 * dim) ** -0.5)

    def forward(
        self,
        q: Float[Tensor, "B D"],
        k: Float[Tensor, "n D"],
        row: Int[Tensor, "n"] | None,
        mask: Bool[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n"]:
        """Scores of the behaviours k; `row` says whose each is, `mask` which are no padding.

        Without `row` all are those of one target.
        """
        s = pair_layer(q, self.query(q), k, row, self.key.weight)
        for dice, linear in zip(self.dices, self.linears, strict=True):
            s = dice_then_linear(dice, linear, s, mask)
        scores: Tensor = s.squeeze(1)
        return scores


class BilinearUnit(nn.Module):
    """The score ⟨W q + b, k⟩ (baselines.py of UBR4CTR's public code, there under DIN's name)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, dim)

    def forward(
        self,
        q: Float[Tensor, "B D"],
        k: Float[Tensor, "n D"],
        row: Int[Tensor, "n"] | None,
        mask: Bool[Tensor, "n"] | None = None,
    ) -> Float[Tensor, "n"]:
        """Scores of the behaviours k; `mask` changes nothing here."""
        return (_of(self.query(q), row) * k).sum(1)


def _of(values: Float[Tensor, "B D"], row: Int[Tensor, "n"] | None) -> Float[Tensor, "_ D"]:
    """The target's values for each behaviour; without `row` there is one target, and one row."""
    return values if row is None else values.index_select(0, row)


class BehaviourAttention(nn.Module):
    """Σ_t softmax_t(score(q, k_t)) k_t over a user's behaviours; zero for a user without any.

    Padding is packed away: only behaviours go through the unit, and Dice's statistics see no
    padding. Where shapes may not depend on data (meta tensors, export) every place goes through it
    and a mask does the same; the tests hold both ways equal.
    """

    def __init__(self, unit: ActivationUnit | BilinearUnit) -> None:
        super().__init__()
        self.unit = unit

    def forward(
        self, q: Float[Tensor, "B D"], keys: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B D"]:
        """The attended behaviours of each row."""
        if fixed_shapes(mask):
            row = torch.arange(q.shape[0], device=q.device).repeat_interleave(keys.shape[1])
            scores = self.unit(q, keys.flatten(0, 1), row, mask.flatten()).view(mask.shape)
            weights = masked_softmax(scores, mask)
            return torch.bmm(weights[:, None], keys).squeeze(1)
        place = mask.flatten().nonzero().squeeze(1)
        return self.packed(q, keys.flatten(0, 1).index_select(0, place), place, mask)

    def packed(
        self,
        q: Float[Tensor, "B D"],
        k: Float[Tensor, "n D"],
        place: Int[Tensor, "n"],
        mask: Bool[Tensor, "B T"],
    ) -> Float[Tensor, "B D"]:
        """The same of the behaviours k alone, which lie at `place` of the flattened mask."""
        if len(q) == 1:
            alone: Tensor = self.unit(q, k, None).softmax(0)[None] @ k
            return alone
        row = place // mask.shape[1]
        weights = packed_softmax(self.unit(q, k, row), place, mask)
        return weighted_sums(weights, k, row, len(q))


class ProductAttention(nn.Module):
    """Weights softmax_k ⟨W x + b, S_k⟩ of keys S_k for a query x."""

    def __init__(self, query_dim: int, key_dim: int, bias: bool = True) -> None:
        super().__init__()
        self.query = nn.Linear(query_dim, key_dim, bias=bias)

    def forward(
        self, x: Float[Tensor, "B P"], keys: Float[Tensor, "B K D"], mask: Bool[Tensor, "B K"]
    ) -> Float[Tensor, "B K"]:
        """The weight of each key; all 0 for a row without any."""
        return masked_softmax(self.scores(x, keys), mask)

    def scores(self, x: Float[Tensor, "B P"], keys: Float[Tensor, "B K D"]) -> Float[Tensor, "B K"]:
        """⟨W x + b, S_k⟩."""
        return torch.bmm(keys, self.query(x)[:, :, None]).squeeze(2)


def fixed_shapes(tensor: Tensor) -> bool:
    """True where the number of behaviours cannot decide a shape."""
    return tensor.is_meta or torch.compiler.is_compiling()
