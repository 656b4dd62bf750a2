"""bm25s: the scores of all postings computed when the index is built, then added up per query."""

from pathlib import Path

import bm25s
import numpy as np

from search.engines import Answer, Ids

K1 = 1.5


class Bm25s:
    """Its numba backend, Lucene's idf, one thread. Rows are lists of ids that stand for tokens."""

    per_idf = 1 / (1 + K1)

    def prepare(self) -> None:
        """Compile the backend."""
        self.build(np.arange(1, 13, dtype=np.int32).reshape(4, 3), Path())
        self.search(np.arange(1, 4, dtype=np.int32)[None], 1)

    def build(self, x: Ids, folder: Path) -> int:
        """As the package builds; ids are numbered without gaps, for it takes no others."""
        self.held, codes = np.unique(x, return_inverse=True)
        tokens = codes.reshape(x.shape).tolist()
        vocabulary = {str(i): i for i in range(len(self.held))}
        self.index = bm25s.BM25(k1=K1, method="lucene", backend="numba")
        self.index.index((tokens, vocabulary), show_progress=False)
        self.none = self.index.vocab_dict[""]  # of a query that shares nothing with the pool
        return int(sum(np.asarray(a).nbytes for a in self.index.scores.values()))

    def search(self, q: Ids, k: int) -> Answer:
        """As the protocol says; rows of score 0 are no hits."""
        place = np.searchsorted(self.held, q).clip(max=len(self.held) - 1)
        known = self.held[place] == q
        tokens = [
            codes[there].tolist() or [self.none] for codes, there in zip(place, known, strict=True)
        ]
        found = self.index.retrieve(tokens, k=k, show_progress=False)
        values = np.asarray(found.scores, np.float32)
        return np.where(values > 0, found.documents, -1).astype(np.int32), values
