"""MIMN: Multi-channel user Interest Memory Network (Pi et al., KDD'19, §4.2 to §4.4).

Paper: "Practice on Long Sequential User Behavior Modeling for Click-Through Rate Prediction".
A Neural Turing Machine reads a user's behaviours one by one and keeps S slots; then the target is
read from them (rokkit.layers.UserMemory has the equations of a step):
    state = memory(b_1 … b_n)      o = W (h ⊕ v) + b, a step's output for the target q
    φ = Σ_t b_t ⊕ o ⊕ (Σ_t a_t / S) ∘ q [⊕ attention of q over the slots' own states]
    ŷ = MLP(φ ⊕ x ⊕ extra)      penalty = weight · mean over rows and slots of (u_s − mean u)²
b [B, T, D] are the embedded behaviours, q and a_t [B, D] the target's item tuple and what was added
to the memory at t, o [B, H], u [B, S] how much each slot was written to. The slots' own states are
those of the memory induction unit (§4.4); the penalty belongs to memory utilisation regularisation
(§4.3); both are switches, off by default, as in UBR4CTR.

Symbols: B batch; T behaviours, n of a row; S slots; H state of the controller; F fields; D = C·d of
C item fields; E width of extra. Cost: T steps one after another, as DIEN's, each of some 40 small
operations and O(H(D + H) + S·D) products, and the head. The order of behaviours matters.
Σ_t a_t / S is the mean of `sum_aggre` of mimn.py over slots, as the weights of a write sum to 1.

DEVIATION(MIMN, mimn.py): gates are PyTorch's GRU, with its initial weights; padding at the end
leaves the state as it is, where there padding at the front sets it back.
DEVIATION(MIMN, mimn.py): o is not clipped, there to ±20; what goes to the heads is, as there.
DEVIATION(MIMN, mimn.py): usage counts writes as they were made, there spread a second time; its
penalty is the mean square, there divided by S and by the batch once more.
DEVIATION(MIMN §4.3): a write is spread over the slots beside, as in mimn.py, where the text weighs
it by softmax(W g) of the usage g.
DEVIATION(MIMN, model.py): x holds all fields, there the item alone, which forgets the user; hidden
layers of the head are ReLU, there PReLU, of the attention Dice as in our DIN; no auxiliary loss.
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
    IdEmbedding,
    UserMemory,
    usage_variance,
)
from rokkit.models.base import Backbone, HeadConfig, Penalised, flat, join
from rokkit.models.registry import register_backbone


@dataclass(frozen=True, kw_only=True)
class MIMNConfig(HeadConfig):
    """Settings of MIMN. Raises ConfigError for a value outside its range."""

    slots: int = 4  # S (train_taobao.py)
    state_size: int = 32  # H (train_taobao.py)
    utilisation: bool = False  # memory utilisation regularisation
    utilisation_weight: float = 1e-3  # of its penalty (capacity_loss of mimn.py)
    induction: bool = False  # memory induction unit
    attention_hidden: tuple[int, ...] = (80, 40)  # widths of the attention over its states

    def __post_init__(self) -> None:
        super().__post_init__()
        widths, weight = self.attention_hidden, self.utilisation_weight
        require(self.slots >= 2, "slots", self.slots, "at least 2")
        require(self.state_size >= 1, "state_size", self.state_size, "at least 1")
        require(weight >= 0, "utilisation_weight", weight, "at least 0")
        require(bool(widths), "attention_hidden", widths, "at least one width")
        require(all(w >= 1 for w in widths), "attention_hidden", widths, "widths of at least 1")


@register_backbone("mimn", config=MIMNConfig, family="memory", paper="KDD'19")
class MIMN(Backbone):
    """A Turing machine's memory of the user's behaviours that the target reads, then an MLP.

    Parameters beside the id table, by default: 3H(2D + H + 2) of the controller, (H + 1)(4D + 2) of
    the heads' orders, (H + D + 1)H of the output, (S + 1)D of the slots' keys and the first read;
    and the head's 200(2D + H + F·d + E + 1) + 80·201 + 81.
    """

    needs = frozenset({"history"})

    def __init__(self, schema: Schema, config: MIMNConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        dim, size = len(schema.item_columns) * config.embed_dim, config.state_size
        self.memory = UserMemory(dim, size, config.slots, config.utilisation, config.induction)
        unit = ActivationUnit(dim, config.attention_hidden)
        self.attention = BehaviourAttention(unit) if config.induction else None
        phi_dim = (3 if config.induction else 2) * dim + size
        self.head = config.head(phi_dim + schema.n_fields * config.embed_dim + extra_dim)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ: behaviours summed, what the memory holds for the target, what was added to it."""
        return self._encode(batch, embedding, embedding(batch.x))[0]

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        return self.penalised(batch, embedding, extra)[0]

    def penalised(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Penalised:
        """The logits, and the weighted variance of the slots' usage with `utilisation`."""
        x = embedding(batch.x)
        phi, usage = self._encode(batch, embedding, x)
        logits: Tensor = self.head(join(phi, flat(x), extra)).squeeze(1)
        if not self.config.utilisation or self.config.utilisation_weight == 0:
            return logits, None
        return logits, self.config.utilisation_weight * usage_variance(usage).mean()

    def _encode(
        self, batch: Batch, embedding: IdEmbedding, x: Float[Tensor, "B F d"]
    ) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B S"]]:
        assert batch.history is not None
        q = self.item_tuple(x)  # [B, D]
        behaviours = embedding.of_history(batch.history).flatten(2)  # [B, T, D]
        state = self.memory(behaviours, batch.history_mask)
        attended = None
        if self.attention is not None:
            anyone = batch.history_mask.any(1, keepdim=True).expand_as(state.usage)
            attended = self.attention(q, state.channels, anyone)
        held = self.memory.recall(q, state)
        mean_added = state.added / self.config.slots
        return join(behaviours.sum(1), held, mean_added * q, attended), state.usage
