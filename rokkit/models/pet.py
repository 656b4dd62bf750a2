"""PET: propagation over the graph of a target and its neighbours (Du et al., NeurIPS'22).

Paper: "Learning Enhanced Representations for Tabular Data via Neighborhood Propagation" (section
not checked: the paper was not at hand; ROK §3.2 sums it up), after its public code, PET.py.

The target, its K neighbours and the ids of both are nodes; each instance has an edge to and from
each of its ids. A neighbour starts from an embedding of its label, an id from its own, an edge from
a second embedding of its instance's label; the target, which has none, from zero:
    h_i = L[y_i]   e_fi ⊕ e_if = L'[y_i]   h_0 = e_f0 = e_0f = 0   h_f = E[f]
Rounds of messages (layers/propagation.py), each followed by LN(ReLU(·)) with one norm for all, take
the labels over shared ids to the target. The head reads the target's ids and the target:
    r = (h_f for the F ids of the target) ‖ h_0          ŷ = MLP(r ⊕ extra)
and r [B, R], as wide as RIM's, is what a knowledge base imitates: all that neighbours can tell the
head. Nodes of instances are [B, I, d], of ids [B, F, I, d].

Symbols: B batch; K neighbours; I = 1 + K; F fields; d embedding; R = (F + 1)·d.
Cost: O(F·I·d²) a round and sample, and the head.
DEVIATION(PET, PET.py): the target starts from zero, as its comment says; its code draws that row
anew. Dropout is 0 and the head has no BatchNorm, as elsewhere here; there .1, and it has. The head
reads the target's ids too; that of PET.py, which reads the target alone, is `read_ids=False`.
DEVIATION(PET, README.md): d is the study's, 16 by default, on every data set; there 32 on Alipay.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import IdEmbedding, PropagationLayer
from rokkit.layers.propagation import Graph, Sharing, activated
from rokkit.models.base import Backbone, HeadConfig, flat, join
from rokkit.models.registry import register_teacher


@dataclass(frozen=True, kw_only=True)
class PETConfig(HeadConfig):
    """Settings of PET. Raises ConfigError for a value outside its range."""

    init_std: float = 0.1  # σ of the id table and the label tables, as for RIM
    rounds: int = 3  # of messages; a label needs two to reach the target's node
    neighbours: int = 10  # that it reads, the best first (PET.py); 0: all it is given
    read_ids: bool = True  # r holds the target's ids beside its node

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.rounds >= 2, "rounds", self.rounds, "at least 2, to reach the neighbours")
        require(self.neighbours >= 0, "neighbours", self.neighbours, "at least 0, which is all")


@register_teacher("pet", config=PETConfig, family="retrieval", paper="NeurIPS'22")
class PET(Backbone):
    """Messages between a target, its neighbours and their ids, then an MLP.

    Beside the head of R + E inputs: 10·d² + 5·d parameters a round, 7·d² + 4·d in the last, 6·d of
    labels and 2·d of the norm. A round takes about 13·F·I·d² multiplications a row, the one
    before the last half as many.
    """

    needs = frozenset({"neighbours"})
    over_shared_ids = True  # there is no other way in the graph: a neighbour without any is unseen

    def __init__(self, schema: Schema, config: PETConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        d = config.embed_dim
        self.labels = nn.Embedding(2, d)  # L
        self.edge_labels = nn.Embedding(2, 2 * d)  # L', of edges to an instance and from it
        for table in (self.labels, self.edge_labels):
            nn.init.normal_(table.weight, std=config.init_std)
        self.rounds = nn.ModuleList(
            PropagationLayer(d, following) for following in reversed(range(config.rounds))
        )
        self.norm = nn.LayerNorm(d)
        self.head = config.head(self.representation_dim + extra_dim)

    @property
    def representation_dim(self) -> int:
        """R."""
        read = self.schema.n_fields if self.config.read_ids else 0
        return (read + 1) * int(self.config.embed_dim)

    @property
    def representation_blocks(self) -> dict[str, slice]:
        """Where in r the target's node and, if they are read, its ids lie."""
        ids = self.representation_dim - int(self.config.embed_dim)
        target = {"target": slice(ids, self.representation_dim)}
        return {"ids": slice(0, ids)} | target if ids else target

    def aggregate(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B R"]:
        """r; for a row without neighbours what the target's own ids give."""
        graph, sharing = self._start(batch, embedding)
        dropout = self.config.dropout if self.training else 0.0
        for layer in self.rounds:
            graph = activated(layer(graph, sharing), sharing, self.norm, dropout)
        target, ids = graph.instances[:, 0], flat(graph.ids[:, :, 0])
        return join(ids, target) if self.config.read_ids else target

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B R"]:
        """φ = r."""
        return self.aggregate(batch, embedding)

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        logits: Tensor = self.head(join(self.aggregate(batch, embedding), extra)).squeeze(1)
        return logits

    def _start(self, batch: Batch, embedding: IdEmbedding) -> tuple[Graph, Sharing]:
        assert batch.neighbours is not None
        assert batch.neighbour_labels is not None
        assert batch.neighbour_mask is not None
        read = slice(None, self.config.neighbours or None)
        ids = torch.cat([batch.x[:, None], batch.neighbours[:, read]], 1).transpose(1, 2)
        mask = functional.pad(batch.neighbour_mask[:, read], (1, 0), value=True)
        instances, edges = (  # the target has zeros
            functional.pad(table(batch.neighbour_labels[:, read]), (0, 0, 1, 0))
            for table in (self.labels, self.edge_labels)
        )
        inward, outward = edges[:, None].chunk(2, -1)  # [B, 1, I, d]: those of all fields alike
        return Graph(instances, embedding(ids), inward, outward), Sharing.of(ids, mask)
