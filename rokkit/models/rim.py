"""RIM: Retrieval & Interaction Machine (Qin et al., KDD'21), the teacher of ROK (ROK §3.2).

Paper: "Retrieval & Interaction Machine for Tabular Data Prediction", Figure 2 (section not checked:
the paper was not at hand), after its public code, rim.py.

The K retrieved samples S and their labels Y are weighed by how well they fit the target x:
    a = softmax_k ⟨W x + b, S_k⟩      r_f = Σ_k a_k S_k      r_l = Σ_k a_k Y_k
    I = ⟨v_i, v_j⟩ for i < j over the 2F + 1 vectors of [x, r_f, r_l]
    ŷ = w · (MLP(norm(x ⊕ r_f ⊕ I ⊕ r_l ⊕ extra)) ⊕ r_l)
and r = r_f ‖ r_l is what a knowledge base imitates (ROK §5.4). x is [B, D], a [B, K],
S [B, K, D], Y [B, K, d] and r [B, R].

Symbols: B batch; K neighbours; F fields; d embedding; D = F·d; R = (F + 1)·d; E width of extra.
Cost: O(D² + K·D) of the attention, O(F²·d) of the products, and the MLP's
200(2D + d + F(2F + 1) + E) + 80·201 + d a sample.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import (
    Affine,
    IdEmbedding,
    NeighbourAttention,
    hidden_layers,
    pair_count,
    pairwise_products,
)
from rokkit.models.base import Backbone, HeadConfig, flat, join
from rokkit.models.registry import register_teacher

Normalisation = Literal["affine-input", "after-linear", "none"]


@dataclass(frozen=True, kw_only=True)
class RIMConfig(HeadConfig):
    """Settings of RIM. Raises ConfigError for a value outside its range.

    DEVIATION(RIM, rim.py): both tables start from σ = .1, there from 1. From .01 a few steps of
    Adam carry an id further than where it began, so that r gives away the labels of the samples
    that the teacher was trained on, and what imitates it misleads its user; from 1 the teacher
    itself is worse (docs/findings.md).
    DEVIATION(RIM, rim.py): dropout is 0 by default, as in all heads here, there .2.
    """

    init_std: float = 0.1  # σ of the id and the label table
    scale_attention: bool = False  # products over √D before the softmax, as the author's PyTorch
    # "affine-input": a learned scale and shift per input of the MLP, which is what BatchNorm
    # amounts to in rim.py; "after-linear": BatchNorm after each layer, as the author's PyTorch.
    normalisation: Normalisation = "affine-input"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = get_args(Normalisation)
        require(
            self.normalisation in known,
            "normalisation",
            self.normalisation,
            f"one of {', '.join(known)}",
        )


@register_teacher("rim", config=RIMConfig, family="retrieval", paper="KDD'21")
class RIM(Backbone):
    """Attention over retrieved samples and their labels, pairwise products, an MLP.

    Parameters besides the id table, D = F·d: the attention's D² + D, two labels' 2d, hidden layers
    (2D + d + F(2F + 1) + E)-200-80, whose input or outputs are scaled and shifted, and 80 + d + 1.
    """

    needs = frozenset({"neighbours"})

    def __init__(self, schema: Schema, config: RIMConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        self.dim = schema.n_fields * config.embed_dim  # D
        self.attention = NeighbourAttention(self.dim, config.scale_attention)
        self.labels = nn.Embedding(2, config.embed_dim)
        nn.init.normal_(self.labels.weight, std=config.init_std)
        pairs = pair_count(2 * schema.n_fields + 1)
        in_dim = 2 * self.dim + config.embed_dim + pairs + extra_dim
        self.norm = Affine(in_dim) if config.normalisation == "affine-input" else nn.Identity()
        batch_norm = config.batch_norm or config.normalisation == "after-linear"
        self.mlp = hidden_layers(in_dim, config.hidden, config.dropout, batch_norm)
        self.out = nn.Linear(config.hidden[-1] + config.embed_dim, 1)

    @property
    def representation_dim(self) -> int:
        """R."""
        return self.dim + int(self.config.embed_dim)

    @property
    def representation_blocks(self) -> dict[str, slice]:
        """Where in r the aggregated features and the aggregated labels lie."""
        return {
            "features": slice(0, self.dim),
            "labels": slice(self.dim, self.representation_dim),
        }

    def aggregate(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B R"]:
        """r = r_f ‖ r_l; zero for a row without neighbours."""
        return self._aggregate(batch, embedding, flat(embedding(batch.x)))

    def attention_weights(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B K"]:
        """a: the weight of each neighbour in r; all 0 for a row without neighbours."""
        return self._attend(batch, embedding, flat(embedding(batch.x)))[1]

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B R"]:
        """φ = r ("RIM's aggregated representations", §4.4)."""
        return self.aggregate(batch, embedding)

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        x = embedding(batch.x)  # [B, F, d]
        r = self._aggregate(batch, embedding, flat(x))
        vectors = torch.cat([x, r.view(r.shape[0], -1, embedding.dim)], dim=1)  # [B, 2F + 1, d]
        r_f, r_l = r[:, : self.dim], r[:, self.dim :]
        entered = join(flat(x), r_f, pairwise_products(vectors), r_l, extra)
        logits: Tensor = self.out(join(self.mlp(self.norm(entered)), r_l)).squeeze(1)
        return logits

    def _aggregate(
        self, batch: Batch, embedding: IdEmbedding, x: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B R"]:
        assert batch.neighbour_labels is not None
        r_f, weights = self._attend(batch, embedding, x)
        clicked = (weights * batch.neighbour_labels).sum(1, keepdim=True)
        shares = torch.cat([weights.sum(1, keepdim=True) - clicked, clicked], dim=1)  # [B, 2]
        return torch.cat([r_f, shares @ self.labels.weight], dim=1)

    def _attend(
        self, batch: Batch, embedding: IdEmbedding, x: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K"]]:
        assert batch.neighbours is not None
        assert batch.neighbour_mask is not None
        return self.attention.over_ids(x, batch.neighbours, batch.neighbour_mask, embedding)
