"""DIN: Deep Interest Network for Click-Through Rate Prediction (Zhou et al., KDD'18, §4.3).

A user's behaviours are weighed by how much each bears on the target item:
    φ = Σ_t softmax_t(a(q, k_t)) k_t        ŷ = MLP(φ ⊕ x ⊕ extra)
q [B, D] is the target's item tuple, k_t that of behaviour t, of k [B, T, D], a the activation unit,
φ [B, D] what is made of them. The order of behaviours does not matter.

Symbols: B batch; T behaviours; C fields of the item tuple; F fields; d embedding; D = C·d; E width
of extra. Cost: O(T(80·D + 80·40)) of the units by default, O(D² + T·D) with `bilinear`, and the
head's 200(D + F·d + E) + 80·201 products a sample.
DEVIATION(DIN §4.3): the weights are a softmax, as in DIN's public code (model.py), where the text
keeps their intensity; they are not scaled by 1/√D and hidden units are Dice, as the text has it,
where the code scales and takes sigmoids.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import (
    ActivationUnit,
    BehaviourAttention,
    BilinearUnit,
    IdEmbedding,
    fixed_shapes,
    together,
)
from rokkit.models.base import Backbone, HeadConfig, flat, join
from rokkit.models.registry import register_backbone


@dataclass(frozen=True, kw_only=True)
class DINConfig(HeadConfig):
    """Settings of DIN. Raises ConfigError for a value outside its range."""

    attention_hidden: tuple[int, ...] = (80, 40)  # widths of the activation unit (model.py of DIN)
    bilinear: bool = False  # scores ⟨W q + b, k⟩ instead, as UBR4CTR's public code has DIN

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = self.attention_hidden
        require(bool(widths), "attention_hidden", widths, "at least one width")
        require(all(w >= 1 for w in widths), "attention_hidden", widths, "widths of at least 1")


@register_backbone("din", config=DINConfig, family="behaviour", paper="KDD'18")
class DIN(Backbone):
    """Attention over the user's behaviours, then an MLP.

    Parameters besides the id table, D = C·d: the unit's 3D·80 + 80·40 + 280 by default, or the
    bilinear one's D² + D, and the head (D + F·d + E)-200-80-1.
    """

    needs = frozenset({"history"})

    def __init__(self, schema: Schema, config: DINConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        dim = len(schema.item_columns) * config.embed_dim
        self.attention = BehaviourAttention(
            BilinearUnit(dim) if config.bilinear else ActivationUnit(dim, config.attention_hidden)
        )
        self.head = config.head(dim + schema.n_fields * config.embed_dim + extra_dim)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B D"]:
        """φ: the behaviours that bear on the target; zero for a user without any."""
        return self._look(batch, embedding)[1]

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        x, phi = self._look(batch, embedding)
        logits: Tensor = self.head(join(phi, flat(x), extra)).squeeze(1)
        return logits

    def _look(
        self, batch: Batch, embedding: IdEmbedding
    ) -> tuple[Float[Tensor, "B F d"], Float[Tensor, "B D"]]:
        """The target's embeddings, and φ."""
        assert batch.history is not None
        history, mask = batch.history, batch.history_mask  # [B, T, C], [B, T]
        if fixed_shapes(mask):
            x, keys = together(embedding, batch.x, history)
            phi: Tensor = self.attention(self.item_tuple(x), keys.flatten(2), mask)
            return x, phi
        place = mask.flatten().nonzero().squeeze(1)  # padding is not looked up
        x, keys = together(embedding, batch.x, history.flatten(0, 1).index_select(0, place))
        return x, self.attention.packed(self.item_tuple(x), keys.flatten(1), place, mask)
