"""What a run reads: samples, and neighbours where somebody reads them."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rokkit.data import Samples
from rokkit.experiments.spec import RunSpec
from rokkit.experiments.weights import read_weights
from rokkit.retrieval import BM25Retriever, CellsConfig, DenseRetriever, Neighbours
from rokkit.training import Feed


class Inputs:
    """The feeds of a run: samples, and neighbours where somebody reads them."""

    def __init__(
        self, spec: RunSpec, samples: Samples, device: str, encoder: Path | None = None
    ) -> None:
        """`encoder` is the folder of the finished `spec.encoder`."""
        self.spec = spec
        self.encoder = encoder
        self.samples = samples
        self.device = device
        self.retrieval: dict[str, float] = {}  # seconds by part

    def feed(
        self,
        part: str,
        needs: frozenset[str],
        *,
        ranked: bool = False,
        pool_rows: NDArray[np.int64] | None = None,
        extra: NDArray[np.float32] | None = None,
    ) -> Feed:
        """The samples of `part`, and then those rows of the pool, with what `needs` names.

        `extra` [N, E] are further numbers of each sample.

        `ranked` gives the feed neighbours that its batches do not gather.
        """
        held = None
        if ranked or "neighbours" in needs:
            held = self._neighbours(part)
            if pool_rows is not None:
                held = held.followed_by(self._pool_neighbours(pool_rows))
        return Feed(
            self.samples,
            part,
            needs=needs,
            neighbours=held,
            history_length=self.spec.history_length,
            pool_rows=pool_rows,
            extra=extra,
            device=self.device,
        )

    @cached_property
    def table(self) -> Tensor | None:
        """The encoder's id table [V, d], if a dense engine finds the neighbours."""
        return None if self.encoder is None else read_weights(self.encoder)["embedding.weight"]

    def retrieved(self, part: str) -> Neighbours:
        """The stored neighbours of every sample of `part`."""
        return self._neighbours(part)

    def searcher(self) -> Callable[[NDArray[np.int32]], Any] | None:
        """Finds the neighbours of samples x [B, F] as a server would; None where nobody does."""
        if "neighbours" not in self.spec.needs:
            return None
        retriever, k = self._retriever, self.spec.retrieval.k
        return lambda x: retriever.ask(x, k)

    def kept_bytes(self) -> dict[str, int]:
        """What a server holds beside the weights, by kind: "histories", "pool", "index".

        The behaviours of every user that a model reads at most; ids and labels of the pool's rows.
        """
        kept = {}
        if "history" in self.spec.needs:
            held = self.samples.history
            counts = np.diff(held.offsets).clip(max=self.spec.history_length)
            kept["histories"] = int(counts.sum()) * held.rows[:0].itemsize * held.rows.shape[1]
        if "neighbours" in self.spec.needs:
            kept["pool"] = self.samples.pool.x.nbytes + self.samples.pool.y.nbytes
            kept["index"] = self._retriever.index_bytes
        return kept

    @cached_property
    def _retriever(self) -> BM25Retriever | DenseRetriever:
        fields = self.spec.retrieval.fields or None
        if self.table is None:
            return BM25Retriever(self.samples, fields)
        how = CellsConfig() if self.spec.retrieval.engine == "approximate" else None
        return DenseRetriever(self.samples, self.table.numpy(), fields, how)

    def _neighbours(self, part: str) -> Neighbours:
        found = self._retriever.neighbours(part, self.spec.retrieval.k)
        meta = self._retriever.meta(part, self.spec.retrieval.k)
        self.retrieval[part] = meta["search_seconds"] + meta["build_seconds"]
        return found

    def _pool_neighbours(self, rows: NDArray[np.int64]) -> Neighbours:
        found = self._retriever.pool_neighbours(rows, self.spec.retrieval.k)
        meta = self._retriever.pool_meta(rows, self.spec.retrieval.k)
        self.retrieval["pool"] = meta["search_seconds"]  # the index is that of the parts
        return found
