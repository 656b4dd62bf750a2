"""Resampling test samples: the metric of every run under the same random weights."""

from collections.abc import Callable
from typing import Any, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from rokkit.evaluation.metrics import sample_log_loss

Counts = NDArray[np.int32]  # [N]: how often each sample was drawn
Weighted = Callable[[Counts], NDArray[np.float64]]  # counts -> metric of every run, [R]


def weighted_auc(y: NDArray[np.int64], runs: NDArray[np.float32]) -> Weighted:
    """A function from counts to the exact AUC of each of the R `runs` [R, N], ties included.

    Scores are sorted here, once; a resample then costs one pass over the samples per run.
    """
    order = np.argsort(runs, axis=1).astype(np.int32)
    scores = np.take_along_axis(runs, order, axis=1)
    # The last sample of each run of equal scores closes its tie group.
    closes = np.ones(scores.shape, dtype=np.bool_)
    closes[:, :-1] = scores[:, 1:] != scores[:, :-1]
    positive = y.astype(np.bool_)[order]

    def metric(counts: Counts) -> NDArray[np.float64]:
        found: NDArray[np.float64] = _weighted_aucs(counts, order, positive, closes)
        return found

    return metric


def weighted_log_loss(y: NDArray[np.int64], runs: NDArray[np.float32]) -> Weighted:
    """A function from counts to the log-loss of each of the R `runs` [R, N]."""
    terms = np.stack([sample_log_loss(y, p) for p in runs])

    def metric(counts: Counts) -> NDArray[np.float64]:
        found: NDArray[np.float64] = terms @ counts / counts.sum()
        return found

    return metric


def draw(y: NDArray[np.int64], generator: np.random.Generator) -> Counts:
    """Counts of N draws with replacement from N samples, both classes among them."""
    n = len(y)
    while True:
        counts = np.bincount(generator.integers(0, n, n), minlength=n).astype(np.int32)
        if 0 < int(counts @ y) < n:
            return counts


@numba.njit(cache=True, nogil=True)
@no_type_check  # numba compiles the bare function, so the tests' type checker must not wrap it
def _weighted_aucs(counts: Any, order: Any, positive: Any, closes: Any) -> Any:
    runs, n = order.shape
    found = np.empty(runs, dtype=np.float64)
    for r in range(runs):
        below, ahead = np.int64(0), np.int64(0)  # negatives below the tie group; positives so far
        inside_positive, inside_negative = np.int64(0), np.int64(0)
        doubled = np.int64(0)
        for i in range(n):
            weight = counts[order[r, i]]
            if positive[r, i]:
                inside_positive += weight
            else:
                inside_negative += weight
            if closes[r, i]:
                doubled += inside_positive * (2 * below + inside_negative)
                below += inside_negative
                ahead += inside_positive
                inside_positive, inside_negative = np.int64(0), np.int64(0)
        found[r] = doubled / (2.0 * below * ahead)
    return found
