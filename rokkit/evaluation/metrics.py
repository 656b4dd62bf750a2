"""Metrics over a whole part of a data set, never means over batches.

Symbols: N samples; y labels 0 or 1; p predicted probabilities of y = 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rokkit.config import require
from rokkit.errors import DataError

# float32, in which predictions are kept, holds nothing between 1 - 6e-8 and 1.
LOG_LOSS_CLIP = 1e-7
BINS = 15  # of the expected calibration error


def auc(y: ArrayLike, p: ArrayLike) -> float:
    """Area under the ROC curve: P(p of a positive > p of a negative), a tie counting one half.

    Exact (integer arithmetic over ranks), O(N log N). Any score will do, not only a probability.

    Raises DataError for NaN, labels other than 0 and 1, unequal lengths or a single class.
    """
    labels, scores = _checked(y, p)
    _both_classes(labels)
    order = np.argsort(scores)
    sorted_scores, sorted_labels = scores[order], labels[order]
    first = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
    positives = np.add.reduceat(sorted_labels, first)
    negatives = np.diff(np.r_[first, len(scores)]) - positives
    below = np.cumsum(negatives) - negatives
    doubled = int((positives * (2 * below + negatives)).sum())
    return doubled / (2 * int(positives.sum()) * int(negatives.sum()))


def batched_auc(y: ArrayLike, p: ArrayLike, batch_size: int) -> float:
    """Mean of the AUCs of consecutive batches, as public code of this line reports it.

    It compares samples of the same batch alone, so that it depends on their order and on the size
    of a batch; `auc` does not. For measuring that habit, nothing else. Batches with a single class
    are left out.

    Raises DataError as `auc` does, and where no batch has both classes; ConfigError for a
    batch_size below 2.
    """
    require(batch_size >= 2, "batch_size", batch_size, "at least 2")
    labels, scores = _checked(y, p)
    cuts = np.arange(batch_size, len(labels), batch_size)
    pairs = list(zip(np.split(labels, cuts), np.split(scores, cuts), strict=True))
    held = [auc(one, score) for one, score in pairs if 0 < one.sum() < len(one)]
    if not held:
        raise DataError(f"no batch of {batch_size} samples has both classes.")
    return float(np.mean(held))


def log_loss(y: ArrayLike, p: ArrayLike) -> float:
    """Mean negative log-likelihood in nats (Eq. 2 of the paper, with the minus sign it lacks).

    p is clipped to [1e-7, 1 - 1e-7], so one certain mistake costs 16.1 and not infinity.

    Raises DataError for NaN, labels other than 0 and 1, unequal lengths or p outside [0, 1].
    """
    labels, probabilities = _checked(y, p, probability=True)
    return float(sample_log_loss(labels, probabilities).mean())


def sample_log_loss(y: NDArray[np.int64], p: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """[N]: the term of every sample in `log_loss`; inputs are taken as checked."""
    held = np.clip(p.astype(np.float64), LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    return -np.log(np.where(y == 1, held, 1 - held))


@dataclass(frozen=True)
class UserAUC:
    """gAUC, and how much of the data it speaks for."""

    gauc: float
    users: int  # users with both classes
    skipped_users: float  # share of users with a single class, for whom there is no AUC
    skipped_rows: float  # share of samples that are theirs


def user_auc(y: ArrayLike, p: ArrayLike, user: ArrayLike) -> UserAUC:
    """AUC of each user's samples, averaged with the users' impressions as weights (DIN, §6.1).

    Users with a single class have no AUC: they are left out, and their share is reported.

    Raises DataError as `auc` does, and where no user has both classes.
    """
    labels, scores = _checked(y, p)
    groups = np.asarray(user)
    if groups.shape != labels.shape:
        raise DataError(f"user has shape {groups.shape}; expected {labels.shape}, one per label.")
    _, group = np.unique(groups, return_inverse=True)
    order = np.lexsort((scores, group))
    g, s, positive = group[order], scores[order], labels[order]
    # A tie group is a run of equal scores within one user.
    new_user = np.r_[True, g[1:] != g[:-1]]
    first = np.flatnonzero(new_user | np.r_[True, s[1:] != s[:-1]])
    positives = np.add.reduceat(positive, first)
    negatives = np.diff(np.r_[first, len(s)]) - positives
    owner = g[first]
    p_user = np.bincount(owner, weights=positives)
    n_user = np.bincount(owner, weights=negatives)
    before = np.cumsum(negatives) - negatives
    below = before - (np.cumsum(n_user) - n_user)[owner].astype(np.int64)
    area = np.bincount(owner, weights=positives * (below + 0.5 * negatives))
    both = (p_user > 0) & (n_user > 0)
    if not both.any():
        raise DataError(
            f"gauc: none of the {len(both)} users has both a positive and a negative; "
            "report the global auc instead."
        )
    impressions = p_user + n_user
    per_user = area[both] / (p_user[both] * n_user[both])
    weights = impressions[both]
    return UserAUC(
        gauc=float((per_user * weights).sum() / weights.sum()),
        users=int(both.sum()),
        skipped_users=float(1 - both.mean()),
        skipped_rows=float(1 - weights.sum() / impressions.sum()),
    )


def gauc(y: ArrayLike, p: ArrayLike, user: ArrayLike) -> float:
    """The gAUC of `user_auc` alone."""
    return user_auc(y, p, user).gauc


def ece(y: ArrayLike, p: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean |observed rate - mean p| over equally wide bins of p.

    A bin weighs as much as it holds samples; p on an edge belongs to the bin above it, p = 1 to
    the last (Guo et al. 2017, "On Calibration of Modern Neural Networks", for the positive class).

    Raises DataError as `log_loss` does and ConfigError for less than one bin.
    """
    require(bins >= 1, "bins", bins, "at least 1")
    labels, probabilities = _checked(y, p, probability=True)
    index = bin_of(probabilities, bins)
    gap = np.bincount(index, weights=labels - probabilities, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def bin_of(p: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """[N]: the bin of each of `p` [N], of so many equally wide ones from 0 to 1."""
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def evaluate(y: ArrayLike, p: ArrayLike, user: ArrayLike) -> dict[str, float]:
    """All metrics of one set of predictions.

    Keys: "auc", "log_loss", "ece", and, unless no user has both classes, "gauc" and
    "gauc_skipped_users", the share of users it leaves out.
    """
    found = {"auc": auc(y, p), "log_loss": log_loss(y, p), "ece": ece(y, p)}
    try:
        by_user = user_auc(y, p, user)
    except DataError:
        # Everything else `user_auc` could refuse was refused by `auc`, save a misfit of `user`.
        if np.shape(user) != np.shape(y):
            raise
        return found
    return found | {"gauc": by_user.gauc, "gauc_skipped_users": by_user.skipped_users}


def _checked(
    y: ArrayLike, p: ArrayLike, *, probability: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    labels, scores = np.asarray(y), np.asarray(p, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or len(labels) == 0:
        raise DataError(
            f"labels have shape {labels.shape} and predictions {scores.shape}; expected two "
            "equal, non-empty [N]."
        )
    if not np.isin(labels, (0, 1)).all():
        odd = labels[~np.isin(labels, (0, 1))][0]
        raise DataError(f"labels hold {odd!r}; expected 0 and 1 only.")
    bad = ~np.isfinite(scores)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(scores)} predictions are NaN or infinite; the training "
            "diverged, so lower the learning rate and train again."
        )
    if probability and (scores.min() < 0 or scores.max() > 1):
        raise DataError(
            f"predictions span {scores.min():.4g}..{scores.max():.4g}; expected probabilities in "
            "[0, 1], so apply a sigmoid to logits first."
        )
    return labels.astype(np.int64), scores


def _both_classes(labels: NDArray[np.int64]) -> None:
    positives = int(labels.sum())
    if positives in (0, len(labels)):
        raise DataError(
            f"auc: {positives} of {len(labels)} labels are positive; expected both classes, so "
            "evaluate more rows or another cut."
        )
