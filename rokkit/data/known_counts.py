"""How many rows of the pool a sample shares something with, of those it may look at."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rokkit.data.causal import known_before
from rokkit.data.samples import Samples
from rokkit.files import slices

CHUNK = 4_000_000  # rows of the pool in memory at a time

Key = Callable[[NDArray[np.int32]], NDArray[np.int64]]  # [N, F] ids -> [N], what rows may share


class KnownCounts(NamedTuple):
    """For each sample, rows of the pool with its key, by label."""

    positives: NDArray[np.int64]  # [N]
    negatives: NDArray[np.int64]  # [N]

    @property
    def rows(self) -> NDArray[np.int64]:
        """[N]: of either label."""
        return self.positives + self.negatives


def known_counts(samples: Samples, part: str, key: Key) -> KnownCounts:
    """What is counted is the whole pool, which lies before the targets.

    Where `samples` are causal the pool holds the targets too, and each has the rows that are
    strictly earlier than itself.
    """
    held = samples.part(part)
    asked, back = np.unique(key(np.asarray(held.x)), return_inverse=True)
    if not samples.causal:
        positives, negatives = _all(samples, asked, key)
        return KnownCounts(positives[back], negatives[back])
    seen = known_before(np.asarray(samples.pool.time), np.asarray(held.time))
    return _earlier(samples, asked, key, back, seen)


def _places(
    asked: NDArray[np.int64], found: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """[P] and [P]: where each of `found` is in `asked`, and whether it is there at all."""
    place = np.minimum(np.searchsorted(asked, found), len(asked) - 1)
    return place, asked[place] == found


def _all(samples: Samples, asked: NDArray[np.int64], key: Key) -> KnownCounts:
    """Of each of `asked`, in the whole pool."""
    pool = samples.pool
    found = KnownCounts(*(np.zeros(len(asked), np.int64) for _ in range(2)))
    for rows in slices(len(pool), CHUNK):
        place, same = _places(asked, key(pool.x[rows]))
        positive = pool.y[rows] == 1
        found.positives[:] += np.bincount(place[same & positive], minlength=len(asked))
        found.negatives[:] += np.bincount(place[same & ~positive], minlength=len(asked))
    return found


def _earlier(
    samples: Samples,
    asked: NDArray[np.int64],
    key: Key,
    back: NDArray[np.intp],
    seen: NDArray[np.int64],
) -> KnownCounts:
    """Of `asked[back]`, among the first `seen` rows of the pool, which is in time order."""
    pool = samples.pool
    place, same = _places(asked, key(np.asarray(pool.x)))
    rows = np.flatnonzero(same)
    width = len(pool) + 1
    # One number for a key and a row, so that the rows of a key lie together in time order.
    together = place[rows] * width + rows
    order = np.argsort(together)
    positives = np.concatenate([[0], np.cumsum(np.asarray(pool.y)[rows[order]] == 1)])
    start = np.searchsorted(together, back * width, sorter=order)
    end = np.searchsorted(together, back * width + seen, sorter=order)
    found = positives[end] - positives[start]
    return KnownCounts(found, end - start - found)
