"""A compiled loop over the layers of an MLP, for one row.

Symbols: N inputs of a layer; M outputs; L layers.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def answer(x, packed, widths, y):
    """y [M] of x [N] by L layers of weights, with ReLU between them.

    `packed` holds each layer's weights [N, M] and then its biases [M]; `widths` [L + 1] are the
    numbers of inputs and of outputs. Inputs that ReLU has made 0 are left out.
    """
    held, at = x, 0
    left = np.empty(widths.max(), np.int64)
    for layer in range(len(widths) - 1):
        n, m = widths[layer], widths[layer + 1]
        weights = packed[at : at + n * m].reshape(n, m)
        bias = packed[at + n * m : at + n * m + m]
        at += n * m + m
        out = np.empty(m, np.float32)
        for j in range(m):
            out[j] = bias[j]
        count = 0
        for k in range(n):
            left[count] = k
            count += held[k] != 0
        whole = count - count % 4
        for i in range(0, whole, 4):
            a, b, c, d = left[i], left[i + 1], left[i + 2], left[i + 3]
            p, q, r, s = held[a], held[b], held[c], held[d]
            for j in range(m):
                out[j] += (p * weights[a, j] + q * weights[b, j]) + (
                    r * weights[c, j] + s * weights[d, j]
                )
        for i in range(whole, count):
            a = left[i]
            p = held[a]
            for j in range(m):
                out[j] += p * weights[a, j]
        if layer < len(widths) - 2:
            for j in range(m):
                out[j] = max(out[j], np.float32(0))
        held = out
    for j in range(len(y)):
        y[j] = held[j]
