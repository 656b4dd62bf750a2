"""LR: logistic regression over embeddings (ROK, Table 4).

    ŷ = w · (x ⊕ extra) + b
x [B, F·d] is the F embeddings side by side, ŷ [B] the logits. Table 4 joins knowledge to "feature
embeddings", so LR is linear over embeddings here, not one weight per id.

Symbols: B batch; F fields; d embedding; E width of extra. Cost: O(F·d + E) a sample.
"""

from jaxtyping import Float
from torch import Tensor, nn

from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import IdEmbedding
from rokkit.models.base import Backbone, BackboneConfig, flat, join
from rokkit.models.registry import register_backbone


@register_backbone("lr", config=BackboneConfig, family="feature", paper="ROK, Table 4")
class LR(Backbone):
    """A linear layer over the embeddings of a sample's fields.

    F·d + E + 1 parameters besides the id table.
    """

    def __init__(self, schema: Schema, config: BackboneConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        self.head = nn.Linear(schema.n_fields * config.embed_dim + extra_dim, 1)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ = x [B, F·d]."""
        return flat(embedding(batch.x))

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        logits: Tensor = self.head(join(self.represent(batch, embedding), extra)).squeeze(1)
        return logits
