"""Tables of dense neighbours: right, stored once under what they depend on, and reused."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_samples import made_samples

from rokkit.data.samples import Samples
from rokkit.errors import ArtefactError, ConfigError, DataError
from rokkit.retrieval.approximate import CellsConfig, GraphConfig
from rokkit.retrieval.dense import DenseIndex
from rokkit.retrieval.dense_neighbours import DenseRetriever
from rokkit.retrieval.neighbours import neighbours


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return replace(made_samples(), folder=tmp_path)


@pytest.fixture
def table(samples: Samples) -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(samples.schema.n_ids, 4)).astype(np.float32)
    made[0] = 0
    return made


def stored(samples: Samples) -> list[str]:
    return sorted(p.name for p in (samples.folder / "neighbours").iterdir() if p.is_dir())


@pytest.mark.parametrize("fields", [None, ("brand", "user"), ("day",)])
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_equals_the_search(
    samples: Samples, table: np.ndarray, part: str, fields: tuple[str, ...] | None
) -> None:
    found = DenseRetriever(samples, table, fields).neighbours(part, 5)
    columns = [samples.schema.column(name) for name in fields or samples.schema.retrieval]
    ids, scores = DenseIndex.build(samples.pool.x, table, columns).search(samples.part(part).x, 5)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.scores, scores)


def test_second_time_it_is_read(
    samples: Samples, table: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = DenseRetriever(samples, table).neighbours("train", 4)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(DenseIndex, "search", never)
    monkeypatch.setattr(DenseIndex, "build", never)
    again = DenseRetriever(samples, table.copy(), ("item", "user")).neighbours("train", 4)
    np.testing.assert_array_equal(again.ids, first.ids)
    assert len(stored(samples)) == 1


def test_one_index_serves_all_parts(
    samples: Samples, table: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, calls = DenseIndex.build, []
    monkeypatch.setattr(DenseIndex, "build", lambda *a: calls.append(a) or build(*a))
    retriever = DenseRetriever(samples, table)
    for part in ("train", "val", "test"):
        retriever.neighbours(part, 3)
    assert len(calls) == 1


def test_a_table_is_named_by_all_it_depends_on(samples: Samples, table: np.ndarray) -> None:
    other = table.copy()
    other[5, 0] += 1e-3
    neighbours(samples, "train", 3)  # BM25's lies beside them
    DenseRetriever(samples, table).neighbours("train", 3)
    DenseRetriever(samples, table).neighbours("train", 4)
    DenseRetriever(samples, table).neighbours("test", 3)
    DenseRetriever(samples, table, ("user",)).neighbours("train", 3)
    DenseRetriever(samples, other).neighbours("train", 3)
    ways = (GraphConfig(), GraphConfig(search_effort=7), CellsConfig(), CellsConfig(probes=7))
    folders = {
        DenseRetriever(samples, table, None, way)._folder("train", None, 3).name for way in ways
    }
    assert len({*stored(samples), *folders}) == 10


def test_meta_tells_how_the_table_was_made(samples: Samples, table: np.ndarray) -> None:
    retriever, seen = DenseRetriever(samples, table), []
    retriever.neighbours("test", 3, lambda done, total: seen.append((done, total)))
    assert seen == [(32, 32)]
    meta = retriever.meta("test", 3)
    pool = samples.pool.x[:, :2]
    assert (meta["part"], meta["k"], meta["queries"], meta["pool_rows"]) == ("test", 3, 32, 80)
    assert meta["distinct_rows"] == len(np.unique(pool, axis=0))
    assert (meta["fields"], meta["approximate"]) == (["user", "item"], None)
    assert meta["build_seconds"] > 0
    assert meta["search_seconds"] > 0
    with pytest.raises(ArtefactError, match=r"meta\.json is missing"):
        retriever.meta("test", 4)


def test_asked_at_once_searched_once(
    samples: Samples, table: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, calls = DenseIndex.search, []
    monkeypatch.setattr(
        DenseIndex, "search", lambda self, *a, **k: calls.append(a) or search(self, *a, **k)
    )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: DenseRetriever(samples, table).neighbours("train", 4), range(4)))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("way", "described"),
    [
        (
            GraphConfig(links=8),
            {"kind": "GraphConfig", "links": 8, "build_effort": 200, "search_effort": 100},
        ),
        (
            CellsConfig(cells=2, probes=2),
            {"kind": "CellsConfig", "cells": 2, "probes": 2, "rounds": 10, "sample": 64},
        ),
    ],
)
def test_an_approximate_table_is_stored_with_its_settings(
    samples: Samples, table: np.ndarray, way: Any, described: dict[str, Any]
) -> None:
    pytest.importorskip("faiss", reason="pip install 'rokkit[dense]'")
    retriever = DenseRetriever(samples, table, None, way)
    found = retriever.neighbours("val", 5)
    exact = DenseRetriever(samples, table).neighbours("val", 5)
    assert (found.ids == exact.ids).mean() > 0.9
    meta = retriever.meta("val", 5)
    assert meta["approximate"] == described


def test_a_row_of_the_pool_is_left_out_of_its_own_answer(
    samples: Samples, table: np.ndarray
) -> None:
    x = samples.pool.x
    x[7] = x[3]  # an equal row is a neighbour, the row itself is not
    rows = np.array([7, 3, 20])
    retriever = DenseRetriever(samples, table)
    found = retriever.pool_neighbours(rows, 6)
    ids, scores = DenseIndex.build(x, table, (0, 1)).search(x[rows], 80)
    for i, row in enumerate(rows):
        others = ids[i] != row
        np.testing.assert_array_equal(found.ids[i], ids[i][others][:6])
        np.testing.assert_array_equal(found.scores[i], scores[i][others][:6])
    assert (found.ids[0] == 3).any()
    assert (found.ids[1] == 7).any()
    meta = retriever.pool_meta(rows, 6)
    assert (meta["part"], meta["queries"]) == ("pool", 3)
    retriever.pool_neighbours(rows[:2], 6)
    assert len(stored(samples)) == 2
    with pytest.raises(ConfigError, match="k is 80; expected at most 79"):
        retriever.pool_neighbours(rows, 80)
    with pytest.raises(DataError, match="expected numbers of the pool's 80 rows"):
        retriever.pool_neighbours(np.array([80]), 6)


def test_a_row_with_k_equal_ones_before_it_has_those(samples: Samples, table: np.ndarray) -> None:
    samples.pool.x[:] = samples.pool.x[0]
    found = DenseRetriever(samples, table).pool_neighbours(np.array([9, 1]), 3)
    assert found.ids.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("part", "k", "fields", "rows", "message"),
    [
        ("pool", 3, None, 51, r"part 'pool' is not known"),
        ("test", 81, None, 51, r"k is 81; expected an integer from 1 to 80"),
        ("test", 3, ("itme",), 51, r"field 'itme' is not known\. Did you mean 'item'"),
        ("test", 3, (), 51, r"at least one field"),
        ("test", 3, ("user", "user"), 51, r"distinct fields"),
        ("test", 3, None, 50, r"ids in the table is 50; expected 51"),
    ],
)
def test_bad_request_writes_nothing(
    samples: Samples,
    table: np.ndarray,
    part: str,
    k: int,
    fields: tuple[str, ...] | None,
    rows: int,
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        DenseRetriever(samples, table[:rows], fields).neighbours(part, k)
    assert not (samples.folder / "neighbours").exists()


def test_damaged_table_is_named(samples: Samples, table: np.ndarray) -> None:
    retriever = DenseRetriever(samples, table)
    retriever.neighbours("test", 4)
    (path,) = (samples.folder / "neighbours").glob("*/ids.npy")
    np.save(path, np.zeros((32, 3), np.int32))
    with pytest.raises(ArtefactError, match=r"ids\.npy is int32 \(32, 3\); expected"):
        retriever.neighbours("test", 4)
