"""The graph of a batch: its samples on one side, its ids on the other, an edge where a sample has
an id.

Symbols: B samples; F ids of each; d width of a message.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def id_nodes(ids: Int[Tensor, "B F"]) -> Int[Tensor, "B F"]:
    """The number of the node at each place: equal where ids are equal, from 0, below B·F.

    By sorting, so that no shape depends on how many distinct ids there are.
    """
    held, order = ids.flatten().sort()
    rank = (held.diff(prepend=held[:1]) != 0).cumsum(0)
    return torch.empty_like(rank).scatter(0, order, rank).view(ids.shape)


def to_samples(
    ids: Float[Tensor, "B F d"], kept: Bool[Tensor, "B F"] | None = None
) -> Float[Tensor, "B d"]:
    """Each sample's mean over its ids, along the edges that are `kept`; zero without any."""
    if kept is None:
        return ids.mean(1)
    return (ids * kept[..., None]).sum(1) / kept.sum(1).clamp(min=1)[:, None]


def to_ids(
    samples: Float[Tensor, "B d"],
    nodes: Int[Tensor, "B F"],
    kept: Bool[Tensor, "B F"] | None = None,
) -> Float[Tensor, "B F d"]:
    """Each id's mean over the samples that have it, along the edges `kept`; zero without any.

    Given once for every place that the id is at; `nodes` are those of `id_nodes`.
    """
    node, (rows, fields) = nodes.flatten(), nodes.shape
    weight = samples.new_ones(rows * fields) if kept is None else kept.flatten().to(samples.dtype)
    messages = samples.repeat_interleave(fields, 0) * weight[:, None]
    total = messages.new_zeros(messages.shape).index_add(0, node, messages)
    count = weight.new_zeros(weight.shape).index_add(0, node, weight).clamp(min=1)
    return (total / count[:, None]).index_select(0, node).view(rows, fields, -1)
