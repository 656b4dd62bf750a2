"""HPMN: Hierarchical Periodic Memory Network (Ren et al., SIGIR'19).

Paper: "Lifelong Sequential Modeling with Personalized Memorization for User Response Prediction"
(section not checked: the paper was not at hand), after its public code, hpmn.py.

A user's behaviours go through L stacked GRUs, each updated more rarely than the one below; what
the layers end with is the memory, and the target reads it in several hops:
    s_{l,t} = GRU_l(s_{l-1,t}, s_{l,t-p})  at every p-th step, p = Π periods below l
    m_l = s_{l,n}, counting t so that all layers have a step at n
    q_0 = W q + b    q_{h+1} = M q_h + Σ_l softmax_l(score_h(q_h, m_l)) m_l    φ = q_hops
    ŷ = MLP(φ ⊕ x ⊕ extra)
    penalty = weight · mean over rows of ‖C − diag C‖, C = cov(m_1 … m_L) over the H dimensions
s_0 [B, T, D] are the embedded behaviours, q [B, D] is the target's item tuple, m [B, L, H] the
memory, φ [B, H] what is read of it.

Symbols: B batch; T behaviours, n of a row; L layers; H state; F fields; D = C·d of C item fields;
E width of extra. Cost: a GRU over T(1 + 1/p_1 + 1/(p_1 p_2) + …) steps. The order of behaviours
matters.

DEVIATION(HPMN, hpmn.py): the target is not itself the last step of the memory, as in UBR4CTR's
version: memory belongs to the user. Padding updates no state, where there it does by the biases.
Gates are PyTorch's GRU, with its initial weights.
DEVIATION(HPMN, hpmn.py): the regulariser is a mean over rows, there a sum, so that its weight means
the same for every batch size: 1e-5 there times the batch of 128.
DEVIATION(HPMN, hpmn.py): there is a user side only, as in the public runs; the head is this line's
ReLU MLP, there ELU; gradients are not clipped by value.
DEVIATION(HPMN, hpmn.py): three layers, of periods (2, 2), whatever T is, as UBR4CTR, and hpmn.py on
Amazon; there longer histories have more layers. 100 behaviours have room for (2, 2, 5).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import IdEmbedding, MemoryReader, PeriodicMemory, slot_covariance
from rokkit.models.base import Backbone, HeadConfig, Penalised, flat, join
from rokkit.models.registry import register_backbone


@dataclass(frozen=True, kw_only=True)
class HPMNConfig(HeadConfig):
    """Settings of HPMN. Raises ConfigError for a value outside its range."""

    state_size: int = 32  # H, width of each layer's state (hpmn.py)
    periods: tuple[int, ...] = (2, 2)  # steps of a layer per step of the one above it
    hops: int = 3  # times that the target reads the memory (hpmn.py)
    attention_hidden: tuple[int, ...] = (80, 40)  # widths of the reader's scores (hpmn.py)
    covariance_weight: float = 1.28e-3  # of the regulariser; 0 leaves it out

    def __post_init__(self) -> None:
        super().__post_init__()
        widths, weight = self.attention_hidden, self.covariance_weight
        require(self.state_size >= 1, "state_size", self.state_size, "at least 1")
        require(bool(self.periods), "periods", self.periods, "at least one, for two layers")
        require(all(p >= 2 for p in self.periods), "periods", self.periods, "periods of at least 2")
        require(self.hops >= 1, "hops", self.hops, "at least 1")
        require(bool(widths), "attention_hidden", widths, "at least one width")
        require(all(w >= 1 for w in widths), "attention_hidden", widths, "widths of at least 1")
        require(weight >= 0, "covariance_weight", weight, "at least 0")


@register_backbone("hpmn", config=HPMNConfig, family="memory", paper="SIGIR'19")
class HPMN(Backbone):
    """A periodic memory of the user's behaviours that the target reads, then an MLP.

    Parameters beside the id table, by default: 3H(D + H + 2) of the lowest GRU and 3H(2H + 2) of
    each other; (D + 1)H + H² of the query; 80·4H + 80 + 40·80 + 40 + 40 per hop; and the head's
    200(H + F·d + E + 1) + 80·201 + 81.
    """

    needs = frozenset({"history"})

    def __init__(self, schema: Schema, config: HPMNConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        dim, size = len(schema.item_columns) * config.embed_dim, config.state_size
        self.memory = PeriodicMemory(dim, size, config.periods)
        self.reader = MemoryReader(dim, size, config.hops, config.attention_hidden)
        self.head = config.head(size + schema.n_fields * config.embed_dim + extra_dim)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B H"]:
        """φ: what the target reads; its query alone for a user without behaviours."""
        return self._read(embedding(batch.x), self._remember(batch, embedding))

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        return self._logits(batch, embedding, extra, self._remember(batch, embedding))

    def penalised(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Penalised:
        """The logits, and the weighted covariance between the layers of the memory."""
        memory, weight = self._remember(batch, embedding), self.config.covariance_weight
        penalty = weight * slot_covariance(memory).mean() if weight > 0 else None
        return self._logits(batch, embedding, extra, memory), penalty

    def _logits(
        self,
        batch: Batch,
        embedding: IdEmbedding,
        extra: Float[Tensor, "B E"] | None,
        memory: Float[Tensor, "B L H"],
    ) -> Float[Tensor, "B"]:
        x = embedding(batch.x)
        logits: Tensor = self.head(join(self._read(x, memory), flat(x), extra)).squeeze(1)
        return logits

    def _remember(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B L H"]:
        assert batch.history is not None
        behaviours = embedding.of_history(batch.history).flatten(2)  # [B, T, D]
        memory: Tensor = self.memory(behaviours, batch.history_mask)
        return memory

    def _read(
        self, x: Float[Tensor, "B F d"], memory: Float[Tensor, "B L H"]
    ) -> Float[Tensor, "B H"]:
        phi: Tensor = self.reader(self.item_tuple(x), memory)
        return phi
