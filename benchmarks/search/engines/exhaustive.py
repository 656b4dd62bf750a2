"""Two searches that leave nothing out, compiled: what any cleverness has to beat."""

from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from search.engines import Answer, Ids

compiled = njit(cache=True, nogil=True)  # on disk, for each process is a new one


@compiled
def _insert(row, score, ids, values):
    """Put a row among the best so far, which it belongs to: higher score, then lower row."""
    place = len(ids) - 1
    while place > 0 and (
        values[place - 1] < score or (values[place - 1] == score and ids[place - 1] > row)
    ):
        ids[place], values[place] = ids[place - 1], values[place - 1]
        place -= 1
    ids[place], values[place] = row, score


@compiled
def _row_by_row(x, q, weights, ids, values):
    last = ids.shape[1] - 1
    for b in range(len(q)):
        best, score_of = ids[b], values[b]
        for row in range(len(x)):
            total = 0.0
            for f in range(x.shape[1]):
                if x[row, f] == q[b, f]:
                    total += weights[b, f]
            score = np.float32(total)
            if score > score_of[last]:  # rows ascend, so an equal one comes too late
                _insert(row, score, best, score_of)


@compiled
def _term_at_a_time(postings, starts, q, weights, totals, seen, ids, values):
    last = ids.shape[1] - 1
    for b in range(len(q)):
        best, score_of = ids[b], values[b]
        n = 0
        for f in range(q.shape[1]):
            weight = weights[b, f]
            if weight == 0:
                continue
            for i in range(starts[q[b, f]], starts[q[b, f] + 1]):
                row = postings[i]
                if totals[row] == 0:
                    seen[n] = row
                    n += 1
                totals[row] += weight
        for i in range(n):
            row = seen[i]
            score = np.float32(totals[row])
            totals[row] = 0
            worst = score_of[last]
            if score > worst or (score == worst and row < best[last]):
                _insert(row, score, best, score_of)


@compiled
def _fill(x, cursor, postings):
    for row in range(x.shape[0]):
        for f in range(x.shape[1]):
            value = x[row, f]
            postings[cursor[value]] = row
            cursor[value] += 1


class _Exhaustive:
    """What both share: the weights, and room for the answers."""

    per_idf = 1.0
    counts: NDArray[np.int64]
    rows: int

    def prepare(self) -> None:
        """Compile."""
        x = np.ones((4, 2), np.int32)
        self.build(x, Path())
        self.search(x, 1)

    def build(self, x: Ids, folder: Path) -> int:
        """To be said by each."""
        raise NotImplementedError

    def search(self, q: Ids, k: int) -> Answer:
        """To be said by each."""
        raise NotImplementedError

    def weights(self, q: Ids) -> NDArray[np.float64]:
        """[b, F]: idf of the ids; 0 where the pool does not hold the id."""
        counts = np.where(q < len(self.counts), self.counts[q.clip(max=len(self.counts) - 1)], 0)
        return np.where(counts > 0, np.log1p((self.rows - counts + 0.5) / (counts + 0.5)), 0.0)


def _room(b: int, k: int) -> Answer:
    return np.full((b, k), -1, np.int32), np.zeros((b, k), np.float32)


class RowByRow(_Exhaustive):
    """Compares the query with every row."""

    def build(self, x: Ids, folder: Path) -> int:
        """Keep the rows, and how often each id occurs."""
        self.x, self.rows = x, len(x)
        self.counts = np.bincount(x.ravel())
        return x.nbytes

    def search(self, q: Ids, k: int) -> Answer:
        """As the protocol says."""
        ids, values = _room(len(q), k)
        _row_by_row(self.x, q, self.weights(q), ids, values)
        return ids, values


class TermAtATime(_Exhaustive):
    """Adds up every posting of the query's lists; only rows that are in one of them are ranked."""

    def build(self, x: Ids, folder: Path) -> int:
        """Lay out the posting lists."""
        self.rows = len(x)
        self.counts = np.bincount(x.ravel())
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.postings = np.empty(x.size, np.int32)
        _fill(x, self.starts[:-1].copy(), self.postings)
        self.totals, self.seen = np.zeros(self.rows), np.empty(self.rows, np.int32)
        return self.postings.nbytes + self.starts.nbytes

    def search(self, q: Ids, k: int) -> Answer:
        """As the protocol says."""
        ids, values = _room(len(q), k)
        weights = self.weights(q)
        _term_at_a_time(self.postings, self.starts, q, weights, self.totals, self.seen, ids, values)
        return ids, values
