"""Retrieval: the exact BM25 index, dense indexes and the stored neighbour tables."""

from rokkit.retrieval.approximate import CellsConfig, GraphConfig, VectorCells, VectorGraph
from rokkit.retrieval.bm25 import BM25Index
from rokkit.retrieval.dense import DenseIndex
from rokkit.retrieval.dense_neighbours import DenseRetriever, recall
from rokkit.retrieval.neighbours import (
    BM25Retriever,
    neighbour_meta,
    neighbours,
    open_index,
    pool_neighbour_meta,
    pool_neighbours,
)
from rokkit.retrieval.tables import Neighbours

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
