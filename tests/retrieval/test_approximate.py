"""The approximate search: what it finds it scores as the exact one; without faiss it says so."""

import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from rokkit.errors import ConfigError
from rokkit.retrieval.approximate import CellsConfig, GraphConfig, VectorCells, VectorGraph
from rokkit.retrieval.dense import DenseIndex
from rokkit.retrieval.dense_neighbours import recall
from rokkit.retrieval.neighbours import Neighbours


def made(rows: int, seed: int = 0) -> np.ndarray:
    """[rows, 3]: ids 1..60, 61..360 and 361..380, the last a function of the second."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 300, rows)
    return np.column_stack([rng.integers(1, 61, rows), 61 + item, 361 + item % 20]).astype(np.int32)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """faiss and torch may share one OpenMP: a number of threads left behind is torch's too."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def index() -> DenseIndex:
    table = np.random.default_rng(0).normal(size=(381, 8)).astype(np.float32)
    table[0] = 0
    return DenseIndex.build(made(6000), table)


class FakeGraph:
    """What rokkit uses of faiss.IndexHNSWFlat, by comparing with everything."""

    def __init__(self, dim: int, links: int, metric: int) -> None:
        self.made = (dim, links, metric)
        self.hnsw = types.SimpleNamespace()
        self.held = np.empty((0, dim), np.float32)
        self.efforts: set[int] = set()

    def add(self, vectors: np.ndarray) -> None:
        assert FakeFaiss.threads == 1
        self.held = np.concatenate([self.held, vectors])

    def search(self, q: np.ndarray, n: int, params: Any) -> tuple[np.ndarray, np.ndarray]:
        assert FakeFaiss.threads == 7
        self.efforts.add(params.efSearch)
        found = np.argsort(-(q @ self.held.T), axis=1, kind="stable")[:, :n]
        found[:, -1] = -1  # as faiss does where a walk ends early
        return np.zeros(found.shape), found


class FakeFaiss(types.ModuleType):
    """The functions of faiss that are used."""

    threads = 7
    METRIC_INNER_PRODUCT = 0
    IndexHNSWFlat = FakeGraph
    SearchParametersHNSW = types.SimpleNamespace

    @staticmethod
    def omp_get_max_threads() -> int:
        return FakeFaiss.threads

    @staticmethod
    def omp_set_num_threads(n: int) -> None:
        FakeFaiss.threads = n


