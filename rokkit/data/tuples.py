"""Item tuples: the fields that change together when a negative is drawn."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SLICE = 4_000_000  # rows looked at in one go


def unique_tuples(
    x: NDArray[np.int32], columns: tuple[int, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(tuples [M, C] in ascending order, index [N] of each row's tuple) of `x` [N, F].

    Each tuple counts once however often it occurs, so a uniform draw is uniform over items, not
    weighted by popularity (RIM, `feateng.py`).
    """
    index = np.zeros(len(x), np.int64)
    for column in columns:
        # index < N and a column's distinct values <= N, so the joint key fits 63 bits.
        values, codes = _sorted_codes(x[:, column])
        index *= len(values)
        index += codes
        del codes
        _, index = _sorted_codes(index)
    first = np.full(int(index.max()) + 1 if len(index) else 0, len(x), np.int64)
    for start in range(0, len(x), SLICE):
        rows = np.arange(start, min(start + SLICE, len(x)))
        np.minimum.at(first, index[rows], rows)
    return np.ascontiguousarray(x[np.ix_(first, np.asarray(columns))]), index


class KnownTuples:
    """Looks up which rows hold an item tuple of a given set.

    The set is `tuples` [M, C], distinct.
    """

    def __init__(self, tuples: NDArray[np.int32]) -> None:
        # One step a column: (the column's values, the distinct joint keys so far), both ascending.
        self._steps: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        index = np.zeros(len(tuples), np.int64)
        for column in tuples.T.astype(np.int64):
            values, codes = np.unique(column, return_inverse=True)
            keys, index = np.unique(index * len(values) + codes, return_inverse=True)
            self._steps.append((values, keys))

    def holds(self, rows: NDArray[np.int32]) -> NDArray[np.bool_]:
        """[N]: whether the tuple `rows[i]` [N, C] is in the set."""
        known = np.ones(len(rows), bool)
        index = np.zeros(len(rows), np.int64)
        for column, (values, keys) in zip(rows.T, self._steps, strict=True):
            codes = np.minimum(np.searchsorted(values, column), len(values) - 1)
            known &= values[codes] == column
            key = index * len(values) + codes
            index = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            known &= keys[index] == key
        return known


def _sorted_codes(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """(sorted distinct values, position of each value among them)."""
    codes, uniques = pd.factorize(values)
    order = np.argsort(uniques)
    ranks = np.empty(len(uniques), np.int64)
    ranks[order] = np.arange(len(uniques))
    return uniques[order], np.take(ranks, codes, out=codes)
