"""Dense retrieval: the pool rows whose vectors are nearest to a sample's (DERT, KDD'23).

A row's vector is made of the id table E of a trained model: the embeddings of its searched fields
side by side, divided by their length, so that a product of two vectors is their cosine:

    v = (E[x_1] ⊕ … ⊕ E[x_M]) / ‖E[x_1] ⊕ … ⊕ E[x_M]‖        score(q, x) = ⟨v_q, v_x⟩

(get_emb.py and search_faiss.py of the public prototype DenseRetrival.) Rows that agree in the
searched fields have one vector, and a pool holds many of those: each distinct row is compared once
and stands for all of its copies, which come back as neighbours of their own, each with its label.

Symbols: N rows of the pool, U distinct ones; B queries; M searched fields; d width of an embedding;
D = M·d.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.errors import DataError
from rokkit.files import slices
from rokkit.retrieval.bm25 import Progress
from rokkit.retrieval.checks import MAX_ROWS, check_k

QUERIES, VECTORS = 512, 4096  # compared at once: a block of products of 8 MB
PAIRS = 2**16  # scored at once
LOW = 0xFFFFFFFF
NONE = np.iinfo(np.int64).min  # the key of no row

# Of some queries' vectors [b, D] and a number n: n distinct rows for each, [b, n], -1 for none.
Candidates = Callable[[NDArray[np.float32], int], NDArray[np.int64]]


class DenseIndex:
    """N rows x F fields and the table that gives them vectors; made by `build`.

    Scores. ⟨v_q, v_x⟩ of the float32 vectors, summed in float64 and cast to float32 once. Rows are
    ordered by this score, and rows of equal score by row number, lower first: what is compared is
    what is returned. A row whose vector is zero (padding) finds nothing and is not found; any other
    query finds `k` rows, however far they are, for a cosine has no natural zero.
    """

    def __init__(
        self,
        table: NDArray[np.float32],
        x: NDArray[np.int32],
        columns: tuple[int, ...],
        rows: NDArray[np.int32],
        starts: NDArray[np.int64],
        build_seconds: float,
    ) -> None:
        self._table = table
        self._x = x
        self._columns = list(columns)
        self._rows = rows  # [N], the copies of each distinct row together, ascending
        self._starts = starts  # [U + 1], where those of each begin
        self.build_seconds = build_seconds  # wall time

    @classmethod
    def build(
        cls,
        x: NDArray[np.int32],
        table: NDArray[np.float32],
        fields: Sequence[int] | None = None,
    ) -> "DenseIndex":
        """Index the rows `x` int32 [N, F] on the columns `fields` (all by default).

        `table` float32 [V, d] holds an embedding per id. The order of `fields` does not matter.
        Raises DataError for an `x` or a `table` of another type or shape, without rows, with a
        number that is not finite, or with ids that the table does not have, and ConfigError for
        columns that do not exist.
        """
        begun = time.perf_counter()
        if table.dtype != np.float32 or table.ndim != 2 or 0 in table.shape:
            raise DataError(
                f"the table is {table.dtype} {table.shape}; expected float32 [ids, width]."
            )
        if not np.isfinite(table).all():
            raise DataError("the table holds numbers that are not finite; train its model again.")
        _check_ids(x, "x", None, len(table))
        if not 0 < len(x) <= MAX_ROWS:
            raise DataError(f"x has {len(x)} rows; an index takes 1 to {MAX_ROWS}.")
        columns = tuple(range(x.shape[1]) if fields is None else sorted(fields))
        known = set(columns) <= set(range(x.shape[1]))
        require(known, "fields", fields, f"column numbers from 0 to {x.shape[1] - 1}")
        distinct = 0 < len(set(columns)) == len(columns)
        require(distinct, "fields", fields, "distinct columns, at least one")
        rows, starts = _group(x[:, columns])
        return cls(table, x, columns, rows, starts, time.perf_counter() - begun)

    @property
    def n_rows(self) -> int:
        """N, the number of rows in the pool."""
        return len(self._rows)

    @property
    def n_bytes(self) -> int:
        """Size of what it holds besides the pool's ids and the table, of which vectors are made."""
        return self._rows.nbytes + self._starts.nbytes

    @property
    def n_distinct(self) -> int:
        """U, the number of rows that differ in a searched field."""
        return len(self._starts) - 1

    @property
    def fields(self) -> tuple[int, ...]:
        """The columns that are searched, ascending."""
        return tuple(self._columns)

    @property
    def dim(self) -> int:
        """D, the width of a vector."""
        return len(self._columns) * int(self._table.shape[1])

    def vectors(self, x: NDArray[np.int32]) -> NDArray[np.float32]:
        """The vectors [n, D] of rows [n, F], of length 1 or, for padding, 0."""
        found = self._table[x[:, self._columns]].reshape(len(x), self.dim)
        length = np.sqrt(np.square(found, dtype=np.float64).sum(1, keepdims=True))
        return (found / np.where(length > 0, length, 1)).astype(np.float32)

    def distinct(self, part: slice) -> NDArray[np.float32]:
        """The vectors of a slice of the distinct rows, which are ordered by their first copy."""
        return self.vectors(self._x[self._rows[self._starts[:-1][part]]])

    def search(
        self, q: NDArray[np.int32], k: int, *, progress: Progress | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The `k` best rows for each query of `q` int32 [B, F], by comparing it with all of them.

        Returns ids int32 [B, k], best first, -1 where there is none, and scores float32 [B, k], 0
        there. `progress(done, total)` is called with numbers of queries as the pool is gone
        through. Takes 2·B·U·D operations, in float32: what they cannot tell apart is scored again.

        Raises DataError for a `q` of another type or shape or an id that the table does not have,
        and ConfigError for a `k` outside 1..N.
        """
        self._check(q, k)
        best = np.full((len(q), min(k, self.n_distinct)), NONE)
        for pool in slices(self.n_distinct, VECTORS):
            vectors = self.distinct(pool)
            for part in slices(len(q), QUERIES):
                self._compare(self.vectors(q[part]), vectors, pool.start, best[part])
            if progress is not None:
                progress(len(q) * pool.stop // self.n_distinct, len(q))
        return self._answer(best, k)

    def search_among(
        self,
        q: NDArray[np.int32],
        k: int,
        candidates: Candidates,
        *,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """As `search`, but only among the distinct rows that `candidates(vectors, n)` names.

        It names each at most once. Scores are those of `search`, so a row that is found has the
        score and the place among the others that it has there.
        """
        self._check(q, k)
        n = min(k, self.n_distinct)
        best = np.full((len(q), n), NONE)
        for part in slices(len(q), QUERIES):
            asked = self.vectors(q[part])
            named = candidates(asked, n)
            query, place = np.nonzero((named >= 0) & asked.any(1, keepdims=True))
            row = named[query, place]
            own = self.vectors(self._x[self._rows[self._starts[row]]])
            there = own.any(1)
            keys = _keys(_scores(asked[query], own), row)
            _merge(best[part], query[there], keys[there])
            if progress is not None:
                progress(part.stop, len(q))
        return self._answer(best, k)

    def _check(self, q: NDArray[np.int32], k: int) -> None:
        _check_ids(q, "q", self._x.shape[1], len(self._table))
        check_k(k, self.n_rows)

    def _compare(
        self,
        q: NDArray[np.float32],
        vectors: NDArray[np.float32],
        first: int,
        best: NDArray[np.int64],
    ) -> None:
        """Let the distinct rows from number `first` on into `best` [b, n], where they belong."""
        rough = q @ vectors.T
        rough[~q.any(1)] = -np.inf
        rough[:, ~vectors.any(1)] = -np.inf
        # No product in float32 is further than this from the sum in float64, cast.
        error = np.float32((self.dim + 8) * 2.0**-24)
        worst = _score_of(best[:, -1])  # to be reached; -inf while there is room
        n = best.shape[1]
        near = rough >= np.maximum(worst - error, -2)[:, None]
        if n < len(vectors) and np.count_nonzero(near) > 4 * best.size:
            nth = np.partition(rough, len(vectors) - n, axis=1)[:, -n]
            near = rough >= np.maximum(np.maximum(worst, nth - error) - error, -2)[:, None]
        query, row = np.divmod(np.flatnonzero(near), len(vectors))
        for pairs in slices(len(query), PAIRS):
            i, j = query[pairs], row[pairs]
            _merge(best, i, _keys(_scores(q[i], vectors[j]), first + j))

    def _answer(
        self, best: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The first `k` copies of the distinct rows in `best`, in the order of all rows."""
        ids = np.full((len(best), k), -1, np.int32)
        scores = np.zeros((len(best), k), np.float32)
        for part in slices(len(best), QUERIES):
            held = best[part]
            at = np.where(held == NONE, 0, _row_of(held))
            first, count = self._starts[at], np.diff(self._starts)[at]
            copies = np.arange(k)
            there = (held != NONE)[..., None] & (copies < count[..., None])  # [b, n, k]
            row = self._rows[np.minimum(first[..., None] + copies, self.n_rows - 1)]
            keys = np.where(there, _keys(_score_of(held)[..., None], row), NONE)
            keys = ~np.sort(~keys.reshape(len(held), -1), axis=1)[:, :k]
            found = keys != NONE
            ids[part][found] = _row_of(keys)[found]
            scores[part][found] = _score_of(keys)[found]
        return ids, scores


def _group(x: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(rows [N], starts [U + 1]) of x [N, M]: equal rows together, by the first of each group."""
    code = np.zeros(len(x), np.int64)
    for column in x.T:  # a number for each distinct beginning of a row
        values, held = np.unique(column, return_inverse=True)
        code = np.unique(code * len(values) + held, return_inverse=True)[1]
    first = np.unique(code, return_index=True)[1]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    code = rank[code]
    rows = np.argsort(code, kind="stable").astype(np.int32)
    return rows, np.concatenate([[0], np.cumsum(np.bincount(code))])


def _scores(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """⟨a_i, b_i⟩ [n] of two [n, D]."""
    found: NDArray[np.float32] = (a.astype(np.float64) * b).sum(1).astype(np.float32)
    return found


def _keys(scores: NDArray[np.float32], rows: NDArray[Any]) -> NDArray[np.int64]:
    """One number for a score and a row: the higher, the earlier in an answer.

    Floats order like their bits once those of negative ones are turned round.
    """
    bits = (scores + np.float32(0)).view(np.int32).astype(np.int64)  # −0 becomes 0
    return (np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32) + (LOW - rows.astype(np.int64))


def _score_of(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """The score in a key; −inf in that of no row."""
    bits = keys >> 32
    scores = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int32).view(np.float32)
    return np.where(keys == NONE, np.float32(-np.inf), scores)


def _row_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row in a key."""
    return LOW - (keys & LOW)


def _merge(best: NDArray[np.int64], query: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
    """Put `keys` [m], each of a `query`, where they belong among the best ones [b, n]."""
    rows, n = np.unique(query), best.shape[1]
    held = np.concatenate([best[rows].ravel(), keys])
    of = np.concatenate([np.repeat(rows, n), query])
    order = np.lexsort((~held, of))
    begins = np.searchsorted(of[order], rows)
    best[rows] = held[order][begins[:, None] + np.arange(n)]


def _check_ids(ids: NDArray[Any], name: str, columns: int | None, n_ids: int) -> None:
    """Raise DataError unless `ids` is int32 [rows, columns] with ids that the table has."""
    if ids.dtype != np.int32 or ids.ndim != 2 or ids.shape[1] != (columns or ids.shape[1]):
        wanted = "F" if columns is None else columns
        raise DataError(f"{name} is {ids.dtype} {ids.shape}; expected int32 [rows, {wanted}].")
    if ids.size and not 0 <= ids.min() <= ids.max() < n_ids:
        raise DataError(
            f"{name} holds ids from {ids.min()} to {ids.max()}; the table has 0 to {n_ids - 1}. "
            "Take the table of a model of the same data set."
        )
