"""How many rows repeat another one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rokkit.files import slices

SLICE = 4_000_000
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads close numbers


def count_duplicates(columns: Mapping[str, NDArray[Any]]) -> int:
    """Rows that equal an earlier one in all columns.

    Rows are compared by 64-bit hashes: among 100 million different rows, one false repeat is
    expected in some 4,000 files.
    """
    n = len(next(iter(columns.values())))
    hashes = np.zeros(n, np.uint64)
    for rows in slices(n, SLICE):
        part = hashes[rows]
        for values in columns.values():
            part ^= values[rows].astype(np.int64).view(np.uint64)
            part *= _ODD
            part ^= part >> np.uint64(29)
            part *= np.uint64(0xBF58476D1CE4E5B9)
            part ^= part >> np.uint64(32)
    hashes.sort()
    return int((hashes[1:] == hashes[:-1]).sum())
