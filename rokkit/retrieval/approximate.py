"""Approximate dense search, by faiss: fewer rows are compared, and a near one may be missed.

Cells     rows are parted by the nearest of C centres (k-means), and a query is compared with the
          rows of its nearest cells alone (Sivic and Zisserman, ICCV'03)
Graph     a graph of near vectors is walked (HNSW, Malkov and Yashunin, TPAMI'20): a query costs
          about log U steps, the figure ROK quotes for DERT, and the graph is dear to build

Either holds distinct rows only: copies of one vector would fill a cell, and be each other's nearest
in a graph and cut it into islands.

Symbols: U distinct rows of the pool; D width of a vector; b queries.
"""

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.errors import ConfigError
from rokkit.files import slices
from rokkit.retrieval.dense import DenseIndex

ROWS = 65536  # added at once


@dataclass(frozen=True, kw_only=True)
class CellsConfig:
    """Settings of the cells. Raises ConfigError for a value outside its range."""

    cells: int = 2048  # C; fewer where the pool has not 39 distinct rows for each
    probes: int = 16  # cells that a query is compared with
    rounds: int = 10  # of k-means
    sample: int = 64  # rows per cell, at most, that k-means sees

    def __post_init__(self) -> None:
        for name in ("cells", "probes", "rounds", "sample"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")


class VectorCells:
    """The distinct rows of an index in cells, to be handed to its `search_among`.

    It is built by one thread from a fixed seed and holds U·(4·D + 8) bytes; searching uses all
    threads.
    """

    LEAST = 39  # rows that faiss wants to see for each centre

    def __init__(self, index: DenseIndex, config: CellsConfig | None = None) -> None:
        """ConfigError if faiss is not installed."""
        begun = time.perf_counter()
        self.config = config or CellsConfig()
        self._faiss = library()
        count = max(1, min(self.config.cells, index.n_distinct // self.LEAST))
        metric = self._faiss.METRIC_INNER_PRODUCT
        self._centres = self._faiss.IndexFlatIP(index.dim)
        self._held = self._faiss.IndexIVFFlat(self._centres, index.dim, count, metric)
        self._held.cp.niter = self.config.rounds
        self._held.cp.max_points_per_centroid = self.config.sample
        self._held.cp.min_points_per_centroid = 1  # no warning about few: LEAST has seen to it
        with _one_thread(self._faiss):
            every = max(1, index.n_distinct // (count * self.config.sample))
            self._held.train(index.distinct(slice(None, None, every)))
            _add_all(self._held, index)
        self.n_bytes = index.n_distinct * (4 * index.dim + 8)
        self.build_seconds = time.perf_counter() - begun  # wall time

    def __call__(self, vectors: NDArray[np.float32], n: int) -> NDArray[np.int64]:
        """The n distinct rows [b, n] nearest to each of `vectors` [b, D] in its nearest cells."""
        probes = self._faiss.SearchParametersIVF(nprobe=self.config.probes)
        found: NDArray[np.int64] = self._held.search(vectors, n, params=probes)[1]
        return found


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """Settings of the graph. Raises ConfigError for a value outside its range."""

    links: int = 32  # per vector, twice as many on the ground floor (HNSW's M)
    build_effort: int = 200  # vectors looked at to find them (efConstruction)
    search_effort: int = 100  # vectors kept in view by a query (efSearch; search.py of DERT's)

    def __post_init__(self) -> None:
        require(self.links >= 2, "links", self.links, "at least 2")
        require(self.build_effort >= 1, "build_effort", self.build_effort, "at least 1")
        require(self.search_effort >= 1, "search_effort", self.search_effort, "at least 1")


class VectorGraph:
    """The distinct rows of an index in a graph, to be handed to its `search_among`.

    It is built by one thread, because several would make another graph each time (faiss, issue
    983), and holds U·(4·D + 8·links) bytes; searching uses all threads.
    """

    def __init__(self, index: DenseIndex, config: GraphConfig | None = None) -> None:
        """ConfigError if faiss is not installed."""
        begun = time.perf_counter()
        self.config = config or GraphConfig()
        self._faiss = library()
        self._graph = self._faiss.IndexHNSWFlat(
            index.dim, self.config.links, self._faiss.METRIC_INNER_PRODUCT
        )
        self._graph.hnsw.efConstruction = self.config.build_effort
        with _one_thread(self._faiss):
            _add_all(self._graph, index)
        self.n_bytes = index.n_distinct * (4 * index.dim + 8 * self.config.links)
        self.build_seconds = time.perf_counter() - begun  # wall time

    def __call__(self, vectors: NDArray[np.float32], n: int) -> NDArray[np.int64]:
        """The n distinct rows [b, n] that a walk finds nearest to each of `vectors` [b, D]."""
        effort = self._faiss.SearchParametersHNSW(efSearch=max(n, self.config.search_effort))
        found: NDArray[np.int64] = self._graph.search(vectors, n, params=effort)[1]
        return found


Approximation = CellsConfig | GraphConfig


def approximation(index: DenseIndex, config: Approximation) -> VectorCells | VectorGraph:
    """What `config` is of; ConfigError if faiss is not installed."""
    made = VectorCells if isinstance(config, CellsConfig) else VectorGraph
    return made(index, config)  # type: ignore[arg-type]


def library() -> Any:
    """The module faiss; ConfigError with the remedy where it is not installed."""
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise ConfigError(
            "approximate dense retrieval needs faiss, which is not installed: "
            "pip install 'rokkit[dense]'. Exact dense retrieval needs nothing more."
        ) from None


def _add_all(held: Any, index: DenseIndex) -> None:
    """Add the distinct rows of `index` to an index of faiss."""
    for rows in slices(index.n_distinct, ROWS):
        held.add(index.distinct(rows))


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
