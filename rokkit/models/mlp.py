"""MLP: a perceptron over embeddings (ROK, Table 4).

    ŷ = MLP(x ⊕ extra)
x [B, F·d] is the F embeddings side by side, ŷ [B] the logits; hidden layers 200-80, the head of
this line of papers.

Symbols: B batch; F fields; d embedding; E width of extra. Cost: 200(F·d + E) + 80·201 products a
sample.
"""

from jaxtyping import Float
from torch import Tensor

from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import IdEmbedding
from rokkit.models.base import Backbone, HeadConfig, flat, join
from rokkit.models.registry import register_backbone


@register_backbone("mlp", config=HeadConfig, family="feature", paper="ROK, Table 4")
class MLPBackbone(Backbone):
    """Hidden layers over the embeddings of a sample's fields.

    Parameters besides the id table: the head (F·d + E)-200-80-1.
    """

    def __init__(self, schema: Schema, config: HeadConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        self.head = config.head(schema.n_fields * config.embed_dim + extra_dim)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ = x [B, F·d]."""
        return flat(embedding(batch.x))

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        logits: Tensor = self.head(join(self.represent(batch, embedding), extra)).squeeze(1)
        return logits
