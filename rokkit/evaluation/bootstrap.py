"""Resampling test samples: the metric of every run under the same random weights."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rokkit.evaluation.metrics import sample_log_loss
from rokkit.machine import compiles

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
    aucs = _chosen()

    def metric(counts: Counts) -> NDArray[np.float64]:
        return aucs(counts, order, positive, closes)

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


def _chosen() -> Callable[..., NDArray[np.float64]]:
    """The compiled passes over the samples where numba can compile, else those of numpy."""
    if not compiles():
        return _weighted_aucs
    from rokkit.evaluation import bootstrap_kernel

    compiled: Callable[..., NDArray[np.float64]] = bootstrap_kernel.weighted_aucs
    return compiled


def _weighted_aucs(
    counts: Counts, order: NDArray[np.int32], positive: NDArray[np.bool_], closes: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """AUC of each of the R runs whose samples, by score, are `order` [R, N].

    `positive` and `closes` [R, N] say of the samples in that order which are of class 1 and which
    are the last of their score. The sums are of integers, so those of the compiled form are equal.
    """
    found = np.empty(len(order))
    for r in range(len(order)):
        weight = counts[order[r]].astype(np.int64)
        (ends,) = np.nonzero(closes[r])
        of_group = np.diff(np.cumsum(weight)[ends], prepend=0)
        ahead = np.diff(np.cumsum(weight * positive[r])[ends], prepend=0)
        below = of_group - ahead
        # A pair counts twice if its negative scores lower, once if both score the same.
        doubled = (ahead * (2 * np.cumsum(below) - below)).sum()
        found[r] = doubled / (2.0 * below.sum() * ahead.sum())
    return found
