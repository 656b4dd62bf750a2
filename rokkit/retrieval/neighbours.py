"""The stored neighbours of each sample: searched once, read ever after."""

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.data.causal import known_before
from rokkit.data.samples import Samples
from rokkit.errors import ArtefactError, ConfigError
from rokkit.files import made_once, read_json
from rokkit.paths import shown
from rokkit.retrieval import index_files
from rokkit.retrieval.bm25 import BM25Index, Progress
from rokkit.retrieval.checks import check_k
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


def neighbours(
    samples: Samples,
    part: str,
    k: int,
    fields: tuple[str, ...] | None = None,
    progress: Progress | None = None,
) -> Neighbours:
    """The `k` nearest pool rows of every sample of `part` ("train", "val" or "test").

    `fields` are the names of the fields to match on (None: those of the schema); their order does
    not matter. Index and table are kept in the samples' folder, under names made of what they
    depend on, and read from there the next time; processes that ask at once wait for the first.
    `progress(done, total)` is called as samples are answered.

    Nothing but the split in time keeps a sample from what came after it, so the pool itself, whose
    rows would find themselves, is refused (RIM's protocol: no target is in the pool).

    Raises ConfigError for a part or field that does not exist and for a `k` outside 1..pool rows,
    and ArtefactError for stored files that are damaged.
    """
    return _stored(_Table(samples, part, k, _check(samples, part, k, fields)), progress)


def pool_neighbours(
    samples: Samples,
    rows: NDArray[np.int64],
    k: int,
    fields: tuple[str, ...] | None = None,
    progress: Progress | None = None,
) -> Neighbours:
    """The `k` nearest pool rows of the pool's own `rows` [P], each of them left out of its answer.

    No more than the row itself is left out: one that equals it in every field is a neighbour, as it
    is of a target that repeats it, and so is a later one. The weights are those of the whole pool.
    The table is kept as by `neighbours`, under a name made of the rows too.

    Raises ConfigError for a field that does not exist and for a `k` outside 1..pool rows - 1,
    DataError for rows that the pool does not have, and ArtefactError for damaged files.
    """
    return _stored(_pool_table(samples, rows, k, fields), progress)


