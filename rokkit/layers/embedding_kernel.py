"""The gradient of a look-up, added up by a compiled loop."""

from typing import no_type_check

from rokkit.compiled import compiled


@compiled
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def add_rows(ids, values, sums):
    """sums[ids[i]] += values[i] for i = 0, 1, … in this order; id 0, the padding, is left out."""
    for i in range(len(ids)):
        row = ids[i]
        if row != 0:
            for e in range(values.shape[1]):
                sums[row, e] += values[i, e]
