"""A look-up and its gradient, by compiled loops."""

from typing import no_type_check

from rokkit.compiled import compiled
from rokkit.prefetch import prefetch

AHEAD = 16  # rows that are loaded ahead: they lie anywhere in a table


@compiled
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def take_rows(weight, ids, found):
    """found[i] = weight[ids[i]], widths alike; where the first id lies that is no row, or -1."""
    for i in range(len(ids)):
        if i + AHEAD < len(ids):
            prefetch(weight, ids[i + AHEAD])
        row = ids[i]
        if row < 0 or row >= weight.shape[0]:
            return i
        for e in range(weight.shape[1]):
            found[i, e] = weight[row, e]
    return -1


@compiled
@no_type_check
def add_rows(ids, values, sums):
    """sums[ids[i]] += values[i] for i = 0, 1, … in this order; id 0, the padding, is left out."""
    for i in range(len(ids)):
        if i + AHEAD < len(ids):
            prefetch(sums, ids[i + AHEAD])
        row = ids[i]
        if row != 0:
            for e in range(values.shape[1]):
                sums[row, e] += values[i, e]
