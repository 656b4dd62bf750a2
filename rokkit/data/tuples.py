"""Item tuples: the fields that change together when a negative is drawn."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


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
        _, index = _sorted_codes(index * len(values) + codes)
    first = np.full(int(index.max()) + 1 if len(index) else 0, len(x), np.int64)
    np.minimum.at(first, index, np.arange(len(x)))
    return np.ascontiguousarray(x[np.ix_(first, np.asarray(columns))]), index


def _sorted_codes(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """(sorted distinct values, position of each value among them)."""
    codes, uniques = pd.factorize(values)
    order = np.argsort(uniques)
    ranks = np.empty(len(uniques), np.int64)
    ranks[order] = np.arange(len(uniques))
    return uniques[order], ranks[codes]
