"""SIM: Search-based Interest Model (Pi et al., CIKM'20, §3.2 and §3.3).

Paper: "Search-based User Interest Modeling with Lifelong Sequential Behavior Data for Click-Through
Rate Prediction"; search is its General Search Unit (§3.2), attention its Exact Search Unit (§3.3).
What a user did last, and what of all they did resembles the target item q, are attended apart:
    φ_s = Σ_t a_s(q, k_t) k_t over the last S behaviours
    φ_l = Σ_t a_l(q, k_t) k_t over those that a search found        ŷ = MLP(φ_s ⊕ φ_l ⊕ x ⊕ extra)
Hard search finds the behaviours of the target's category; soft search those of highest
s_t = ⟨W_b k_t, W_a q⟩, which a loss of its own teaches: cross-entropy of MLP'(Σ_t s_t k_t ⊕ q).
q [B, D] is the target's item tuple, k_t behaviour t's, of k [B, T, D]. a_s and a_l are DIN's, a
unit each, or with `attention` "heads" the paper's: φ = concat_i Σ_t softmax_t⟨W_b^i k_t, W_a^i q⟩
k_t over A heads, [B, A·D], else [B, D]; "projected": LongCTR's. Where nothing is found, φ is zero.

Symbols: B batch; T behaviours; C fields of the item tuple; F fields; d embedding; D = C·d; A heads.
Cost: O(80·D) for each behaviour found, or A·D; T·D of soft search, and the head. Order matters.
DEVIATION(SIM): by default DIN's units, as in this line of papers, not multi-head attention; no DIEN
on the short part, and no embedding of the time since a behaviour, for a history holds no times.
DEVIATION(SIM, train.sh): soft search keeps 20 behaviours, there 50 of 90, and both searches look at
all T, there at those before the short part alone.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import IdEmbedding, ProductSearch, found, search_and_attend, together
from rokkit.layers.heads import Attention, target_attention
from rokkit.models.base import Backbone, HeadConfig, Penalised, flat, join
from rokkit.models.registry import register_backbone

# The target's embeddings, φ_s ⊕ φ_l, and what soft search pooled.
Looked = tuple[Float[Tensor, "B F d"], Float[Tensor, "B P"], Float[Tensor, "B M"] | None]


@dataclass(frozen=True, kw_only=True)
class SIMConfig(HeadConfig):
    """Settings of SIM. Raises ConfigError for a value outside its range."""

    search: Literal["hard", "soft"] = "hard"  # by category; "soft": by inner product
    category: str = ""  # item field that hard search goes by; "" = "category", else the second
    short: int = 10  # S, the newest behaviours (public code)
    hard_top: int = 100  # behaviours of the category at most, the newest ones (RIM line)
    soft_top: int = 20  # behaviours that soft search finds (public code: 50 of 90)
    aux_weight: float = 1.0  # of soft search's loss (LongCTR's), which alone trains the search
    attention: Attention = "unit"  # DIN's; "heads": the paper's; "projected": LongCTR's
    attention_hidden: tuple[int, ...] = (80, 40)  # widths of both activation units
    heads: int = 4  # A of each of the others; the paper tells none, LongCTR has 1
    attention_dim: int = 64  # width of all heads' W_a and W_b together (LongCTR)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.search in ("hard", "soft"), "search", self.search, "hard or soft")
        for name in ("short", "hard_top", "soft_top", "heads", "attention_dim"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        known, whole = get_args(Attention), self.attention_dim % self.heads == 0
        require(self.attention in known, "attention", self.attention, f"one of {', '.join(known)}")
        require(whole, "attention_dim", self.attention_dim, f"a multiple of {self.heads} heads")
        require(self.aux_weight > 0, "aux_weight", self.aux_weight, "above 0")
        least = min(self.attention_hidden, default=0)
        require(least >= 1, "attention_hidden", self.attention_hidden, "widths of at least 1")


@register_backbone("sim", config=SIMConfig, family="behaviour", paper="CIKM'20")
class SIM(Backbone):
    """Attention over the last behaviours and over those that a search found, then an MLP.

    Parameters: two units of 3D·80 + 80·40 + 280, or 2·64·D ("heads"), or 4·64·D ("projected"); the
    head (2D + F·d + E)-200-80-1, with "heads" 2A·D; for soft search 2D² and an MLP 2D-200-80-1.
    """

    needs = frozenset({"history"})

    def __init__(self, schema: Schema, config: SIMConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        dim, soft = len(schema.item_columns) * config.embed_dim, config.search == "soft"
        items = [schema.fields[column].name for column in schema.item_columns]
        require(config.category in ("", *items), "category", config.category, f"one of {items}")
        usual = "category" if "category" in items else items[:2][-1]
        self.category = items.index(config.category or usual)
        sizes = (dim, config.attention_hidden, config.heads, config.attention_dim)
        self.short, self.long = (target_attention(config.attention, *sizes) for _ in range(2))
        self.soft = ProductSearch(dim) if soft else None
        self.auxiliary = config.head(2 * dim) if soft else None
        each = dim * (config.heads if config.attention == "heads" else 1)
        self.head = config.head(2 * each + schema.n_fields * config.embed_dim + extra_dim)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ_s ⊕ φ_l; zero for a user without behaviours."""
        return self._look(batch, embedding)[1]

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        x, phi, _ = self._look(batch, embedding)
        logits: Tensor = self.head(join(phi, flat(x), extra)).squeeze(1)
        return logits

    def penalised(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Penalised:
        """The logits, and the loss of soft search."""
        x, phi, pooled = self._look(batch, embedding)
        logits = self.head(join(phi, flat(x), extra)).squeeze(1)
        if self.auxiliary is None:
            return logits, None
        assert batch.y is not None
        loss = binary_cross_entropy_with_logits(self.auxiliary(pooled).squeeze(1).float(), batch.y)
        return logits, self.config.aux_weight * loss

    def _look(self, batch: Batch, embedding: IdEmbedding) -> Looked:
        assert batch.history is not None
        history, mask, both = batch.history, batch.history_mask, (self.short, self.long)
        last = found.newest(mask, self.config.short)
        if self.soft is not None:
            x, keys = together(embedding, batch.x, history)
            at = (self.item_tuple(x), keys.flatten(2), mask, last, self.config.soft_top)
            phi, pooled = search_and_attend(self.soft, both, *at)
            return x, join(*phi), pooled
        own = batch.x[:, self.schema.item_columns[self.category], None]
        held = last, found.newest(mask & (history[..., self.category] == own), self.config.hard_top)
        x, keys = together(embedding, batch.x, found.picked(history, held))
        phi = found.attend_picked(both, self.item_tuple(x), keys.flatten(-2), held)
        return x, join(*phi), None