def neighbour_meta(
    samples: Samples, part: str, k: int, fields: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """What is known of a stored table: how it was made and what it cost.

    Keys: "format", "part", "k", "fields", "queries", "pool_rows", "build_seconds" (of the index)
    and "search_seconds" (both wall time), "rows_touched" (mean per query).

    Raises ArtefactError if `neighbours` has not been called for it.
    """
    return _Table(samples, part, k, _check(samples, part, k, fields)).meta()


def pool_neighbour_meta(
    samples: Samples, rows: NDArray[np.int64], k: int, fields: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """The same of a table of `pool_neighbours`, whose part is "pool"."""
    return _pool_table(samples, rows, k, fields).meta()


@dataclass(frozen=True)
class BM25Retriever:
    """The functions above for one pool and choice of fields; a `DenseRetriever` has the same."""

    samples: Samples
    fields: tuple[str, ...] | None = None

    def neighbours(self, part: str, k: int, progress: Progress | None = None) -> Neighbours:
        """As `neighbours`."""
        return neighbours(self.samples, part, k, self.fields, progress)

    def pool_neighbours(
        self, rows: NDArray[np.int64], k: int, progress: Progress | None = None
    ) -> Neighbours:
        """As `pool_neighbours`."""
        return pool_neighbours(self.samples, rows, k, self.fields, progress)

    def meta(self, part: str, k: int) -> dict[str, Any]:
        """As `neighbour_meta`."""
        return neighbour_meta(self.samples, part, k, self.fields)

    def pool_meta(self, rows: NDArray[np.int64], k: int) -> dict[str, Any]:
        """As `pool_neighbour_meta`."""
        return pool_neighbour_meta(self.samples, rows, k, self.fields)

    def ask(self, q: NDArray[np.int32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(ids, scores) of queries [B, F] that come one by one; nothing is kept."""
        return self._index.search(q, k)

    @property
    def index_bytes(self) -> int:
        """Size of the index, which holds the searched fields; the pool itself is not in it."""
        return self._index.n_bytes

    @cached_property
    def _index(self) -> BM25Index:
        return open_index(self.samples, self.fields)


def open_index(samples: Samples, fields: tuple[str, ...] | None = None) -> BM25Index:
    """The index of the pool on `fields` (None: those of the schema), built if it is not stored.

    Raises ConfigError for a field that does not exist and ArtefactError for damaged files.
    """
    return _index(samples, field_columns(samples, fields))


@dataclass(frozen=True)
class _Table:
    """A table of neighbours, stored or not."""

    samples: Samples
    part: str
    k: int
    columns: tuple[int, ...]
    rows: NDArray[np.int64] | None = None  # of the part; None: all of them

    def __len__(self) -> int:
        return len(self.samples.part(self.part)) if self.rows is None else len(self.rows)

    @property
    def queries(self) -> NDArray[np.int32]:
        """The rows that are searched for."""
        x = self.samples.part(self.part).x
        return x if self.rows is None else x[self.rows]

    @property
    def before(self) -> NDArray[np.int64] | None:
        """[B]: how much of the pool each query may see; None: all of it."""
        if not self.samples.causal:
            return None
        time = np.asarray(self.samples.part(self.part).time)
        return known_before(np.asarray(self.samples.pool.time), time)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        held: dict[str, Any] = {"part": self.part, "k": int(self.k), "columns": self.columns}
        if self.rows is not None:
            held["rows"] = hashlib.sha256(self.rows.tobytes()).hexdigest()
        # The samples' folder stands for their fingerprint, so the key does not hold it.
        return self.samples.folder / "neighbours" / f"{self.part}-k{self.k}-{_key(**held)}"

    def meta(self) -> dict[str, Any]:
        """`meta.json`; ArtefactError if the table is not stored."""
        found: dict[str, Any] = read_json(self.folder / "meta.json")
        return found


def _pool_table(
    samples: Samples, rows: NDArray[np.int64], k: int, fields: tuple[str, ...] | None
) -> _Table:
    pool = len(samples.pool)
    check_k(k, pool)
    if samples.causal:
        raise ConfigError(
            "the samples are causal: all rows before test are train samples already; expected no "
            "rows of the pool beside them."
        )
    rows = check_pool_rows(rows, k, pool)
    return _Table(samples, "pool", k, field_columns(samples, fields), rows)


def _stored(table: _Table, progress: Progress | None) -> Neighbours:
    """The table, searched for first if it is not stored yet."""
    return stored(table.folder, (len(table), table.k), lambda: _search(table, progress))


def _check(samples: Samples, part: str, k: int, fields: tuple[str, ...] | None) -> tuple[int, ...]:
    """The columns to search; ConfigError for what cannot be asked for."""
    check_target(part)
    check_k(k, len(samples.pool))
    return field_columns(samples, fields)


def _key(**parts: Any) -> str:
    text = json.dumps({"format": FORMAT, "engine": "bm25", **parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _index(samples: Samples, columns: tuple[int, ...]) -> BM25Index:
    key = _key(columns=columns, index=index_files.FORMAT)
    folder = samples.folder / "index" / f"bm25-{key}"

    def make() -> None:
        BM25Index.build(samples.pool.x, columns).save(folder)

    made_once(folder, make)
    index = BM25Index.open(folder)
    if index.n_rows != len(samples.pool) or index.fields != columns:
        raise ArtefactError(
            f"{shown(folder)} indexes {index.n_rows} rows on columns {index.fields}; expected "
            f"{len(samples.pool)} rows on {columns}. Remove the folder and run again."
        )
    return index


def _search(table: _Table, progress: Progress | None) -> Answer:
    samples, rows = table.samples, table.rows
    index, q = _index(samples, table.columns), table.queries
    begun = time.perf_counter()
    one_more = table.k + (rows is not None)  # the row itself, mostly
    ids, scores, touched = index.search_with_effort(q, one_more, table.before, progress=progress)
    if rows is not None:
        ids, scores = without_itself(ids, scores, rows)
    meta = {
        "format": FORMAT,
        "part": table.part,
        "k": int(table.k),
        "fields": [samples.schema.fields[c].name for c in table.columns],
        "queries": len(q),
        "pool_rows": index.n_rows,
        "build_seconds": index.build_seconds,
        "search_seconds": time.perf_counter() - begun,
        "rows_touched": float(touched.mean()) if len(q) else 0.0,
    }
    return ids, scores, meta
