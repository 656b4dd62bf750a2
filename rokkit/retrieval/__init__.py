"""Retrieval: the exact BM25 index and the stored neighbour tables."""

from rokkit.retrieval.bm25 import BM25Index
from rokkit.retrieval.neighbours import Neighbours, neighbour_meta, neighbours, open_index

__all__ = ["BM25Index", "Neighbours", "neighbour_meta", "neighbours", "open_index"]
