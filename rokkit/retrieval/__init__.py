"""Retrieval: the exact BM25 index, dense indexes and the stored neighbour tables."""

import lazy_loader

# What is imported when it is asked for stands in __init__.pyi.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
