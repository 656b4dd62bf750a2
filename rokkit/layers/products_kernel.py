"""The compiled way back from sums that are weighed by products.

Symbols: B batch; R rows of products; T behaviours; D width of one.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def products_backward(asked, keys, mask, weights, of_sums, of_asked, of_keys):
    """Gradients by asked [B, R, D] and keys [B, T, D], both 0 before, given those by the sums.

    weights [B, R, T]: the products themselves in row 0, and their softmax in the others.
    """
    n, rows, width = asked.shape
    steps = keys.shape[1]
    along = np.empty((steps, rows), np.float32)
    mean = np.empty(rows, np.float32)
    for b in range(n):
        mean[:] = 0
        for t in range(steps):
            if mask[b, t]:
                for r in range(rows):
                    weight = weights[b, r, t]
                    if r == 0 or weight != 0:
                        found = np.float32(0)
                        for e in range(width):
                            found += of_sums[b, r, e] * keys[b, t, e]
                        along[t, r] = found
                        mean[r] += weight * found
        for t in range(steps):
            if mask[b, t]:
                for r in range(rows):
                    weight = weights[b, r, t]
                    if r == 0 or weight != 0:
                        s = along[t, r] if r == 0 else weight * (along[t, r] - mean[r])
                        for e in range(width):
                            of_keys[b, t, e] += weight * of_sums[b, r, e] + s * asked[b, r, e]
                            of_asked[b, r, e] += s * keys[b, t, e]
