"""Item tuples: the fields that change together when a negative is drawn."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rokkit.files import slices

SLICE = 4_000_000  # rows looked at in one go
LARGEST = 2**62


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
    for rows in slices(len(x), SLICE):
        np.minimum.at(first, index[rows], np.arange(rows.start, rows.stop))
    return np.ascontiguousarray(x[np.ix_(first, np.asarray(columns))]), index


class KnownTuples:
    """Looks up which rows hold an item tuple of a given set.

    The set is `tuples` [M, C], at least one.
    """

    def __init__(self, tuples: NDArray[np.int32]) -> None:
        # Per column: its values, and the distinct numbers of the columns before it where these
        # have to be counted anew, because all columns together would not fit 63 bits.
        self._columns: list[tuple[_Places, _Places | None]] = []
        number, size = np.zeros(len(tuples), np.int64), 1
        for column in tuples.T:
            values, before = _Places(column), None
            if size > LARGEST // len(values):
                before = _Places(number)
                number, size = before.find(number)[0], len(before)
            self._columns.append((values, before))
            number = number * len(values) + values.find(column)[0]
            size *= len(values)
        self._numbers = _Places(number)

    def holds(self, rows: NDArray[np.int32]) -> NDArray[np.bool_]:
        """[N]: whether the tuple `rows[i]` [N, C] is in the set."""
        known = np.ones(len(rows), bool)
        number = np.zeros(len(rows), np.int64)
        for column, (values, before) in zip(rows.T, self._columns, strict=True):
            if before is not None:
                number, here = before.find(number)
                known &= here
            code, here = values.find(column)
            known &= here
            number = number * len(values) + code
        # Looking up each number once, in ascending order, is ten times as fast.
        distinct = _distinct(number)
        strange = distinct[~self._numbers.find(distinct)[1]]
        if len(strange):
            known &= ~np.isin(number, strange)
        return known


class _Places:
    """The places of numbers among the sorted distinct ones of `numbers`."""

    def __init__(self, numbers: NDArray[np.signedinteger[Any]]) -> None:
        self._sorted = _distinct(numbers).astype(np.int64)
        self._low = int(self._sorted[0])
        self._table: NDArray[np.int32] | None = None
        span = int(self._sorted[-1]) - self._low + 1
        if span <= 2 * len(self._sorted):  # ids of a field: nearly every number is taken
            self._table = np.full(span, -1, np.int32)
            self._table[self._sorted - self._low] = np.arange(len(self._sorted))

    def __len__(self) -> int:
        return len(self._sorted)

    def find(
        self, numbers: NDArray[np.signedinteger[Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(place [N], anything where there is none; whether there is one [N]) of `numbers` [N]."""
        if self._table is None:
            place = np.minimum(np.searchsorted(self._sorted, numbers), len(self) - 1)
            return place, self._sorted[place] == numbers
        inside = (numbers >= self._low) & (numbers < self._low + len(self._table))
        place = self._table[np.where(inside, numbers - self._low, 0)].astype(np.int64)
        inside &= place >= 0
        return np.maximum(place, 0), inside


def _sorted_codes(values: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """(sorted distinct values, position of each value among them)."""
    codes, uniques = pd.factorize(values)
    order = np.argsort(uniques)
    ranks = np.empty(len(uniques), np.int64)
    ranks[order] = np.arange(len(uniques))
    return uniques[order], np.take(ranks, codes, out=codes)


def _distinct(numbers: NDArray[np.signedinteger[Any]]) -> NDArray[np.signedinteger[Any]]:
    """The distinct `numbers`, ascending; by sorting, which beats np.unique's hash table here."""
    in_order = np.sort(numbers)
    first = np.ones(len(in_order), bool)
    first[1:] = in_order[1:] != in_order[:-1]
    return in_order[first]