def test_a_walk_that_misses_the_last_row_gives_the_others_as_the_exact_search(
    index: DenseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", FakeFaiss("faiss"))
    monkeypatch.setattr("rokkit.retrieval.approximate.ROWS", 1000)
    q = made(50, 1)
    graph = VectorGraph(index, GraphConfig(links=5, build_effort=9, search_effort=12))
    ids, scores = index.search_among(q, 10, graph)
    held = graph._graph
    np.testing.assert_array_equal(held.held, index.distinct(slice(None)))
    assert (held.made, held.hnsw.efConstruction, held.efforts) == ((24, 5, 0), 9, {12})
    assert FakeFaiss.threads == 7  # as before
    wanted = index.search(q, 10)
    for b in range(len(q)):  # the tenth distinct row is missed, its copies may be in the answer
        kept = np.isin(wanted[0][b], ids[b])
        assert kept.sum() >= 9
        np.testing.assert_array_equal(ids[b][: kept.sum()], wanted[0][b][kept])
        np.testing.assert_array_equal(scores[b][: kept.sum()], wanted[1][b][kept])
    index.search_among(q, 30, graph)
    assert held.efforts == {12, 30}  # at least as many as are asked for


def test_without_the_library_the_remedy_is_named(
    index: DenseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    for way in (VectorGraph, VectorCells):
        with pytest.raises(ConfigError, match=r"faiss, which is not installed: pip install 'rokk"):
            way(index)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        *((GraphConfig, name) for name in ("links", "build_effort", "search_effort")),
        *((CellsConfig, name) for name in ("cells", "probes", "rounds", "sample")),
    ],
)
def test_settings_out_of_range_are_refused(config: type, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0; expected at least"):
        config(**{name: 0})


def test_recall_is_by_scores() -> None:
    ids = np.array([[3, 1, -1], [2, 0, 1], [-1, -1, -1]], np.int32)
    wanted = Neighbours(ids, np.array([[0.9, 0.8, 0], [1, 0.9, 0.5], [0, 0, 0]], np.float32))
    assert recall(wanted, wanted) == 1
    found = Neighbours(  # a missed first row moves the others up; 0.5 has a twin
        np.array([[1, -1, -1], [0, 5, 7], [-1, -1, -1]], np.int32),
        np.array([[0.8, 0, 0], [0.9, 0.5, 0.4], [0, 0, 0]], "f4"),
    )
    assert recall(found, wanted) == pytest.approx(3 / 5)  # 0.8; 0.9 and 0.5
    nothing = Neighbours(np.full((2, 1), -1, np.int32), np.zeros((2, 1), np.float32))
    assert recall(nothing, nothing) == 1


def test_the_real_library_finds_nearly_all_and_the_same_each_time(index: DenseIndex) -> None:
    pytest.importorskip("faiss", reason="pip install 'rokkit[dense]'")
    importlib.import_module("faiss").omp_set_num_threads(2)  # must not matter
    q = made(300, 1)
    wanted = Neighbours(*index.search(q, 10))
    found = Neighbours(*index.search_among(q, 10, VectorGraph(index)))
    again = Neighbours(*index.search_among(q, 10, VectorGraph(index)))
    assert recall(found, wanted) > 0.98
    np.testing.assert_array_equal(found.ids, again.ids)
    np.testing.assert_array_equal(found.scores, again.scores)
    hurried = VectorGraph(index, GraphConfig(links=2, build_effort=2, search_effort=1))
    worse = Neighbours(*index.search_among(q, 10, hurried))
    assert recall(worse, wanted) < recall(found, wanted)


def test_cells_that_are_all_looked_at_give_the_exact_answer(index: DenseIndex) -> None:
    pytest.importorskip("faiss", reason="pip install 'rokkit[dense]'")
    q = made(100, 1)
    cells = VectorCells(index, CellsConfig(cells=20, probes=20))
    ids, scores = index.search_among(q, 10, cells)
    wanted, best = index.search(q, 10)
    np.testing.assert_array_equal(scores, best)
    assert (ids == wanted).mean() > 0.99  # rows of equal float32 score may be cut either way


def test_more_cells_looked_at_find_more_and_threads_change_nothing(index: DenseIndex) -> None:
    faiss = pytest.importorskip("faiss", reason="pip install 'rokkit[dense]'")
    q = made(300, 1)
    wanted = Neighbours(*index.search(q, 10))
    found = {}
    for probes, threads in ((1, 1), (1, 2), (8, 2)):
        faiss.omp_set_num_threads(threads)
        cells = VectorCells(index, CellsConfig(cells=30, probes=probes))
        found[probes, threads] = Neighbours(*index.search_among(q, 10, cells))
    np.testing.assert_array_equal(found[1, 1].ids, found[1, 2].ids)
    few, many = (recall(found[probes, 2], wanted) for probes in (1, 8))
    assert 0.2 < few < many
    assert many > 0.9


def test_a_small_pool_has_fewer_cells() -> None:
    pytest.importorskip("faiss", reason="pip install 'rokkit[dense]'")
    table = np.random.default_rng(0).normal(size=(381, 8)).astype(np.float32)
    for rows, cells in ((1, 1), (78, 2), (200, 5)):
        index = DenseIndex.build(np.unique(made(6000), axis=0)[:rows], table)
        held = VectorCells(index)
        assert held._held.nlist == cells
        ids, _ = index.search_among(made(3, 1), 1, held)
        np.testing.assert_array_equal(ids, index.search(made(3, 1), 1)[0])
