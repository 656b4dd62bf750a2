"""What may be indexed and asked for, whichever index is asked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.config import require
from rokkit.errors import DataError

MAX_ROWS = 2**31 - 1  # row numbers are int32
MAX_FIELDS = 62  # which fields of a row match is one int64


def check_k(k: int, n_rows: int) -> None:
    """Raise ConfigError unless `k` is an integer in 1..n_rows."""
    whole = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
    require(whole and 1 <= k <= n_rows, "k", k, f"an integer from 1 to {n_rows}, the pool's rows")


def check_ids(ids: NDArray[Any], name: str, columns: int | None) -> None:
    """Raise DataError unless `ids` is int32 with two axes and as many columns as the pool."""
    if not isinstance(ids, np.ndarray) or ids.dtype != np.int32:
        found = ids.dtype if isinstance(ids, np.ndarray) else type(ids).__name__
        raise DataError(f"{name} is {found}; expected a numpy array of int32 ids.")
    if ids.ndim != 2 or ids.shape[1] != (columns or ids.shape[1]):
        wanted = "F" if columns is None else columns
        raise DataError(f"{name} has shape {ids.shape}; expected [rows, {wanted}].")


def searched_columns(fields: Sequence[int] | None, columns: int) -> tuple[int, ...]:
    """The columns to search, ascending; ConfigError for what is no choice of 1 to MAX_FIELDS."""
    chosen = list(range(columns)) if fields is None else sorted(fields)
    known = all(isinstance(c, (int, np.integer)) and 0 <= c < columns for c in chosen)
    require(known, "fields", fields, f"column numbers from 0 to {columns - 1}")
    require(len(set(chosen)) == len(chosen), "fields", fields, "distinct columns")
    within = 1 <= len(chosen) <= MAX_FIELDS
    require(within, "number of fields", len(chosen), f"1 to {MAX_FIELDS}")
    return tuple(int(c) for c in chosen)


def row_limits(before: NDArray[Any] | None, n: int, n_rows: int) -> NDArray[np.int64]:
    """[n]: the rows below which each of n queries may look; without `before`, all `n_rows`."""
    if before is None:
        return np.full(n, n_rows, np.int64)
    if not isinstance(before, np.ndarray) or before.dtype.kind not in "iu":
        found = before.dtype if isinstance(before, np.ndarray) else type(before).__name__
        raise DataError(f"before is {found}; expected a numpy array of int64 row numbers.")
    if before.shape != (n,):
        raise DataError(f"before has shape {before.shape}; expected ({n},), one per query.")
    return before.astype(np.int64, copy=False)
