"""The stored dense neighbours of each sample, as `neighbours` stores those of BM25."""

import hashlib
import json
import time
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.data.samples import Samples
from rokkit.errors import ConfigError
from rokkit.files import read_json
from rokkit.retrieval.approximate import Approximation, VectorCells, VectorGraph, approximation
from rokkit.retrieval.bm25 import Progress
from rokkit.retrieval.checks import check_k
from rokkit.retrieval.dense import DenseIndex
from rokkit.retrieval.tables import (
    Answer,
    Neighbours,
    check_pool_rows,
    check_target,
    field_columns,
    stored,
    without_itself,
)

FORMAT = 1  # of the tables, and of what a search answers


class DenseRetriever:
    """Finds the nearest pool rows of samples by an id table, and keeps what it found.

    Tables lie in the samples' folder beside those of BM25, under names made of what they depend
    on, the numbers in the id table included. The index, and what approximates a search of it, are
    made when the first table is not stored yet, once for all parts.
    """

    def __init__(
        self,
        samples: Samples,
        table: NDArray[np.float32],
        fields: tuple[str, ...] | None = None,
        approximate: Approximation | None = None,
    ) -> None:
        """`table` float32 [V, d] holds an embedding per id of the samples.

        `fields` are the names of the fields that make a vector (None: those of the schema), in any
        order; `approximate` says how to search but approximately (None: exact).

        Raises ConfigError for a field that does not exist and for a table of other ids.
        """
        if samples.causal:
            raise ConfigError(
                "the samples are causal, and a dense engine cannot leave later rows out; take "
                "engine 'bm25', or samples that are not causal."
            )
        n_ids = samples.schema.n_ids
        self.columns = field_columns(samples, fields)
        require(len(table) == n_ids, "ids in the table", len(table), str(n_ids))
        self.samples = samples
        self.approximate = approximate
        self._table = np.ascontiguousarray(table)
        self._digest = hashlib.sha256(self._table.data).hexdigest()

    def neighbours(self, part: str, k: int, progress: Progress | None = None) -> Neighbours:
        """The `k` nearest pool rows of every sample of `part` ("train", "val" or "test").

        Processes that ask at once wait for the first. `progress(done, total)` is called as samples
        are answered. Raises ConfigError for a part that does not exist, a `k` outside 1..pool rows
        and an approximate search without the library for it, and ArtefactError for damaged files.
        """
        check_target(part)
        return self._stored(part, None, k, progress)

    def pool_neighbours(
        self, rows: NDArray[np.int64], k: int, progress: Progress | None = None
    ) -> Neighbours:
        """The `k` nearest of the pool's own `rows` [P], each of them left out of its answer.

        No more than the row itself is left out, as by `rokkit.retrieval.pool_neighbours`; raises
        what it raises.
        """
        return self._stored("pool", self._pool_rows(rows, k), k, progress)

    def meta(self, part: str, k: int) -> dict[str, Any]:
        """What is known of a stored table: how it was made and what it cost.

        Keys: "format", "part", "k", "fields", "queries", "pool_rows", "distinct_rows",
        "approximate" (its kind and settings, or None), "build_seconds" and "search_seconds" (both
        wall time).

        Raises ArtefactError if `neighbours` has not been called for it.
        """
        check_target(part)
        return self._meta(self._folder(part, None, k))

    def pool_meta(self, rows: NDArray[np.int64], k: int) -> dict[str, Any]:
        """The same of a table of `pool_neighbours`, whose part is "pool"."""
        return self._meta(self._folder("pool", self._pool_rows(rows, k), k))

    def ask(self, q: NDArray[np.int32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(ids, scores) of queries [B, F] that come one by one; nothing is kept."""
        if self.approximate is None:
            return self._index.search(q, k)
        return self._index.search_among(q, k, self._candidates)

    @property
    def index_bytes(self) -> int:
        """Size of the index and of what approximates a search of it; the pool is not in it."""
        return self._index.n_bytes + (self._candidates.n_bytes if self.approximate else 0)

    @cached_property
    def _index(self) -> DenseIndex:
        return DenseIndex.build(self.samples.pool.x, self._table, self.columns)

    @cached_property
    def _candidates(self) -> VectorCells | VectorGraph:
        assert self.approximate is not None
        return approximation(self._index, self.approximate)

    @property
    def _described(self) -> dict[str, Any] | None:
        how = self.approximate
        return None if how is None else {"kind": type(how).__name__, **asdict(how)}

    def _pool_rows(self, rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        return check_pool_rows(rows, k, len(self.samples.pool))

    def _folder(self, part: str, rows: NDArray[np.int64] | None, k: int) -> Path:
        check_k(k, len(self.samples.pool))
        held = {
            "format": FORMAT,
            "engine": "dense",
            "table": self._digest,
            "part": part,
            "k": int(k),
            "columns": self.columns,
            "approximate": self._described,
            "rows": None if rows is None else hashlib.sha256(rows.tobytes()).hexdigest(),
        }
        key = hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()[:12]
        return self.samples.folder / "neighbours" / f"{part}-k{k}-dense-{key}"

    def _stored(
        self, part: str, rows: NDArray[np.int64] | None, k: int, progress: Progress | None
    ) -> Neighbours:
        """The table, searched for first if it is not stored yet."""
        queries = len(self.samples.part(part) if rows is None else rows)
        return stored(
            self._folder(part, rows, k),
            (queries, k),
            lambda: self._search(part, rows, k, progress),
        )

    def _meta(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = read_json(folder / "meta.json")
        return found

    def _search(
        self, part: str, rows: NDArray[np.int64] | None, k: int, progress: Progress | None
    ) -> Answer:
        x, index = self.samples.part(part).x, self._index
        q, n = (x, k) if rows is None else (x[rows], k + 1)
        made = index.build_seconds + (self._candidates.build_seconds if self.approximate else 0.0)
        begun = time.perf_counter()
        if self.approximate is None:
            ids, scores = index.search(q, n, progress=progress)
        else:
            ids, scores = index.search_among(q, n, self._candidates, progress=progress)
        if rows is not None:
            ids, scores = without_itself(ids, scores, rows)
        meta = {
            "format": FORMAT,
            "part": part,
            "k": int(k),
            "fields": [self.samples.schema.fields[c].name for c in self.columns],
            "queries": len(q),
            "pool_rows": index.n_rows,
            "distinct_rows": index.n_distinct,
            "approximate": self._described,
            "build_seconds": made,
            "search_seconds": time.perf_counter() - begun,
        }
        return ids, scores, meta


def recall(found: Neighbours, wanted: Neighbours) -> float:
    """The share of the `wanted` rows for which `found` has one as near; 1.0 where none is wanted.

    As near as the last one that is wanted of a query: by scores and not by rows, because among rows
    of equal score either answer is right.
    """
    there = wanted.ids >= 0
    last = np.where(there, wanted.scores, np.inf).min(1, keepdims=True)
    near = ((found.scores >= last) & (found.ids >= 0)).sum(1)
    return float(near.sum() / there.sum()) if there.any() else 1.0
