"""Pools on which a search that skips rows gains least: nothing in them is rare, or all is equal.

The goal there is modest: never to be slower than going through every row or every posting.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rokkit.files import save_array

Ids = NDArray[np.int32]
FIELDS = 5


def _numbered(codes: NDArray[np.int64], values: int) -> Ids:
    """Codes 0..values-1 of each column as ids that no other column has."""
    return (codes + 1 + values * np.arange(codes.shape[1])).astype(np.int32)


def uniform(values: int) -> Callable[[int, np.random.Generator], Ids]:
    """Independent fields of `values` values, all alike."""

    def draw(rows: int, rng: np.random.Generator) -> Ids:
        return _numbered(rng.integers(0, values, (rows, FIELDS)), values)

    return draw


def one_value_everywhere(rows: int, rng: np.random.Generator) -> Ids:
    """Uniform fields of 1,000 values, but the first has one value, whose list is the pool."""
    codes = rng.integers(0, 1000, (rows, FIELDS))
    codes[:, 0] = 0
    return _numbered(codes, 1000)


def all_rows_equal(rows: int, rng: np.random.Generator) -> Ids:
    """The same row again and again."""
    return np.tile(np.arange(1, FIELDS + 1, dtype=np.int32), (rows, 1))


def one_user_owns_half(rows: int, rng: np.random.Generator) -> Ids:
    """Uniform fields of 1,000 values, but half of the rows have the first value of the first."""
    codes = rng.integers(0, 1000, (rows, FIELDS))
    codes[rng.random(rows) < 0.5, 0] = 0
    return _numbered(codes, 1000)


SHAPES: dict[str, Callable[[int, np.random.Generator], Ids]] = {
    "uniform-1000": uniform(1000),
    "uniform-20": uniform(20),
    "one-value-everywhere": one_value_everywhere,
    "all-rows-equal": all_rows_equal,
    "one-user-owns-half": one_user_owns_half,
}


def make(shape: str, rows: int, queries: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """Write `pool.npy` int32 [rows, 5] and `queries.npy`, drawn alike, into `folder`."""
    rng = np.random.default_rng(seed)
    pool, asked = folder / "pool.npy", folder / "queries.npy"
    save_array(pool, SHAPES[shape](rows, rng))
    save_array(asked, SHAPES[shape](queries, rng))
    return pool, asked
