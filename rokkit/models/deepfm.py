"""DeepFM: a factorisation machine and an MLP over the same embeddings (Guo et al., IJCAI'17, §2.1).

Paper: "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction".
    ŷ = ⟨w, v⟩ + b + Σ_{i<j} ⟨v_i, v_j⟩ + MLP(v ⊕ extra)
v [B, M, d] are the F embeddings of x; with `history`, also the mean of the user's behaviours in
each of the C fields of the item tuple, as fields of their own, zero for a user without behaviours;
the order of behaviours does not matter. ŷ is [B].

Symbols: B batch; F fields; C fields of the item tuple; T behaviours; M = F or F + C; d embedding;
E width of extra. Cost: O(M·d) of the machine, O(T·C·d) of the means with `history`, and the MLP's
200(M·d + E) + 80·201 products a sample.

`extra` joins the MLP's input alone: it is no vector of width d, which the products would need.
DEVIATION(DeepFM §2.1): the first order is linear over embeddings; see FactorisationMachine.
DEVIATION(DeepFM §3.1): hidden layers 200-80 without dropout by default, as all heads here have.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import FactorisationMachine, IdEmbedding
from rokkit.models.base import Backbone, HeadConfig, flat, join
from rokkit.models.registry import register_backbone


@dataclass(frozen=True, kw_only=True)
class DeepFMConfig(HeadConfig):
    """Settings of DeepFM. Raises ConfigError for a value outside its range."""

    history: bool = False  # mean-pooled behaviours as fields, as ROK's author has in PyTorch


@register_backbone("deepfm", config=DeepFMConfig, family="feature", paper="IJCAI'17")
class DeepFM(Backbone):
    """First order, second order and MLP over one set of embeddings.

    Dense parameters: those of the head over M·d + E inputs and M·d + 1 of the first order. With
    the defaults and F = 8 fields: (128·200 + 200) + (200·80 + 80) + (80 + 1) + (128 + 1) = 42,090.
    """

    def __init__(self, schema: Schema, config: DeepFMConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        vectors = schema.n_fields + config.history * len(schema.item_columns)  # M
        self.fm = FactorisationMachine(vectors, config.embed_dim)
        self.head = config.head(vectors * config.embed_dim + extra_dim)

    @classmethod
    def needs_of(cls, config: DeepFMConfig) -> frozenset[str]:
        """Histories only where they are pooled."""
        return frozenset({"history"}) if config.history else cls.needs

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ = v [B, M·d], the MLP's input."""
        return flat(self._vectors(batch, embedding))

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        v = self._vectors(batch, embedding)
        deep: Tensor = self.head(join(flat(v), extra)).squeeze(1)
        logits: Tensor = self.fm(v) + deep
        return logits

    def _vectors(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B M d"]:
        x = embedding(batch.x)
        if not self.config.history:
            return x
        assert batch.history is not None
        behaviours = embedding.of_history(batch.history)  # [B, T, C, d], zero where padded
        count = batch.history_mask.sum(1).clamp(min=1)
        return torch.cat([x, behaviours.sum(1) / count[:, None, None]], dim=1)
