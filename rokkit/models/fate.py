"""FATE: feature extrapolation networks (Wu et al., NeurIPS'21), over the graph of a batch.

Paper: "Towards Open-World Feature Extrapolation: An Inductive Graph Learning Approach", Figure 3
(section not checked: the paper was not at hand), after its public code, ctr/FATE-NN/model.py.

Samples t and ids i of a batch are nodes, with an edge wherever a sample has an id. Two layers of
means along the edges say anew what an id is, from the ids it occurs with:
    s_t = ν(A mean_{i of t} e_i + a)       u_i = ν(A' e_i + a)
    v_i = ν(B mean_{t of i} s_t + B' u_i + b)       ŷ = MLP(v_1 ⊕ … ⊕ v_F ⊕ extra)
e_i is an id's embedding, of e [B, F, d], as u and v; s is [B, d]; ν scales to length 1. (A is the
first layer's, B the second's; samples begin at zero, so the first layer brings ids nothing, and the
second's samples go nowhere.) Training drops each direction of an edge by chance (DropEdge), and
sets the e_i of some ids to zero, wherever they are in the batch: what is then left of them is what
a new id has too, its company.

Symbols: B batch; F fields; d embedding; E width of extra. Cost: O(F·d²) of the layers and
200(F·d + E) + 80·201 products of the head, a sample.
DEVIATION(FATE, ctr/FATE-NN/model.py): the graph is that of a batch, not of the whole id table. In
eval mode it is that of a single sample, mean_{t of i} s_t = s_t, so that no row depends on the rows
it is predicted with; there a batch of test rows is one graph, here with `graph` = batch. Test AUC
was the same within .0003 either way on movielens and on 200 households of journey (means of 2
seeds).
DEVIATION(FATE, ctr/FATE-NN): ids are zeroed one by one, as in the paper's first experiments
(uci/FATE-NN), not whole fields at once, which would leave little of four to eight fields; once a
step, with one optimiser for all, not five times with two. The MLP sees the v_i side by side, not
their sum: it has the widths of the other heads here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from rokkit.config import require
from rokkit.data.batch import Batch
from rokkit.data.schema import Schema
from rokkit.layers import IdEmbedding, id_nodes, to_ids, to_samples
from rokkit.models.base import Backbone, HeadConfig, flat, join
from rokkit.models.registry import register_backbone


@dataclass(frozen=True, kw_only=True)
class FATEConfig(HeadConfig):
    """Settings of FATE. Raises ConfigError for a value outside its range."""

    drop_edge: float = 0.5  # share of edges dropped in training, of each direction (main.py)
    drop_id: float = 0.2  # share of a batch's ids whose embedding training sets to zero
    graph: Literal["sample", "batch"] = "sample"  # that a prediction is made from

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("drop_edge", "drop_id"):
            share = getattr(self, name)
            require(0 <= share < 1, name, share, "a share from 0 to below 1")
        require(self.graph in ("sample", "batch"), "graph", self.graph, "sample or batch")


@register_backbone("fate", config=FATEConfig, family="feature", paper="NeurIPS'21")
class FATE(Backbone):
    """Two layers of messages between samples and ids, then an MLP.

    Dense parameters: 4d² + 2d of the layers and those of the head over F·d + E inputs. With the
    defaults and F = 8 fields: 1,056 + (128·200 + 200) + (200·80 + 80) + (80 + 1) = 43,017.
    """

    chance: ClassVar[Mapping[str, float]] = {"drop_edge": 0.0, "drop_id": 0.0}  # without any draws

    def __init__(self, schema: Schema, config: FATEConfig, extra_dim: int = 0) -> None:
        super().__init__(schema, config, extra_dim)
        d = config.embed_dim
        self.first = nn.Linear(d, d)  # A, a
        self.first_own = nn.Linear(d, d, bias=False)  # A'
        self.second = nn.Linear(d, d)  # B, b
        self.second_own = nn.Linear(d, d, bias=False)  # B'
        self.head = config.head(schema.n_fields * d + extra_dim)

    def represent(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B P"]:
        """φ = v_1 ⊕ … ⊕ v_F [B, F·d]."""
        return flat(self._propagate(batch, embedding))

    def forward(
        self, batch: Batch, embedding: IdEmbedding, extra: Float[Tensor, "B E"] | None = None
    ) -> Float[Tensor, "B"]:
        """Logits."""
        v = self._propagate(batch, embedding)
        logits: Tensor = self.head(join(flat(v), extra)).squeeze(1)
        return logits

    def _propagate(self, batch: Batch, embedding: IdEmbedding) -> Float[Tensor, "B F d"]:
        e = embedding(batch.x)
        if self.training:
            nodes = id_nodes(batch.x)
            e = e * self._kept(e[..., 0], self.config.drop_id).take(nodes)[..., None]
            to_t, to_i = (self._kept(e[..., 0], self.config.drop_edge) for _ in range(2))
            s = normalize(self.first(to_samples(e, to_t)), dim=-1)
            company = to_ids(s, nodes, to_i)
        else:
            s = normalize(self.first(to_samples(e)), dim=-1)
            alone = self.config.graph == "sample"
            company = s[:, None] if alone else to_ids(s, id_nodes(batch.x))
        u = normalize(self.first_own(e) + self.first.bias, dim=-1)
        v: Tensor = normalize(self.second(company) + self.second_own(u), dim=-1)
        return v

    def _kept(self, like: Float[Tensor, "B F"], dropped: float) -> Bool[Tensor, "B F"]:
        """By chance True for a share of 1 − `dropped`."""
        return torch.rand_like(like) >= dropped
