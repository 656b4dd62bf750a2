"""DIEN: Deep Interest Evolution Network for Click-Through Rate Prediction (Zhou et al., AAAI'19).

A GRU follows a user's behaviours (Interest Extractor Layer; the paper's sections bear names only);
a second one, its update gate heeding attention, what bears on the target (Interest Evolving Layer):
    h_t = GRU(h_{t-1}, e_t)   a_t = softmax_t ⟨W q, h_t⟩   φ = AUGRU(h, a)   ŷ = MLP(φ ⊕ x ⊕ extra)
q [B, D] is the target's item tuple, e_t that of behaviour t, of e [B, T, D], h [B, T, H] the first
states, φ [B, H] the last of the second. With `aux_weight` λ > 0 training adds λ times the auxiliary
loss, in which h_t tells e_{t+1} from a sampled negative.

Symbols: B batch; T behaviours; C fields of the item tuple; F fields; d embedding; D = C·d; H state.
Cost: two runs of T steps, O(T·H(D + H)), and the head. The order of behaviours matters.
DEVIATION(DIEN): the head is this line's MLP over φ ⊕ x (UBR4CTR's public code, baselines.py), there
one with Dice over user, item, φ, the sum of the behaviours and its product with the item.
DEVIATION(DIEN): no auxiliary loss by default, as in both public code bases of this line of papers.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import (
    AUGRU,
    GRU,
    IdEmbedding,
    NextBehaviour,
    PackedRows,
    StateActivationUnit,
    StateAttention,
    loops_apply,
)
from rokkit.models.base import Backbone, HeadConfig, Penalised, flat, join
from rokkit.models.registry import register_backbone

Attention = Literal["bilinear", "mlp"]
Evolved = tuple[Tensor, Tensor, Tensor, PackedRows | None]  # φ, states and behaviours, and where


@dataclass(frozen=True, kw_only=True)
class DIENConfig(HeadConfig):
    """Settings of DIEN. Raises ConfigError for a value outside its range."""

    state_dim: int = 32  # H, width of both recurrences' states (UBR4CTR)
    attention: Attention = "bilinear"  # the paper's; "mlp": DIN's unit, as the public code
    attention_hidden: tuple[int, ...] = (80, 40)  # widths of the unit under "mlp"
    aux_weight: float = 0.0  # λ of the auxiliary loss; DIEN's public code has 1

    def __post_init__(self) -> None:
        super().__post_init__()
        known, widths = get_args(Attention), self.attention_hidden
        require(self.state_dim >= 1, "state_dim", self.state_dim, "at least 1")
        require(self.attention in known, "attention", self.attention, f"one of {', '.join(known)}")
        require(bool(widths), "attention_hidden", widths, "at least one width")
        require(all(w >= 1 for w in widths), "attention_hidden", widths, "widths of at least 1")
        require(0 <= self.aux_weight < float("inf"), "aux_weight", self.aux_weight, "at least 0")


@register_backbone("dien", config=DIENConfig, family="behaviour", paper="AAAI'19")
class DIEN(Backbone):
    """Two recurrences over the user's behaviours, attention between them, then an MLP.

    Parameters besides table and head: 3H(D + H + 2) of the GRU, DH of the attention, 3H(2H + 1) of
    the AUGRU; with the auxiliary loss 100(H + D + 1) + 5101 more, which no prediction uses.
    """

    needs = frozenset({"history"})

    def __init__(self, schema: Schema, config: DIENConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        dim, width = len(schema.item_columns) * config.embed_dim, config.state_dim
        self.gru = GRU(dim, width)
        self.attention = (
            StateAttention(dim, width)
            if config.attention == "bilinear"
            else StateActivationUnit(dim, width, config.attention_hidden)
        )
        self.augru = AUGRU(width, width)
        self.next = NextBehaviour(width, dim) if config.aux_weight > 0 else None
        self.head = config.head(width + schema.n_fields * config.embed_dim + extra_dim)

    @classmethod
    def needs_of(cls, config: DIENConfig) -> frozenset[str]:
        """Histories, and a negative to each behaviour where the auxiliary loss runs."""
        return cls.needs | {"history_negatives"} if config.aux_weight > 0 else cls.needs

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B H"]:
        """φ: the interest that bears on the target; zero for a user without behaviours."""
        return self._evolve(batch, embedding, embedding(batch.x))[0]

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        x = embedding(batch.x)
        logits: Tensor = self.head(join(self._evolve(batch, embedding, x)[0], flat(x), extra))
        return logits.squeeze(1)

    def penalised(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Penalised:
        """The logits, and λ times the auxiliary loss."""
        if self.next is None:
            return self(batch, embedding, extra), None
        x = embedding(batch.x)
        phi, states, keys, rows = self._evolve(batch, embedding, x)
        if rows is not None:
            states, keys = rows.unpack(states), rows.unpack(keys)
        assert batch.history_negatives is not None
        negatives = embedding.of_history(batch.history_negatives).flatten(2)
        loss = self.next(states, keys, negatives, batch.history_mask)
        return self.head(join(phi, flat(x), extra)).squeeze(1), self.config.aux_weight * loss

    def _evolve(self, batch: Batch, embedding: IdEmbedding, x: Float[Tensor, "B F d"]) -> Evolved:
        """φ, the states h and the behaviours e, without padding where loops apply."""
        assert batch.history is not None
        q, mask = self.item_tuple(x), batch.history_mask  # [B, D], [B, T]
        if loops_apply(x):
            rows = PackedRows.of(mask)
            keys = embedding.of_history(rows.pack(batch.history)).flatten(1)
            states = self.gru.over(keys, rows)
            phi = self.augru.over(states, self.attention.packed(q, states, rows), rows)
            return phi, states, keys, rows
        keys, count = embedding.of_history(batch.history).flatten(2), mask.sum(1)
        states = self.gru(keys, count)
        phi = self.augru(states, self.attention(q, states, mask), count)
        return phi, states, keys, None
