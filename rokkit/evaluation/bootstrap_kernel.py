"""The compiled loop of the bootstrap; only where numba can compile is this file imported."""

from typing import Any, no_type_check

import numpy as np

from rokkit.compiled import compiled


@compiled
@no_type_check  # numba compiles the bare function, so the tests' type checker must not wrap it
def weighted_aucs(counts: Any, order: Any, positive: Any, closes: Any) -> Any:
    """AUC of each run [R], as `_weighted_aucs` of `bootstrap` has it."""
    runs, n = order.shape
    found = np.empty(runs, dtype=np.float64)
    for r in range(runs):
        below, ahead = np.int64(0), np.int64(0)  # negatives below the tie group; positives so far
        inside_positive, inside_negative = np.int64(0), np.int64(0)
        doubled = np.int64(0)
        for i in range(n):
            weight = counts[order[r, i]]
            if positive[r, i]:
                inside_positive += weight
            else:
                inside_negative += weight
            if closes[r, i]:
                doubled += inside_positive * (2 * below + inside_negative)
                below += inside_negative
                ahead += inside_positive
                inside_positive, inside_negative = np.int64(0), np.int64(0)
        found[r] = doubled / (2.0 * below * ahead)
    return found
