"""What several models share."""

from rokkit.layers.affine import Affine
from rokkit.layers.attention import (
    ActivationUnit,
    BehaviourAttention,
    BilinearUnit,
    NeighbourAttention,
    masked_softmax,
)
from rokkit.layers.batch_norm import BatchNorm
from rokkit.layers.dice import Dice
from rokkit.layers.embedding import FieldEmbedding, IdEmbedding, JoinedEmbedding
from rokkit.layers.interaction import pair_count, pairwise_products
from rokkit.layers.mlp import MLP, hidden_layers

__all__ = [
    "MLP",
    "ActivationUnit",
    "Affine",
    "BatchNorm",
    "BehaviourAttention",
    "BilinearUnit",
    "Dice",
    "FieldEmbedding",
    "IdEmbedding",
    "JoinedEmbedding",
    "NeighbourAttention",
    "hidden_layers",
    "masked_softmax",
    "pair_count",
    "pairwise_products",
]
