"""rokkit's own index, by its public methods."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rokkit.retrieval import BM25Index
from search.engines import Answer, Ids


class Ours:
    """BM25Index; one thread."""

    per_idf = 1.0

    def prepare(self) -> None:
        """Compile the kernel."""
        BM25Index.build(np.ones((4, 2), np.int32)).search(np.ones((1, 2), np.int32), 1)

    def build(self, x: Ids, folder: Path) -> int:
        """Build in memory."""
        self.index = BM25Index.build(x)
        return self.index.n_bytes

    def save(self, folder: Path) -> None:
        """Write what `open` opens."""
        self.index.save(folder / "ours")

    def open(self, folder: Path) -> None:
        """Open it; its arrays are memory-mapped."""
        self.index = BM25Index.open(folder / "ours")

    def search(self, q: Ids, k: int) -> Answer:
        """One call for all queries."""
        return self.index.search(q, k, threads=1)

    def search_before(self, q: Ids, k: int, before: NDArray[np.int64]) -> Answer:
        """The same among the rows below `before` [b]."""
        return self.index.search(q, k, before, threads=1)

    def touched(self, q: Ids, k: int) -> NDArray[np.int32]:
        """[b]: the postings that each query looks at."""
        return self.index.search_with_effort(q, k, threads=1)[2]
