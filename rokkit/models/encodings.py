"""What train samples say of an id: its click rate and how often it occurs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TargetEncoding:
    """Shrunken click rates and log counts of ids, 2 numbers per field.

    rate(id) = (positives + m · p) / (samples + m), with p the rate of all samples and m
    `prior_rows`. Ids are global over fields, so one table serves all columns.
    """

    def __init__(self, folds: int, prior_rows: float, seed: int) -> None:
        self._folds = folds
        self._prior_rows = prior_rows
        self._seed = seed
        self._count: NDArray[np.float64] = np.zeros(0)
        self._positives: NDArray[np.float64] = np.zeros(0)
        self._rate = 0.5

    def fit(self, x: NDArray[np.int32], y: NDArray[np.int8]) -> NDArray[np.float32]:
        """[N, 2F]: the encoding of the train rows `x` [N, F], each without its own fold."""
        x, labels = np.asarray(x), np.asarray(y, np.float64)
        n_ids = int(x.max()) + 1
        self._rate = float(labels.mean())
        self._count, self._positives = _tables(x, labels, n_ids)
        fold = np.random.default_rng(self._seed).permutation(len(x)) % self._folds
        encoded = np.empty((len(x), 2 * x.shape[1]), np.float32)
        for one in range(self._folds):
            inside = fold == one
            count, positives = _tables(x[inside], labels[inside], n_ids)
            encoded[inside] = self._encode(
                x[inside], self._count - count, self._positives - positives
            )
        return encoded

    def encode(self, x: NDArray[np.int32]) -> NDArray[np.float32]:
        """[N, 2F]: the encoding of other rows `x` [N, F]; ids not seen in train have rate p."""
        return self._encode(np.asarray(x), self._count, self._positives)

    def state(self) -> dict[str, NDArray[Any]]:
        """What `encode` needs: samples and positives of each id, and the rate p."""
        rate = np.array([self._rate])
        return {"count": self._count, "positives": self._positives, "rate": rate}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become the encoding whose `state` it is."""
        self._count, self._positives = state["count"], state["positives"]
        self._rate = float(state["rate"][0])

    def _encode(
        self, x: NDArray[np.int32], count: NDArray[np.float64], positives: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        known = x < len(count)
        at = np.where(known, x, 0)
        n, clicks = count[at] * known, positives[at] * known
        m = self._prior_rows
        rate = np.divide(
            clicks + m * self._rate, n + m, out=np.full(n.shape, self._rate), where=n + m > 0
        )
        return np.concatenate([rate, np.log1p(n)], axis=1).astype(np.float32)


def _tables(
    x: NDArray[np.int32], labels: NDArray[np.float64], n_ids: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(samples, positives) of each id."""
    count = np.bincount(x.ravel(), minlength=n_ids).astype(np.float64)
    weights = np.repeat(labels, x.shape[1])
    positives = np.bincount(x.ravel(), weights, minlength=n_ids).astype(np.float64)
    return count, positives
