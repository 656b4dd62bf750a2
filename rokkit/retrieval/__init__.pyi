"""Retrieval: the exact BM25 index, dense indexes and the stored neighbour tables."""

from .approximate import CellsConfig, GraphConfig, VectorCells, VectorGraph
from .bm25 import BM25Index
from .dense import DenseIndex
from .dense_neighbours import DenseRetriever, recall
from .neighbours import (
    BM25Retriever,
    neighbour_meta,
    neighbours,
    open_index,
    pool_neighbour_meta,
    pool_neighbours,
)
from .tables import Neighbours

__all__ = [
    "BM25Index",
    "BM25Retriever",
    "CellsConfig",
    "DenseIndex",
    "DenseRetriever",
    "GraphConfig",
    "Neighbours",
    "VectorCells",
    "VectorGraph",
    "neighbour_meta",
    "neighbours",
    "open_index",
    "pool_neighbour_meta",
    "pool_neighbours",
    "recall",
]
