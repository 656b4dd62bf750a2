"""A compiled loop over the layers of an MLP, for one row.

Symbols: N inputs of a layer; M outputs; L layers.
"""

from typing import no_type_check

import numpy as np

from rokkit.compiled import compiled_reordered


@compiled_reordered
@no_type_check  # numba compiles the bare function: the tests' type checker must not wrap it
def answer(x, packed, widths):
    """[1, M] of x [1, N] by L layers of weights, with ReLU between them.

    `packed` holds each layer's weights [N, M] and then its biases [M]; `widths` [L + 1] are the
    numbers of inputs and of outputs. Inputs that ReLU has made 0 are left out.
    """
    return _answer(x[0], packed, widths)


@compiled_reordered
@no_type_check
def answer_ids(table, ids, first, packed, widths):
    """The same of the rows `ids` [1, F] of a table, from column `first` on, side by side.

    An empty array if one of them is no row.
    """
    d = table.shape[1] - first
    x = np.empty(ids.shape[1] * d, np.float32)
    for i in range(ids.shape[1]):
        row = ids[0, i]
        if row < 0 or row >= len(table):
            return np.empty((0, 0), np.float32)
        for e in range(d):
            x[i * d + e] = table[row, first + e]
    return _answer(x, packed, widths)


@compiled_reordered
@no_type_check
def _answer(x, packed, widths):
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
    return held.reshape(1, len(held))
