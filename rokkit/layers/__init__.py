"""What several models share."""

from rokkit.layers.addressing import usage_variance
from rokkit.layers.affine import Affine
from rokkit.layers.attention import (
    ActivationUnit,
    BehaviourAttention,
    BilinearUnit,
    fixed_shapes,
    masked_softmax,
)
from rokkit.layers.batch_norm import BatchNorm
from rokkit.layers.bipartite import id_nodes, to_ids, to_samples
from rokkit.layers.dice import Dice
from rokkit.layers.dropout import Dropout, dropped
from rokkit.layers.embedding import FieldEmbedding, IdEmbedding, JoinedEmbedding, together
from rokkit.layers.found import Found, attend_among, attend_picked, best, newest, picked, taken
from rokkit.layers.heads import HeadAttention, target_attention
from rokkit.layers.interaction import (
    FactorisationMachine,
    pair_count,
    pairwise_products,
    pairwise_sum,
)
from rokkit.layers.loops import loops_apply
from rokkit.layers.memory import MemoryState, UserMemory
from rokkit.layers.mlp import MLP, hidden_layers
from rokkit.layers.neighbour_attention import NeighbourAttention
from rokkit.layers.packing import PackedRows, Rows
from rokkit.layers.periodic import MemoryReader, PeriodicMemory, slot_covariance
from rokkit.layers.propagation import PropagationLayer
from rokkit.layers.rectified import HiddenLayers
from rokkit.layers.recurrence import GRU
from rokkit.layers.recurrent import AUGRU, NextBehaviour, StateActivationUnit, StateAttention
from rokkit.layers.search import (
    MatchSearch,
    ProductSearch,
    QueryAttention,
    inverse_frequencies,
    match_scores,
)
from rokkit.layers.selection import (
    FieldSelector,
    drawn,
    information_gain,
    log_likelihood,
    reinforce,
)
from rokkit.layers.self_attention import self_attended
from rokkit.layers.soft_search import search_and_attend

__all__ = [
    "AUGRU",
    "GRU",
    "MLP",
    "ActivationUnit",
    "Affine",
    "BatchNorm",
    "BehaviourAttention",
    "BilinearUnit",
    "Dice",
    "Dropout",
    "FactorisationMachine",
    "FieldEmbedding",
    "FieldSelector",
    "Found",
    "HeadAttention",
    "HiddenLayers",
    "IdEmbedding",
    "JoinedEmbedding",
    "MatchSearch",
    "MemoryReader",
    "MemoryState",
    "NeighbourAttention",
    "NextBehaviour",
    "PackedRows",
    "PeriodicMemory",
    "ProductSearch",
    "PropagationLayer",
    "QueryAttention",
    "Rows",
    "StateActivationUnit",
    "StateAttention",
    "UserMemory",
    "attend_among",
    "attend_picked",
    "best",
    "drawn",
    "dropped",
    "fixed_shapes",
    "hidden_layers",
    "id_nodes",
    "information_gain",
    "inverse_frequencies",
    "log_likelihood",
    "loops_apply",
    "masked_softmax",
    "match_scores",
    "newest",
    "pair_count",
    "pairwise_products",
    "pairwise_sum",
    "picked",
    "reinforce",
    "search_and_attend",
    "self_attended",
    "slot_covariance",
    "taken",
    "target_attention",
    "to_ids",
    "to_samples",
    "together",
    "usage_variance",
]
