"""Messages over the graph of one sample and its neighbours (PET, Du et al., NeurIPS'22).

The graph has a node per instance (the target, then its K neighbours) and a node per id that any of
them has, and edges both ways between an instance and each of its ids. With h the state of a node
and e that of an edge u → v, a layer is (PET.py of PET's public code)

    k_uv, v_uv = W_m (h_u∘e_uv ⊕ h_u) + b_m     q_v = W_q h_v + b_q     α_uv = softmax_u (q_v∘k_uv)
    h_v ← W_h (Σ_u α_uv∘v_uv ⊕ h_v) + b_h       e_uv ← W_e (h_u ⊕ h_v ⊕ e_uv) + b_e

where the softmax is taken for each dimension by itself, and the new edges see the new nodes.

Symbols: B batch; I = 1 + K instances; F fields; d width of a state. What belongs to an id, or to an
edge, is held at [b, f, i], once for every instance i that has the id: copies of one id are equal.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from rokkit.layers.dropout import dropped


class Graph(NamedTuple):
    """The states of all nodes and edges, as far as later layers read them.

    What is equal for all fields, or held for the first instance alone, may have size 1 there.
    """

    instances: Float[Tensor, "B #I d"]
    ids: Float[Tensor, "B F #I d"]
    inward: Float[Tensor, "B #F #I d"]  # of the edges from an id to an instance
    outward: Float[Tensor, "B #F #I d"]  # of those from an instance to an id


class Sharing(NamedTuple):
    """Which instances have one id in common."""

    same: Bool[Tensor, "B F I I"]  # whether instances i and j have the same id in a field
    first: Int[Tensor, "B F I"]  # the first instance that has it

    @classmethod
    def of(cls, ids: Int[Tensor, "B F I"], mask: Bool[Tensor, "B I"]) -> "Sharing":
        """An instance outside `mask` shares with nobody, whatever its ids."""
        alone = -1 - torch.arange(ids.shape[2], device=ids.device)
        ids = torch.where(mask[:, None], ids, alone)
        same = ids[..., :, None] == ids[..., None, :]
        return cls(same, same.int().argmax(-1))

    def one_of_each(self, copies: Float[Tensor, "B F I d"]) -> Float[Tensor, "B F I d"]:
        """The first copy of every id in place of the others."""
        first = self.first[:, :, : copies.shape[2], None]
        return copies.gather(2, first.expand_as(copies))


def shared_attention(
    scores: Float[Tensor, "B F I d"], values: Float[Tensor, "B #F I d"], sharing: Sharing
) -> Float[Tensor, "B F I d"]:
    """Σ_j softmax_j(scores) ∘ values over the instances j that have the id, for each dimension."""
    at = sharing.first[..., None].expand_as(scores)
    with torch.no_grad():
        highest = torch.full_like(scores, -torch.inf).scatter_reduce(2, at, scores, "amax")
        highest = highest.gather(2, at)
    weights = (scores - highest).exp()
    both = torch.cat([weights * values, weights], -1)
    # A product with a matrix of ones and zeros: sums by scattering depend on chance on a GPU.
    total, norm = (sharing.same.to(both.dtype) @ both).chunk(2, -1)
    return total / norm


def first_attention(
    scores: Float[Tensor, "B F I d"], values: Float[Tensor, "B #F I d"], sharing: Sharing
) -> Float[Tensor, "B F 1 d"]:
    """The same for the ids of the first instance alone."""
    has = sharing.same[:, :, 0, :, None]
    return (scores.masked_fill(~has, -torch.inf).softmax(2) * values).sum(2, keepdim=True)


class PropagationLayer(nn.Module):
    """One layer of messages, with the same weights in both directions.

    Only what reaches the first instance, the target, and its ids by the last layer is computed: in
    the last layer those alone; in the one before, of ids the target's alone, and of edges those at
    them. Nothing reads the others.
    """

    def __init__(self, dim: int, following: int) -> None:
        """States of width `dim`; `following` layers come after this one.

        10·dim² + 5·dim parameters; 7·dim² + 4·dim in the last, which leaves the edges as they are.
        """
        super().__init__()
        self.following = following
        self.message = nn.Linear(2 * dim, 2 * dim)  # W_m, b_m: keys, then values
        self.query = nn.Linear(dim, dim)  # W_q, b_q
        self.node = nn.Linear(2 * dim, dim)  # W_h, b_h
        self.edge = nn.Linear(3 * dim, dim) if following else None  # W_e, b_e

    def forward(self, graph: Graph, sharing: Sharing) -> Graph:
        """The states after one round of messages."""
        instances, ids, inward, outward = graph
        instances = instances[:, None]  # [B, 1, I, d]
        k, v = joint(self.message, instances * outward, instances).chunk(2, -1)
        read = ids if self.following > 1 else ids[:, :, :1]  # by the layers that follow
        attention = shared_attention if self.following > 1 else first_attention
        to_ids = attention(self.query(read) * k, v, sharing)
        if self.following == 0:
            instances, ids, inward = instances[:, :, :1], ids[:, :, :1], inward[:, :, :1]
        k, v = joint(self.message, ids * inward, ids).chunk(2, -1)
        to_instances = ((self.query(instances) * k).softmax(1) * v).sum(1, keepdim=True)

        instances = joint(self.node, to_instances, instances)
        ids = joint(self.node, to_ids, read)
        if self.edge is not None:
            at = ids.shape[2]
            inward = joint(self.edge, ids, instances[:, :, :at], inward[:, :, :at])
            outward = joint(self.edge, instances, ids, outward)
        return Graph(instances[:, 0], ids, inward, outward)


def activated(graph: Graph, sharing: Sharing, norm: nn.Module, dropout: float) -> Graph:
    """norm(ReLU(·)) of every state, a share of it dropped; an id's in all of its copies or none."""
    instances, ids, inward, outward = (norm(states.relu()) for states in graph)
    if dropout:
        instances, inward, outward, kept = (
            dropped(states, dropout)
            for states in (instances, inward, outward, torch.ones_like(ids))
        )
        ids = ids * sharing.one_of_each(kept)
    return Graph(instances, ids, inward, outward)


def joint(linear: nn.Linear, *parts: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """linear(a ⊕ b ⊕ …) for parts that broadcast, without putting them side by side.

    A part that many share, such as an instance among its ids, is multiplied once.
    """
    weights = torch.split(linear.weight, [part.shape[-1] for part in parts], 1)
    pairs = sorted(zip(parts, weights, strict=True), key=lambda pair: pair[0].numel())
    (smallest, weight), *others = pairs
    found: Tensor = functional.linear(smallest, weight, linear.bias)
    for part, weight in others:
        found = functional.linear(part, weight) + found
    return found
