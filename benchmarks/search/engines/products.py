"""The search as a product of sparse matrices: queries [b, V] by pool [V, N].

An entry of the product is the sum of the weights of the ids that a query and a row share.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from search.engines import Answer, Ids

AT_ONCE = 64  # queries of one product, so that it never holds more than so many dense rows


class _Product:
    """What both share: the pool as a matrix, and queries as one."""

    per_idf = 1.0

    def prepare(self) -> None:
        """Nothing is compiled."""

    def build(self, x: Ids, folder: Path) -> int:
        """The pool transposed, its entries 1; ids the pool does not hold weigh nothing."""
        rows, fields = x.shape
        counts = np.bincount(x.ravel())
        self.weight = np.where(counts > 0, np.log1p((rows - counts + 0.5) / (counts + 0.5)), 0)
        ones = np.ones(x.size, np.float32)
        ends = np.arange(0, x.size + 1, fields)
        held = sparse.csr_matrix((ones, x.ravel(), ends), shape=(rows, len(counts)))
        self.pool = held.T.tocsr()
        return int(self.pool.data.nbytes + self.pool.indices.nbytes + self.pool.indptr.nbytes)

    def matrix(self, q: Ids) -> Any:
        """Queries [b, F] as a matrix [b, V]."""
        known = np.minimum(q, len(self.weight) - 1)
        weight = np.where(q < len(self.weight), self.weight[known], 0).astype(np.float32)
        ends = np.arange(0, q.size + 1, q.shape[1])
        shape = (len(q), len(self.weight))
        return sparse.csr_matrix((weight.ravel(), known.ravel(), ends), shape=shape)

    def search(self, q: Ids, k: int) -> Answer:
        """As the protocol says."""
        ids, values = np.full((len(q), k), -1, np.int32), np.zeros((len(q), k), np.float32)
        for start in range(0, len(q), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self.answer(q[part], k, ids[part], values[part])
        return ids, values

    def answer(self, q: Ids, k: int, ids: Ids, values: NDArray[np.float32]) -> None:
        """To be said by each."""
        raise NotImplementedError


class Scipy(_Product):
    """scipy's product, then the k largest entries of each row by a partial sort."""

    def answer(self, q: Ids, k: int, ids: Ids, values: NDArray[np.float32]) -> None:
        """Into `ids` and `values` [b, k]."""
        found = self.matrix(q) @ self.pool
        for b in range(len(q)):
            held = slice(found.indptr[b], found.indptr[b + 1])
            score, row = found.data[held], found.indices[held]
            best = np.argpartition(-score, k - 1)[:k] if len(score) > k else np.arange(len(score))
            best = best[np.argsort(-score[best])]
            best = best[score[best] > 0]
            ids[b, : len(best)], values[b, : len(best)] = row[best], score[best]


class SparseDotTopn(_Product):
    """The package sparse_dot_topn, whose product keeps the k largest entries alone."""

    def prepare(self) -> None:
        """Find the package."""
        self.product = importlib.import_module("sparse_dot_topn").sp_matmul_topn

    def answer(self, q: Ids, k: int, ids: Ids, values: NDArray[np.float32]) -> None:
        """Into `ids` and `values` [b, k]."""
        found = self.product(self.matrix(q), self.pool, top_n=k, sort=True, n_threads=1)
        for b in range(len(q)):
            held = slice(found.indptr[b], found.indptr[b + 1])
            hits = int(np.count_nonzero(found.data[held]))
            ids[b, :hits], values[b, :hits] = found.indices[held][:hits], found.data[held][:hits]
